"""A search carries out what its strategy asks, within its budget, and lives with faults."""

import asyncio
import json

import pytest

from kernelwright.core.candidate import ModelCall, Plan, Proposal, Usage
from kernelwright.core.diagnosis import Diagnosis
from kernelwright.core.errors import (
    DeviceLost,
    JudgeBroken,
    ModelError,
    StoreError,
    Unavailable,
    UnknownName,
    WorkerError,
)
from kernelwright.core.run import Attempt, Budget, Event, History, RunSpec
from kernelwright.run.log import RunLog
from kernelwright.run.loop import Search
from kernelwright.run.patience import Retries
from kernelwright.run.promotion import finalists, promote
from kernelwright.search.drafting import Drafter
from kernelwright.search.refine import Refine
from kernelwright.store.fold import fold
from kernelwright.store.memory import MemoryStore
from kernelwright.testing.evaluators import (
    NumberWriter,
    ScriptedEvaluator,
    evaluation_of,
    number_candidate,
    passed,
    row_problem,
    verdict,
)

QUICK = Retries(pause_s=0.0)


class Bench:
    """A search over fakes, and what it left in the log."""

    def __init__(self, *, store=None, clock=None, observer=lambda event: None, **writers):
        self.store = store or MemoryStore()
        self.log = RunLog(self.store, observer=observer, **({"clock": clock} if clock else {}))
        self.writers = writers or {"sketch": NumberWriter(), "tuner": NumberWriter()}
        self.evaluator = ScriptedEvaluator()
        self.stop = None
        if not self.log.state.sessions:
            spec = RunSpec(problem="rows").model_dump(mode="json")
            self.log.record("started", {"spec": spec, "name": "t", "version": "0"})

    def strategy_for(self, dropped):
        names = [name for name in self.writers if name != "tuner" and name not in dropped]
        drafters = tuple(
            Drafter(writer=n, language="cpp", limit=4 if n == "llm" else None, refines=n == "llm")
            for n in names
        )
        return Refine(drafters=drafters)

    def run(self, *, strategy_for=None, width=1, **budget):
        search = Search(
            self.log,
            row_problem(),
            strategy_for=strategy_for or self.strategy_for,
            writers=self.writers,
            evaluator=self.evaluator,
            budget=Budget(**{"max_attempts": 20, **budget}),
            width=width,
            retries=QUICK,
        )

        async def main():
            self.stop = asyncio.Event()
            return await asyncio.wait_for(search.run(self.stop), 30)

        return asyncio.run(main())

    @property
    def state(self):
        return self.log.state

    @property
    def kinds(self):
        return [event.kind for event in self.store.records()]


def test_each_attempt_is_planned_then_written_then_judged():
    bench = Bench()
    assert bench.run(max_attempts=2) == "the budget of 2 attempts is used up"
    assert bench.kinds == ["started", *["plan", "proposal", "evaluation"] * 2]
    assert sorted(bench.state.steps) == [1, 2]


def test_the_log_alone_gives_the_state_that_the_search_had():
    bench = Bench()
    bench.run()
    assert fold(bench.store.records()) == bench.state


def test_a_writer_is_told_what_the_run_has_made():
    class Telling(NumberWriter):
        def _write(self, assignment):
            told.append(assignment.made)
            return super()._write(assignment)

    told = []
    bench = Bench(sketch=Telling(tunables=()))
    bench.run(max_attempts=3)
    made = [step.candidate.id for step in bench.state.steps.values()]
    assert told == [set(), set(made[:1]), set(made[:2])]


def test_a_search_ends_when_nothing_is_left_to_try():
    bench = Bench(sketch=NumberWriter(drafts=2, tunables=()))
    assert bench.run() == "nothing is left to try"
    assert bench.state.history.attempts[-1].reason == "There are only 2 drafts."


def test_several_attempts_run_at_once_but_never_more_than_the_width():
    class Counting(ScriptedEvaluator):
        now = most = 0

        async def evaluate(self, candidate, effort):
            self.now += 1
            self.most = max(self.most, self.now)
            try:
                return await super().evaluate(candidate, effort)
            finally:
                self.now -= 1

    bench = Bench(sketch=NumberWriter(drafts=9))
    bench.evaluator = Counting(delay_s=0.01)
    bench.run(width=3, max_attempts=9)
    assert bench.evaluator.most == 3
    assert sorted(bench.state.steps) == list(range(1, 10))


def test_a_budget_of_attempts_holds_with_several_at_once():
    bench = Bench(sketch=NumberWriter(drafts=9, delay_s=0.001))
    bench.run(width=4, max_attempts=5)
    assert len(bench.state.steps) == 5


def test_a_budget_of_seconds_finishes_the_attempt_that_crosses_it():
    times = iter(range(1000))
    bench = Bench(clock=lambda: float(next(times)))
    assert bench.run(max_wall_s=5) == "the budget of 5 seconds is used up"
    assert bench.state.unfinished == ()
    assert 1 <= len(bench.state.steps) <= 3


def test_the_seconds_of_a_session_before_count_and_the_time_between_does_not():
    now = [0.0]
    bench = Bench(clock=lambda: now[0])
    now[0] = 40.0
    bench.log.record("fault", {"where": "ours", "step": None, "message": "", "retryable": False})
    now[0] = 1000.0
    bench.log.record("resumed", {"version": "0"})
    now[0] = 1005.0
    assert bench.log.elapsed_s == 45.0


class OnADevice(ScriptedEvaluator):
    """Each verdict took 2 s of compiling and 3 s on the device."""

    async def evaluate(self, candidate, effort):
        said = await super().evaluate(candidate, effort)
        return said.model_copy(update={"stage_s": {"build": 2.0, "screen": 1.0, "timing": 2.0}})


def test_a_budget_of_device_seconds_ends_the_search_and_leaves_compiling_out():
    bench = Bench(sketch=NumberWriter(drafts=9))
    bench.evaluator = OnADevice()
    assert bench.run(max_device_s=7) == "the budget of 7 device seconds is used up"
    assert len(bench.state.steps) == 3
    assert bench.state.spent.device_s == 9.0


def test_device_seconds_of_a_verdict_that_was_taken_back_stay_spent():
    bench = Bench()
    bench.evaluator = OnADevice()
    bench.run(max_attempts=1)
    judged = bench.state.steps[1].candidate.id
    bench.log.record("void", {"candidate_ids": [judged], "reason": "a canary"})
    assert bench.state.steps[1].evaluation is None
    assert bench.state.spent.device_s == 3.0


def unsure(speedup):
    """An outcome whose interval reaches from half of `speedup` to twice as much."""
    outcome = passed(speedup)
    blocks = [round(1_000_000 / speedup * share) for share in (2, 2, 1, 0.5, 0.5)]
    return outcome.model_copy(
        update={
            "measurements": tuple(
                m.model_copy(update={"elapsed_ns": tuple(blocks)})
                if m.subject == "candidate"
                else m
                for m in outcome.measurements
            )
        }
    )


@pytest.mark.parametrize(("outcome", "steps"), [(passed(3.0), 1), (unsure(3.0), 4)])
def test_a_search_ends_at_its_target_once_the_lower_end_of_the_interval_is_there(outcome, steps):
    bench = Bench(sketch=NumberWriter(drafts=4))
    bench.evaluator = ScriptedEvaluator(outcome_of=lambda candidate: outcome)
    why = bench.run(target_speedup=2.0, max_attempts=4)
    target = "the target of 2 times the best baseline's speed is reached"
    assert why == (target if steps == 1 else "the budget of 4 attempts is used up")
    assert len(bench.state.steps) == steps


def limited(headroom):
    """A judge that says of everything how far from the roofline it is."""
    said = None if headroom is None else Diagnosis(bottleneck="unknown", headroom=headroom)
    return ScriptedEvaluator(
        outcome_of=lambda candidate: passed(2.0).model_copy(update={"profile": said})
    )


def test_a_search_ends_when_the_roofline_leaves_nothing_to_gain():
    bench = Bench(sketch=NumberWriter(drafts=4))
    bench.evaluator = limited(1.08)
    assert "no more than 1.08 times the best attempt's speed" in bench.run(min_headroom=1.1)
    assert len(bench.state.steps) == 1


@pytest.mark.parametrize("headroom", [1.2, None])
def test_a_search_goes_on_while_there_is_room_or_no_roofline(headroom):
    bench = Bench(sketch=NumberWriter(drafts=9))
    bench.evaluator = limited(headroom)
    assert bench.run(min_headroom=1.1, max_attempts=4) == "the budget of 4 attempts is used up"


class Paid(NumberWriter):
    """Each proposal costs `cost_usd`."""

    cost_usd = 0.5

    async def propose(self, assignment):
        made = await super().propose(assignment)
        call = ModelCall(
            role="writer", model="m", request="", reply="", cost_usd=self.cost_usd,
            usage=Usage(input_tokens=7, output_tokens=3),
        )  # fmt: skip
        return made.model_copy(update={"model_calls": (call,)})


def test_a_budget_of_dollars_ends_the_search():
    bench = Bench(llm=Paid(), tuner=NumberWriter())
    assert bench.run(max_cost_usd=1.2) == "the budget of 1.2 dollars is used up"
    spent = bench.state.spent
    assert (spent.cost_usd, spent.input_tokens, spent.output_tokens) == (1.5, 21, 9)


def test_a_budget_of_dollars_cannot_be_kept_without_prices():
    bench = Bench(llm=Paid(), tuner=NumberWriter())
    bench.writers["llm"].cost_usd = None
    assert "price is not known" in bench.run(max_cost_usd=1.0)
    assert len(bench.state.steps) == 1


@pytest.mark.parametrize("faults", [1, 2 * QUICK.tries])
def test_calls_that_were_answered_before_a_fault_are_spent(faults):
    class Broken(Paid):
        async def propose(self, assignment):
            nonlocal faults
            made = await super().propose(assignment)
            faults -= 1
            if faults < 0:
                return made
            error = ModelError("The second of two models is on strike.")
            error.model_calls = made.model_calls
            raise error

    broken = faults
    bench = Bench(llm=Broken(), tuner=NumberWriter(tunables=()))
    bench.run(max_attempts=2)
    written = sum(s.proposal is not None for s in bench.state.steps.values())
    assert bench.state.spent.cost_usd == 0.5 * (broken + written)
    assert len(bench.state.steps[1].model_calls) == min(QUICK.tries, broken + 1)
    assert sum(len(s.model_calls) for s in bench.state.steps.values()) == broken + written
    assert fold(bench.store.records()) == bench.state


def test_a_budget_of_no_dollars_still_tries_what_is_free():
    bench = Bench()
    bench.run(max_cost_usd=0.0, max_attempts=3)
    assert len(bench.state.steps) == 3


def test_a_text_that_was_made_before_is_not_judged_again():
    class Same(NumberWriter):
        async def propose(self, assignment):
            candidate = number_candidate(2.0)
            return Proposal(step=99, plan=assignment.plan, candidate=candidate)

    bench = Bench(llm=Same(), tuner=NumberWriter())
    bench.run(max_attempts=3)
    assert len(bench.evaluator.asked) == 1
    assert [a.reason for a in bench.state.history.attempts] == [
        None,
        "It is the same as the candidate of step 1.",
        "It is the same as the candidate of step 1.",
    ]


def test_a_fault_is_retried_and_not_charged_to_the_candidate():
    bench = Bench()
    bench.evaluator.faults = [WorkerError("the runner did not start"), WorkerError("again")]
    bench.run(max_attempts=1)
    assert bench.kinds == ["started", "plan", "proposal", "fault", "fault", "evaluation"]
    (attempt,) = bench.state.history.attempts
    assert attempt.score is not None
    assert attempt.reason is None


def test_a_lost_device_is_told_apart_from_other_faults():
    bench = Bench()
    bench.evaluator.faults = [DeviceLost("The GPU hangs."), WorkerError("broken")]
    bench.run(max_attempts=1)
    assert [fault.where for fault in bench.state.faults] == ["device", "ours"]


def test_a_fault_that_stays_ends_the_attempt_without_a_verdict():
    bench = Bench()
    bench.evaluator.faults = [WorkerError("broken")] * 3
    bench.run(max_attempts=2)
    first, second = bench.state.history.attempts
    assert (first.evaluation, first.reason) == (None, "broken")
    assert second.evaluation is not None


def test_a_judge_that_keeps_failing_ends_the_search():
    bench = Bench(sketch=NumberWriter(drafts=20))
    bench.evaluator.faults = [WorkerError("broken")] * 99
    assert bench.run() == "the judge failed 3 times in a row"
    assert len(bench.state.steps) == 3


def test_a_writer_whose_faults_persist_is_dropped_and_the_others_go_on():
    bench = Bench(sketch=NumberWriter(drafts=3), llm=NumberWriter(), tuner=NumberWriter())
    bench.writers["llm"].faults = [ModelError("The model cannot be reached.")] * 99
    bench.run()
    dropped = [f for f in bench.state.faults if f.step is None]
    assert len(dropped) == 1
    assert "'llm' failed 2 times in a row" in dropped[0].message
    assert "cannot be reached" in dropped[0].message
    assert len(bench.writers["llm"].asked) == 2 * QUICK.tries
    assert bench.state.history.best.plan.writer in ("sketch", "tuner")


def test_only_failures_in_a_row_drop_a_writer():
    class Moody(NumberWriter):
        async def propose(self, assignment):
            if assignment.step % 2:
                raise ModelError("down")
            return await super().propose(assignment)

    bench = Bench(sketch=Moody(drafts=9, tunables=()))
    bench.run(max_attempts=6)
    assert [f.step for f in bench.state.faults] == [1, 1, 1, 3, 3, 3, 5, 5, 5]
    assert [s.plan.variant for s in bench.state.steps.values()] == [0, 0, 1, 1, 2, 2]


def test_only_failures_in_a_row_end_the_search():
    class Moody(ScriptedEvaluator):
        async def evaluate(self, candidate, effort):
            seen = list(dict.fromkeys(id for id, _ in [*self.asked, (candidate.id, effort)]))
            if seen.index(candidate.id) % 3 < 2:
                self.faults = [WorkerError("broken")]
            return await super().evaluate(candidate, effort)

    bench = Bench(sketch=NumberWriter(drafts=20))
    bench.evaluator = Moody()
    assert bench.run(max_attempts=7) == "the budget of 7 attempts is used up"


def test_a_bug_in_a_writer_does_not_end_the_run():
    class Broken(NumberWriter):
        async def propose(self, assignment):
            raise ZeroDivisionError("oops")

    bench = Bench(llm=Broken(), sketch=NumberWriter(), tuner=NumberWriter())
    bench.run()
    assert bench.state.faults[0].message == "ZeroDivisionError: oops"
    assert bench.state.history.best is not None


def test_what_this_machine_lacks_ends_the_run_with_that_sentence():
    bench = Bench()
    bench.evaluator.outcome_of = lambda candidate: _raise(Unavailable("g++ is missing."))
    with pytest.raises(Unavailable, match=r"g\+\+ is missing"):
        bench.run()


def _raise(error):
    raise error


def test_a_plan_for_a_writer_that_is_not_there_is_an_error_that_names_it():
    class Odd:
        def ask(self, history, count):
            return [Plan(kind="draft", language="cpp", writer="skech")]

    with pytest.raises(UnknownName, match="'sketch'"):
        Bench().run(strategy_for=lambda dropped: Odd())


def test_a_full_disk_stops_the_run_with_one_clear_error():
    class Full(MemoryStore):
        def append(self, event):
            if len(self.records()) == 5:
                raise StoreError("The disk is full.")
            return super().append(event)

    bench = Bench(store=Full())
    with pytest.raises(StoreError, match="disk is full"):
        bench.run(width=3)
    assert fold(bench.store.records()) == bench.state


def test_stopping_leaves_the_writers_and_finishes_what_is_being_judged():
    bench = Bench(sketch=NumberWriter(), llm=NumberWriter(delay_s=60), tuner=NumberWriter())
    bench.evaluator.delay_s = 0.2
    bench.log._observer = lambda event: event.kind == "proposal" and bench.stop.set()
    assert bench.run(width=2) == "it was interrupted"
    assert [s.plan.writer for s in bench.state.unfinished] == ["llm"]
    (finished,) = bench.state.history.attempts
    assert finished.evaluation is not None


def test_a_judges_log_is_kept_as_a_blob():
    class Wordy(ScriptedEvaluator):
        async def evaluate(self, candidate, effort):
            return (await super().evaluate(candidate, effort)).model_copy(update={"log": "line\n"})

    bench = Bench()
    bench.evaluator = Wordy()
    bench.run(max_attempts=1)
    key = bench.state.steps[1].evaluation.log
    assert bench.store.get(key) == b"line\n"


@pytest.mark.parametrize("cut", range(1, 16))
def test_a_search_that_is_cut_anywhere_goes_on_as_if_nothing_had_happened(cut):
    whole = Bench()
    whole.run(max_attempts=8)
    events = list(whole.store.records())
    store = MemoryStore()
    for event in events[:cut]:
        store.append(event)
    resumed = Bench(store=store)
    resumed.log.record("resumed", {"version": "0"})
    resumed.run(max_attempts=8)
    assert resumed.state.steps == whole.state.steps
    judged = [candidate for candidate, _ in resumed.evaluator.asked]
    before = [e.data["evaluation"]["candidate_id"] for e in events[:cut] if e.kind == "evaluation"]
    assert not set(judged) & set(before)


def test_events_are_plain_json():
    bench = Bench()
    bench.run(max_attempts=3)
    for event in bench.store.records():
        assert Event.model_validate(json.loads(event.model_dump_json())) == event


# -- promotion --


def promoted(bench):
    return asyncio.run(promote(bench.log, bench.evaluator, QUICK))


def test_the_best_candidate_is_judged_again_and_wins():
    bench = Bench()
    bench.run()
    best = bench.state.history.best
    assert promoted(bench) == best.step
    assert bench.evaluator.asked[-1] == (best.candidate.id, "promotion")
    (promotion,) = bench.state.promotions
    assert promotion.evaluation.effort == "promotion"


def attempt(step, speedup, *, noise=(1, 1, 1, 1, 1)):
    """An attempt of this median speedup; each of its blocks took `noise` times as long."""
    candidate, outcome = number_candidate(speedup), passed(speedup)
    timed = tuple(
        m.model_copy(
            update={"elapsed_ns": tuple(n * t for n, t in zip(noise, m.elapsed_ns, strict=True))}
        )
        if m.subject == "candidate"
        else m
        for m in outcome.measurements
    )
    outcome = outcome.model_copy(update={"measurements": timed})
    plan = Plan(kind="draft", language="cpp", writer="sketch")
    evaluation = evaluation_of(candidate, outcome)
    return Attempt(step=step, plan=plan, candidate=candidate, evaluation=evaluation)


def test_a_noisy_figure_is_neither_the_best_nor_promoted_before_a_sure_one():
    noisy, sure = attempt(1, 4.0, noise=(9, 9, 1, 1, 1)), attempt(2, 2.0)
    history = History(attempts=(noisy, sure))
    assert noisy.score > sure.score
    assert history.best is sure
    assert list(finalists(history)) == [sure, noisy]


def test_when_the_best_does_not_pass_again_another_text_is_promoted():
    bench = Bench(sketch=NumberWriter(drafts=3), tuner=NumberWriter())
    bench.run()
    best = bench.state.history.best
    text = best.candidate.source

    def outcome_of(candidate):
        broken = number_candidate("broken")
        return verdict(broken) if candidate.source == text else verdict(candidate)

    bench.evaluator.outcome_of = outcome_of
    step = promoted(bench)
    assert bench.state.steps[step].candidate.source != text
    assert len(bench.state.promotions) == 2


def test_a_promotion_that_is_in_the_log_is_not_repeated():
    bench = Bench()
    bench.run()
    first = promoted(bench)
    bench.evaluator.asked.clear()
    assert promoted(bench) == first
    assert bench.evaluator.asked == []


def test_a_judge_that_breaks_at_promotion_leaves_the_winner_in_its_place():
    bench = Bench()
    bench.run()
    bench.evaluator.faults = [WorkerError("broken")] * 9
    assert promoted(bench) == bench.state.history.best.step
    assert bench.state.promotions == ()


def test_with_nothing_that_passed_nothing_is_promoted():
    bench = Bench(sketch=NumberWriter(broken=1), tuner=NumberWriter())
    bench.run()
    assert promoted(bench) is None


def test_what_passed_but_could_not_be_timed_may_win():
    bench = Bench(sketch=NumberWriter(drafts=1, tunables=()), tuner=NumberWriter())
    untimed = passed(1.0).model_copy(update={"measurements": ()})
    bench.evaluator.outcome_of = lambda candidate: untimed
    bench.run()
    assert promoted(bench) == 1


def test_what_a_broken_judge_said_is_taken_back_and_judged_again():
    class Broken(ScriptedEvaluator):
        judged: list[str] = []

        async def evaluate(self, candidate, effort):
            self.judged = [*self.judged, candidate.id]
            if len(self.judged) == 3:
                raise JudgeBroken("The canary died.", tuple(self.judged[:2]))
            return await super().evaluate(candidate, effort)

    bench = Bench(sketch=NumberWriter(drafts=4, tunables=()))
    bench.evaluator = Broken()
    bench.run(max_attempts=4)
    voided = bench.kinds.index("void")
    assert bench.kinds[:voided].count("evaluation") == 2
    assert bench.kinds[voided:].count("evaluation") == 4
    assert all(step.evaluation is not None for step in bench.state.steps.values())
    assert sorted(bench.evaluator.judged[3:]) == sorted({*bench.evaluator.judged})
    assert fold(bench.store.records()) == bench.state


def test_a_judge_that_breaks_while_a_writer_asks_it_takes_its_verdicts_back_too():
    class Asking(NumberWriter):
        async def propose(self, assignment):
            made = await super().propose(assignment)
            if len(self.asked) == 3:
                judged = [candidate_id for candidate_id, _ in bench.evaluator.asked]
                raise JudgeBroken("The canary died.", tuple(judged))
            return made

    bench = Bench(sketch=Asking(drafts=4, tunables=()))
    bench.run(max_attempts=4)
    voided = bench.kinds.index("void")
    assert bench.kinds[:voided].count("evaluation") == 2
    assert bench.kinds[voided:].count("evaluation") == 4
    assert all(step.evaluation is not None for step in bench.state.steps.values())
    assert fold(bench.store.records()) == bench.state
