"""What all strategies do, and what the plain ones are for; the others have files of their own."""

from dataclasses import replace

import pytest

from kernelwright.core.candidate import Plan, Tunable
from kernelwright.core.evaluation import BuildFailed, Passed
from kernelwright.core.run import Attempt, History
from kernelwright.search.beam import Beam
from kernelwright.search.best_of_n import BestOfN
from kernelwright.search.drafting import Drafter
from kernelwright.search.evolve import Evolve
from kernelwright.search.from_outside import FromOutside
from kernelwright.search.refine import Refine
from kernelwright.search.rewriting import MAX_REPAIRS
from kernelwright.search.tree import Tree
from kernelwright.search.tuning import PATIENCE, next_tune
from kernelwright.testing.evaluators import TILE, evaluation_of, number_candidate, passed
from kernelwright.testing.histories import attempt, draft, refine, retune
from kernelwright.testing.strategies import DRAFTERS, StrategyContract, play

SKETCH = Drafter(writer="sketch", language="cpp")
LLM = Drafter(writer="llm", language="cpp", limit=4, refines=True)
REPAIRING = [Refine, Beam, Evolve, Tree]


class TestBestOfN(StrategyContract):
    @pytest.fixture
    def strategy(self):
        return BestOfN(drafters=DRAFTERS, seed=7, n=10)


class TestRefine(StrategyContract):
    @pytest.fixture
    def strategy(self):
        return Refine(drafters=DRAFTERS, seed=7)


def test_a_run_that_an_agent_leads_asks_for_nothing():
    tried = History(attempts=(attempt(1, Plan(kind="draft", language="cpp", writer="x"), 2.0),))
    for history in (History(), tried):
        assert FromOutside(drafters=DRAFTERS).ask(history, 4) == ()


def plans_of(strategy, **kwargs):
    return [plan for question in play(strategy, **kwargs) for plan in question.answer]


@pytest.mark.parametrize("strategy", [BestOfN, *REPAIRING])
def test_drafts_alternate_over_writers_and_languages(strategy):
    drafters = (SKETCH, LLM, replace(LLM, language="triton"))
    asked = strategy(drafters=drafters).ask(History(), 6)
    assert [(p.writer, p.language, p.variant) for p in asked] == [
        ("sketch", "cpp", 0), ("llm", "cpp", 0), ("llm", "triton", 0),
        ("sketch", "cpp", 1), ("llm", "cpp", 1), ("llm", "triton", 1),
    ]  # fmt: skip


@pytest.mark.parametrize("strategy", [BestOfN, *REPAIRING])
def test_a_writer_with_a_list_ends_at_its_first_reason(strategy):
    history = History(attempts=(attempt(1, draft("sketch"), 2.0), attempt(2, draft("sketch", 1))))
    assert strategy(drafters=(SKETCH,)).ask(history, 3) == []


@pytest.mark.parametrize("strategy", REPAIRING)
def test_a_model_whose_answer_is_useless_is_asked_again(strategy):
    history = History(attempts=(attempt(1, draft("llm")),))
    assert [p.variant for p in strategy(drafters=(LLM,)).ask(history, 9)] == [1, 2, 3]


@pytest.mark.parametrize("strategy", [BestOfN, *REPAIRING])
def test_a_draft_that_a_fault_of_ours_lost_is_asked_for_again(strategy):
    lost = replace(attempt(2, draft("sketch", 1)), faulted=True)
    history = History(attempts=(attempt(1, draft("sketch"), 2.0), lost))
    assert [p.variant for p in strategy(drafters=(SKETCH,)).ask(history, 2)] == [1, 2]


@pytest.mark.parametrize("strategy", [BestOfN, *REPAIRING])
def test_a_text_that_was_made_before_does_not_end_a_writer(strategy):
    seen = attempt(2, draft("sketch", 1), 2.0, reason="made before")
    history = History(attempts=(attempt(1, draft("sketch"), 2.0), seen))
    assert [p.variant for p in strategy(drafters=(SKETCH,)).ask(history, 1)] == [2]


def test_best_of_n_drafts_n_and_then_tunes():
    kinds = [p.kind for p in plans_of(BestOfN(drafters=(LLM,), n=3), width=1, broken=0)]
    assert kinds[:3] == ["draft"] * 3
    assert set(kinds[3:]) == {"tune"}


def test_best_of_n_asks_a_writer_with_a_list_no_further_than_its_end():
    listed = Drafter(writer="library", language="cpp", limit=1, listed=True)
    drafts = [
        p.writer
        for p in plans_of(BestOfN(drafters=(listed, LLM), n=3), width=1, broken=0)
        if p.kind == "draft"
    ]
    assert drafts == ["library", "llm", "llm"]


@pytest.mark.parametrize("strategy", REPAIRING)
def test_a_failure_is_repaired_at_most_twice(strategy):
    history = History(attempts=tuple(attempt(i + 1, draft("llm", i), f"e{i}") for i in range(4)))
    repairs = 0
    while plans := strategy(drafters=(LLM,)).ask(history, 1):
        repairs += 1
        broken = attempt(10 + repairs, plans[0], f"again {repairs}")
        history = replace(history, attempts=(*history.attempts, broken))
    assert repairs == MAX_REPAIRS * 4


@pytest.mark.parametrize("strategy", REPAIRING)
def test_a_repair_works_on_the_newest_text_of_its_line(strategy):
    first = attempt(1, draft("llm"), "error one")
    second = attempt(2, refine(first), "error two")
    asked = strategy(drafters=(replace(LLM, limit=1),)).ask
    assert asked(History(attempts=(first,)), 1) == [refine(first)]
    assert asked(History(attempts=(first, second)), 1) == [refine(second)]


@pytest.mark.parametrize("strategy", REPAIRING)
def test_a_line_that_was_mended_is_not_repaired_again(strategy):
    first = attempt(1, draft("llm"), "error one")
    second = attempt(2, refine(first), 1.5)
    asked = strategy(drafters=(replace(LLM, limit=1),)).ask
    assert asked(History(attempts=(first, second)), 1) == [refine(second)]


@pytest.mark.parametrize("strategy", REPAIRING)
def test_a_repair_that_is_out_is_waited_for(strategy):
    first = attempt(1, draft("llm"), "error one")
    history = History(attempts=(first,), pending=(refine(first),))
    assert strategy(drafters=(replace(LLM, limit=1),)).ask(history, 2) == []


@pytest.mark.parametrize("strategy", REPAIRING)
def test_a_fault_of_ours_is_not_repaired(strategy):
    broken = attempt(1, draft("llm"), 2.0, reason="the sandbox died")
    asked = strategy(drafters=(replace(LLM, limit=1),)).ask
    assert asked(History(attempts=(broken,)), 1) == []


@pytest.mark.parametrize("strategy", REPAIRING)
def test_verdicts_that_are_taken_back_and_faults_do_not_disturb_a_search(strategy):
    """A verdict that is taken back leaves children behind whose parent is out again."""
    made = strategy(drafters=DRAFTERS, seed=7)
    whole = play(made, width=1)[-1].history.attempts
    for lost in range(0, len(whole), 4):
        rest = (*whole[:lost], *whole[lost + 1 :])
        hurt = replace(whole[lost], evaluation=None, reason="no sandbox", faulted=True)
        for history in (
            History(attempts=rest, pending=(whole[lost].plan,)),
            History(attempts=(*whole[:lost], hurt, *whole[lost + 1 :])),
        ):
            known = [*(a.plan for a in history.attempts), *history.pending]
            # A draft that was lost is asked for again, as it was.
            again = [p for p in made.ask(history, 2) if p in known and p.kind != "draft"]
            assert again == []


def test_refinement_and_tuning_take_turns():
    strategy = Refine(drafters=(SKETCH, LLM))
    kinds = [p.kind for p in plans_of(strategy, width=1, broken=0)]
    after = kinds[kinds.index("refine") :]
    assert after[:6] == ["refine", "tune"] * 3


@pytest.mark.parametrize("strategy", REPAIRING)
def test_without_a_writer_that_refines_there_is_only_tuning(strategy):
    kinds = {p.kind for p in plans_of(strategy(drafters=(SKETCH,)), width=1)}
    assert kinds == {"draft", "tune"}


def test_refinement_ends_when_it_gains_nothing():
    history = History(attempts=(attempt(1, draft("llm"), 2.0),))
    strategy, asked = Refine(drafters=(replace(LLM, limit=1),), patience=3), 0
    while plans := strategy.ask(history, 1):
        asked += 1
        worse = attempt(1 + asked, plans[0], 1.0 + asked / 100)
        history = replace(history, attempts=(*history.attempts, worse))
    assert asked == 3


def test_tuning_finds_the_best_setting_of_a_small_space_and_stops():
    history = History(attempts=(attempt(1, draft("sketch"), 2.0, tunables=(TILE,)),))
    for step in range(2, 9):
        plan = next_tune(history, seed=0)
        if plan is None:
            break
        tried = attempt(step, plan, 2.0, tunables=(TILE,), settings=plan.settings)
        history = replace(history, attempts=(*history.attempts, tried))
    assert history.best.candidate.values == {"TILE": 4}
    assert len(history.attempts) == len(TILE.choices)


def test_tuning_leaves_a_text_alone_after_its_patience():
    wide = Tunable(name="WIDE", choices=tuple(range(1000)), default=0)
    history = History(attempts=(attempt(1, draft("sketch"), 2.0, tunables=(wide,)),))
    count = 0
    while plan := next_tune(history, seed=3):
        count += 1
        flat = attempt(1 + count, plan, 2.0, tunables=(wide,), settings=plan.settings)
        history = replace(history, attempts=(*history.attempts, flat))
    assert count == PATIENCE


def noisy(outcome, spread):
    """`outcome` as a busy machine tells it: each block of the candidate is off by `spread`."""
    measurements = [
        m.model_copy(update={"elapsed_ns": tuple(_off(m.elapsed_ns, spread))})
        if m.subject == "candidate"
        else m
        for m in outcome.measurements
    ]
    return outcome.model_copy(update={"measurements": tuple(measurements)})


def _off(elapsed_ns, spread):
    return [round(ns * (1 + spread * (i % 5 - 2) / 2)) for i, ns in enumerate(elapsed_ns)]


@pytest.mark.parametrize(("spread", "asked"), [(0.4, PATIENCE), (0.0, 3 * PATIENCE)])
def test_tuning_goes_on_for_gains_that_are_sure_and_not_for_noise(spread, asked):
    """Each setting is 3% faster by its median than all before it, until there have been many."""
    wide = Tunable(name="WIDE", choices=tuple(range(1000)), default=0)
    history = History(attempts=(attempt(1, draft("sketch"), 2.0, tunables=(wide,)),))
    count = 0
    while (plan := next_tune(history, seed=3)) and count < 3 * PATIENCE:
        count += 1
        tuned = history.attempts[0].candidate.tuned(plan.settings)
        outcome = noisy(passed(2.0 * 1.03**count), spread)
        tried = Attempt(
            step=1 + count, plan=plan, candidate=tuned, evaluation=evaluation_of(tuned, outcome)
        )
        history = replace(history, attempts=(*history.attempts, tried))
    assert count == asked


def test_tuning_begins_with_the_fastest_and_skips_what_is_far_behind():
    slow, fast = (
        attempt(i, draft("sketch", i), s, tunables=(TILE,)) for i, s in [(1, 1.0), (2, 3.0)]
    )
    history = History(attempts=(slow, fast))
    asked = [p for q in [Refine(drafters=()).ask(history, 50)] for p in q]
    assert {p.parents for p in asked} == {(fast.candidate.id,)}
    assert len(asked) == len(TILE.choices) - 1


def test_settings_that_failed_count_as_tried():
    good = attempt(1, draft("sketch"), 2.0, tunables=(TILE,))
    plan = next_tune(History(attempts=(good,)), seed=0)
    tuned = good.candidate.tuned(plan.settings)
    outcome = BuildFailed(diagnostics="no")
    bad = Attempt(step=2, plan=plan, candidate=tuned, evaluation=evaluation_of(tuned, outcome))
    following = next_tune(History(attempts=(good, bad)), seed=0)
    assert following.settings not in (plan.settings, good.candidate.values)


def test_what_passed_but_was_not_timed_is_not_tuned():
    candidate = number_candidate(1.0, tunables=(TILE,))
    outcome = Passed(agreements=passed(1.0).agreements)
    only = Attempt(
        step=1,
        plan=draft("sketch"),
        candidate=candidate,
        evaluation=evaluation_of(candidate, outcome),
    )
    assert next_tune(History(attempts=(only,)), seed=0) is None


def test_the_seed_decides_which_settings_are_tried():
    wide = Tunable(name="WIDE", choices=tuple(range(1000)), default=500)
    first = attempt(1, draft("sketch"), 2.0, tunables=(wide,))
    tried = {next_tune(History(attempts=(first,)), seed=seed).settings["WIDE"] for seed in range(5)}
    assert tried == {499, 501}
    beside = [
        attempt(step, retune(first, WIDE=value), 1.0, tunables=(wide,))
        for step, value in ((2, 499), (3, 501))
    ]
    history = History(attempts=(first, *beside))
    tried = {next_tune(history, seed=seed).settings["WIDE"] for seed in range(5)}
    assert len(tried) > 1


def test_one_step_from_the_best_is_tried_before_anything_else():
    rows = Tunable(name="ROWS", choices=(1, 2, 4, 8, 16), default=4)
    flag = Tunable(name="FLAG", choices=(0, 1), default=0)
    history = History(attempts=(attempt(1, draft("sketch"), 2.0, tunables=(rows, flag)),))
    plans = []
    while len(plans) < 4:
        plans.append(next_tune(history, seed=1))
        history = replace(history, pending=(*history.pending, plans[-1]))
    beside = [{"ROWS": 2, "FLAG": 0}, {"ROWS": 8, "FLAG": 0}, {"ROWS": 4, "FLAG": 1}]
    assert all(settings in [p.settings for p in plans[:3]] for settings in beside)
    assert plans[3].settings not in beside
