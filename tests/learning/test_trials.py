"""Matched searches with a lesson and without."""

import pytest

from kernelwright.core.run import Budget
from kernelwright.knowledge.lessons.lesson import Before, Evidence, Lesson, Setting
from kernelwright.learning.trials import Terms, concluded, in_pools

TERMS = Terms(strategy="refine", budget=Budget(max_attempts=8), seeds=2)
PROBLEMS = {"a": (2.0, 1.9), "b": (3.0, 2.9), "c": (1.0, 0.9), "d": (0.9, 0.8)}


def lesson(advice, *drawn_from):
    evidence = [
        Evidence(source="p", problem=name, reference="", slow="x", fast="y", ratio=None)
        for name in drawn_from
    ]
    return Lesson(language="cpp", device="none, 1 threads", advice=advice, evidence=tuple(evidence))


def tried(folder, *lessons, terms=TERMS):
    names = sorted(path.stem for path in folder.glob("*.jsonl"))
    found = list(in_pools(folder, names, lessons, terms, processes=1))
    return [concluded(each, found, terms, where="here", command="again") for each in lessons]


def test_a_lesson_is_proven_or_refuted_on_problems_that_it_is_not_drawn_from(make_pools):
    folder = make_pools(**PROBLEMS)
    good = lesson(Setting(sketch="s0", settings={"TILE": 4}), "a")
    bad = lesson(Before(sketch="s1", other="s0"), "b")
    good, bad = tried(folder, good, bad)
    assert good.trial.problems == ("b", "c", "d")
    assert good.status == "proven"
    # The tuner finds it too, only later: what they end with is the same.
    assert 1.0 < good.trial.in_hand.mean < 1.2
    assert good.trial.final.mean == pytest.approx(1.0, abs=0.01)
    assert bad.trial.problems == ("a", "c", "d")
    assert bad.status == "refuted"
    assert bad.trial.in_hand.ci_high < 1


def test_too_few_problems_prove_nothing(make_pools):
    folder = make_pools(**PROBLEMS)
    (found,) = tried(folder, lesson(Setting(sketch="s0", settings={"TILE": 4}), "a", "b"))
    assert found.trial.problems == ("c", "d")
    assert found.trial.in_hand.ci_low > 1
    assert found.status == "undecided"


def test_what_changes_no_draft_stays_as_it_was(make_pools):
    folder = make_pools(**PROBLEMS)
    guess = lesson(Setting(sketch="other", settings={"TILE": 4}))
    assert tried(folder, guess) == [guess]
    assert guess.status == "untested"
    (proven,) = tried(folder, lesson(Setting(sketch="s0", settings={"TILE": 4})))
    # Tried again where there is nothing to try it on, it keeps what was found.
    elsewhere = make_pools(**PROBLEMS).parent / "none"
    elsewhere.mkdir()
    assert tried(elsewhere, proven) == [proven]


def test_a_trial_repeats_exactly(make_pools):
    folder = make_pools(**PROBLEMS)
    guess = lesson(Setting(sketch="s0", settings={"TILE": 2}))
    assert tried(folder, guess) == tried(folder, guess)


def test_a_lesson_that_makes_the_first_draft_fail_costs(make_pools):
    folder = make_pools(**dict.fromkeys("abc", (2.0, "no number")))
    (found,) = tried(folder, lesson(Before(sketch="s1", other="s0")))
    assert found.status == "refuted"
    # One attempt of eight with nothing in hand counts a twentieth of the speed.
    assert found.trial.in_hand.mean == pytest.approx((0.1 / 2) ** (1 / 8), rel=0.05)
