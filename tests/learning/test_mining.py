"""What is drawn from pools and runs."""

import pytest
from tests.compare.conftest import TILE

from kernelwright.core.evaluation import BuildFailed
from kernelwright.core.interval import Interval
from kernelwright.core.run import History
from kernelwright.knowledge.lessons.lesson import Before, Change, Evidence, Repair, Setting
from kernelwright.learning.mining import gain, half, mined
from kernelwright.learning.pairs import Pair, in_pool, in_run
from kernelwright.testing.evaluators import number_candidate, row_problem, verdict
from kernelwright.testing.histories import attempt, draft, refine, retune


def pair(problem, ratio, advice=None):
    found = Interval(mean=ratio, ci_low=ratio * 0.99, ci_high=ratio * 1.01) if ratio else None
    evidence = Evidence(
        source="pool x", problem=problem, reference="", slow="a", fast="b", ratio=found
    )
    advice = advice or Setting(sketch="s", settings={"TILE": 4})
    return Pair(language="cpp", device="d", advice=advice, evidence=evidence)


def test_settings_that_helped_on_all_problems_are_a_lesson(make_pools, read):
    folder = make_pools(a=(2.0,), b=(3.0,))
    pairs = [p for name in "ab" for p in in_pool(name, read(folder, name))]
    best, second = mined(pairs)
    assert best.advice == Setting(sketch="s0", settings={"TILE": 4})
    assert second.advice == Setting(sketch="s0", settings={"TILE": 2})
    assert [e.problem for e in best.evidence] == ["a", "b"]
    assert best.evidence[0].ratio.mean == pytest.approx(1.2, rel=0.01)
    assert (best.status, best.device) == ("untested", "none, 1 threads")


def test_a_later_sketch_that_is_faster_is_to_be_tried_before(make_pools, read):
    pairs = list(in_pool("a", read(make_pools(a=(2.0, 3.0)), "a")))
    assert Before(sketch="s1", other="s0") in [lesson.advice for lesson in mined(pairs)]
    pairs = list(in_pool("b", read(make_pools(b=(3.0, 2.0)), "b")))
    assert not [lesson for lesson in mined(pairs) if isinstance(lesson.advice, Before)]


def test_evidence_against_a_lesson_is_kept_and_may_outweigh_it():
    (lesson,) = mined([pair("a", 1.5), pair("b", 0.9)])
    assert [e.ratio.mean for e in lesson.evidence] == [1.5, 0.9]
    assert mined([pair("a", 1.5), pair("b", 0.5)]) == []
    # What fails counts as a tenth of the speed.
    assert mined([pair("a", 1.5), pair("b", None)]) == []
    # Within 2% is nothing, and so is what is not sure.
    assert mined([pair("a", 1.02), pair("b", 1.01)]) == []


def test_a_problem_counts_once_and_few_problems_count_less():
    once, twice = mined([pair("a", 1.5)])[0], mined([pair("a", 1.5), pair("a", 1.5)])[0]
    assert gain(once) == pytest.approx(gain(twice))
    assert gain(mined([pair("a", 1.5), pair("b", 1.5)])[0]) > gain(once)


def test_of_lessons_about_the_same_the_best_are_kept():
    others = [pair("a", 1.1 + n / 100, Setting(sketch="s", settings={"TILE": n})) for n in range(5)]
    kept = mined(others, most=2)
    assert [lesson.advice.settings["TILE"] for lesson in kept] == [4, 3]


def test_half_of_the_problems_does_not_depend_on_their_order():
    names = ["softmax", "rope", "argmax", "mlp", "conv", "topk", "x"]
    assert half(names) == half(reversed(names))
    assert len(half(names)) == 4
    assert set(half(names)) < set(names)


def taught(before, after, *, tunables=(), settings=None, action=None):
    """What a run teaches of a draft and what was made of it."""
    first = attempt(1, draft("llm"), before, tunables)
    plan = retune(first, **settings) if settings else refine(first)
    plan = plan.model_copy(update={"action": action})
    return list(
        in_run("r", row_problem(), History(attempts=(first, attempt(2, plan, after, tunables))))
    )


def test_a_run_teaches_what_made_a_text_faster():
    (found,) = taught(1.0, 2.0, action="tile")
    assert isinstance(found.advice, Change)
    assert found.advice.action == "tile"
    assert "-1.0" in found.advice.diff
    assert "+2.0" in found.advice.diff
    assert found.evidence.ratio.mean == pytest.approx(2.0, rel=0.01)


def test_a_run_teaches_what_mended_a_failure():
    broken = "k.cpp:3: error: no such thing"
    assert isinstance(verdict(number_candidate(broken)), BuildFailed)
    (found,) = taught(broken, 2.0)
    assert isinstance(found.advice, Repair)
    assert (found.advice.failure, found.advice.complaint) == ("build_failed", "no such thing")
    assert found.evidence.ratio is None
    assert taught(2.0, broken) == []


def test_a_run_teaches_settings():
    (found,) = taught(1.0, 1.0, tunables=(TILE,), settings={"TILE": 4})
    assert found.advice == Setting(sketch=None, settings={"TILE": 4})
    assert found.evidence.ratio.mean == pytest.approx(1.2, rel=0.01)
