"""result.json: the keys that programs rely on, and what each says when there is nothing to say."""

import json

import pytest

from kernelwright.core.candidate import Plan
from kernelwright.core.errors import UsageError
from kernelwright.core.evaluation import BuildFailed, Crashed, Passed
from kernelwright.core.statistics import CANDIDATE, by_subject, median_ns
from kernelwright.report.result import Result, figures, result_of
from kernelwright.report.story import Story
from kernelwright.store.memory import MemoryStore
from kernelwright.testing.runs import Log, candidate, evaluation, measurements, passed, write_run

DRAFT = Plan(kind="draft", language="cpp", writer="sketch")


def told(*writes) -> Result:
    """The result of a run whose log `writes` fill after its start."""
    log = Log(MemoryStore())
    log.start()
    for write in writes:
        write(log)
    return result_of(Story.of(log.store.records()), path="best.cpp")


def test_it_holds_every_key_that_is_promised(story):
    result = json.loads(result_of(story, path="best.cpp").model_dump_json())
    assert {
        "problem", "device", "language", "writer", "attempts", "outcome", "best", "baselines",
        "speedup", "vs_best", "checks", "not_checked", "cost_usd", "tokens", "wall_s", "buffer",
    } <= result.keys()  # fmt: skip
    assert result["best"].keys() == {"candidate_id", "path", "lane", "isolation"}
    assert result["vs_best"].keys() >= {"baseline", "median", "ci_low", "ci_high"}
    assert result["speedup"].keys() == result["baselines"].keys() == {"eager", "torch.compile"}
    assert result["speedup"]["eager"].keys() == {"median", "ci_low", "ci_high"}
    assert result["checks"][0].keys() == {"name", "count"}


def test_it_reads_back_as_it_was_written(story):
    result = result_of(story, path="best.cpp")
    assert Result.model_validate_json(result.model_dump_json()) == result


def test_the_figures_are_those_of_the_promotion_and_not_of_the_search(story):
    promotion = story.state.promotions[-1].evaluation.outcome
    searched = story.steps[-1].evaluation.outcome
    result = result_of(story, path="best.cpp")
    assert result.promoted
    assert result.candidate_ns == median_ns(by_subject(promotion.measurements)[CANDIDATE])
    assert result.candidate_ns != median_ns(by_subject(searched.measurements)[CANDIDATE])


def test_the_two_regimes_are_kept_apart(story):
    result = result_of(story, path="best.cpp")
    assert result.buffer.candidate_ns == pytest.approx(result.candidate_ns * 0.6, rel=0.05)
    assert result.buffer.vs_best.median > result.vs_best.median
    assert result.returned.vs_best == result.vs_best


def test_tuned_text_is_credited_to_whoever_wrote_it(story):
    assert story.best_step.plan.writer == "tuner"
    assert result_of(story, path=None).writer == "llm"


def test_the_control_is_named_after_the_baseline_that_it_repeats(story):
    control = result_of(story, path=None).control
    assert control.baseline == "torch.compile"
    assert control.ci_low < 1.02
    assert control.ci_high > 0.98


def test_tokens_and_cost_add_up_over_all_attempts(story):
    result = result_of(story, path=None)
    assert result.tokens == 4 * (2100 + 640)
    assert result.cost_usd == pytest.approx(4 * 0.0123)
    assert result.model_calls == 4
    assert result.faults == 1


def test_one_unknown_price_makes_the_cost_unknown(story):
    step = story.steps[1]
    call = step.proposal.model_calls[0].model_copy(update={"cost_usd": None})
    result = told(lambda log: log.attempt(0, DRAFT, None, reason="no code", calls=[call]))
    assert result.cost_usd is None


def test_a_run_in_which_nothing_passed_has_no_best_and_no_figures():
    made = candidate("int x")
    result = told(lambda log: log.attempt(0, DRAFT, made, BuildFailed(diagnostics="no")))
    assert (result.outcome, result.best, result.vs_best, result.baselines) == (
        "nothing_passed", None, None, {},
    )  # fmt: skip
    assert not result.faster


def test_a_pass_that_was_not_timed_is_a_pass_without_figures():
    made = candidate("right")
    untimed = Passed(agreements=passed(1e6).agreements)
    result = told(lambda log: log.attempt(0, DRAFT, made, untimed))
    assert result.outcome == "passed"
    assert result.candidate_ns is None
    assert result.vs_best is None
    assert result.speedup == {}


def test_a_candidate_that_failed_its_promotion_is_not_handed_back():
    quick, slow = candidate("quick but flaky"), candidate("slow and sound")
    result = told(
        lambda log: log.attempt(0, DRAFT, quick, passed(1e6)),
        lambda log: log.attempt(1, DRAFT, slow, passed(4e6)),
        lambda log: log.verdict(
            "promotion",
            0,
            evaluation(quick, Crashed(stage="sanitize", signal="SIGSEGV", detail="out of bounds")),
        ),
    )
    assert result.best.candidate_id == slow.id
    assert not result.promoted


def test_where_the_promotion_refused_the_only_one_it_is_said_why():
    made = candidate("right in the search")
    died = Crashed(stage="sanitize", signal="SIGSEGV", detail="out of bounds")
    result = told(
        lambda log: log.attempt(0, DRAFT, made, passed(1e6)),
        lambda log: log.verdict("promotion", 0, evaluation(made, died)),
        lambda log: log.add("finished", {"reason": "done", "step": None}),
    )
    assert result.outcome == "nothing_passed"
    assert result.reason == (
        "right in the search, and on promotion died in sanitize with SIGSEGV: out of bounds"
    )


def test_the_step_that_the_run_ended_on_decides_between_promotions():
    one, two = candidate("one"), candidate("two")
    result = told(
        lambda log: log.attempt(0, DRAFT, one, passed(2e6)),
        lambda log: log.attempt(1, DRAFT, two, passed(2.1e6)),
        lambda log: log.verdict("promotion", 0, evaluation(one, passed(2e6))),
        lambda log: log.verdict("promotion", 1, evaluation(two, passed(2.1e6))),
        lambda log: log.add("finished", {"reason": "done", "step": 0}),
    )
    assert result.best.candidate_id == one.id


def test_a_run_that_ended_with_nothing_hands_nothing_back():
    made = candidate("passed the search, and was never promoted")
    result = told(
        lambda log: log.attempt(1, DRAFT, made, passed(2e6)),
        lambda log: log.add("finished", {"reason": "done", "step": None}),
    )
    assert result.outcome == "nothing_passed"


def test_a_winner_whose_promotion_broke_keeps_the_figures_of_the_search():
    made = candidate("one")
    result = told(
        lambda log: log.attempt(1, DRAFT, made, passed(2e6)),
        lambda log: log.add("finished", {"reason": "done", "step": 1}),
    )
    assert result.best.candidate_id == made.id
    assert not result.promoted


def test_a_run_that_was_cut_off_says_so():
    store = MemoryStore()
    write_run(store, finished=False)
    story = Story.of(store.records())
    result = result_of(story, path=None)
    assert not result.finished
    assert not result.promoted
    assert result.outcome == "passed"


def test_a_run_that_stopped_before_its_problem_was_loaded_is_refused_with_a_sentence():
    store = MemoryStore()
    with pytest.raises(UsageError, match="resume"):
        Story.of(store.records())


def test_a_regime_that_was_not_timed_has_no_figures():
    assert figures(measurements({CANDIDATE: 1e6, "eager": 2e6}, "returned"), "buffer") is None


def test_a_control_is_of_the_baseline_that_it_repeats_whatever_it_came_out_at():
    times = {CANDIDATE: 1e6, "eager": 12e6, "torch.compile": 5e6, "control": 5e6}
    measured = measurements(times, "returned", repeats="eager")
    control = figures(measured, "returned").control
    assert control.baseline == "eager"
    assert control.median == pytest.approx(12 / 5, rel=0.1)
