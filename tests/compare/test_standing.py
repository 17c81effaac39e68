"""What trials add up to, on figures that can be checked by hand."""

import pytest

from kernelwright.compare.page import cells, render, summary
from kernelwright.compare.standing import compared, curve
from kernelwright.compare.trial import Trial
from kernelwright.core.run import Budget
from kernelwright.testing.evaluators import ENVIRONMENT


def trial(strategy, problem, worth, seed=0):
    seconds = tuple(float(2 * n) for n in range(1, len(worth) + 1))
    return Trial(
        strategy=strategy, problem=problem, seed=seed, worth=tuple(worth), judged_s=seconds,
        ended="",
    )  # fmt: skip


def comparison(*trials, budget=10):
    return compared(
        trials, reference="old", budget=Budget(max_attempts=budget), where="live",
        environment=ENVIRONMENT,
    )  # fmt: skip


TWO = (
    trial("old", "a", [1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0, 2.0]),
    trial("new", "a", [2.0, 2.0]),
    trial("old", "b", [1.0, 1.0, 1.0, 1.0]),
    trial("new", "b", [0.5, 4.0]),
)


def test_ratios_are_geometric_means_over_problems():
    old, new = comparison(*TWO).standings
    assert new.final.mean == pytest.approx((1.0 * 4.0) ** 0.5)
    assert new.speedup == pytest.approx((2.0 * 4.0) ** 0.5)
    # 1 of 8 attempts, and 2 of 4.
    assert new.to_target.mean == pytest.approx((1 / 8 * 2 / 4) ** 0.5)
    # The reference had its own target after 4, and after 1.
    assert new.to_target_of_needed.mean == pytest.approx((1 / 4 * 2 / 1) ** 0.5)
    assert new.judged_to_target.mean == pytest.approx((2 / 16 * 4 / 8) ** 0.5)
    assert new.missed == 0
    assert old.final.mean == old.final.ci_low == old.final.ci_high == 1.0


def test_the_interval_spans_what_problems_say():
    new = comparison(*TWO).standings[1]
    assert new.final.ci_low == pytest.approx(1.0)
    assert new.final.ci_high == pytest.approx(4.0)


def test_a_problem_counts_once_however_many_seeds_it_has():
    finals = {1: 1.0, 2: 2.0, 3: 4.0}
    more = [trial("old", "a", [1.0], seed) for seed in finals]
    more += [trial("new", "a", [final], seed) for seed, final in finals.items()]
    few = [trial("old", "b", [1.0]), trial("new", "b", [1.0])]
    new = comparison(*more, *few).standings[1]
    assert new.final.mean == pytest.approx(2**0.5)


def test_a_target_that_was_missed_costs_the_whole_budget():
    new = comparison(trial("old", "a", [1.0, 2.0]), trial("new", "a", [1.0, 1.5])).standings[1]
    assert new.missed == 1
    assert new.to_target.mean == pytest.approx(10 / 2)


def test_what_lies_within_two_percent_of_the_target_has_reached_it():
    new = comparison(trial("old", "a", [2.0]), trial("new", "a", [1.97])).standings[1]
    assert new.missed == 0


def test_what_found_nothing_is_counted_and_left_out_of_ratios():
    found = comparison(trial("old", "a", [1.0]), trial("new", "a", [None]))
    new = found.standings[1]
    assert (new.without_result, new.final, new.speedup, new.missed) == (1, None, None, 1)
    assert "–" in cells(new)


def test_a_search_that_made_no_attempt_is_no_error():
    found = comparison(trial("old", "a", []), trial("new", "a", []))
    assert found.standings[1].without_result == 1
    assert "compared" in render(found)


def test_curves_carry_on_what_was_in_hand():
    trials = [trial("x", "a", [1.0, 4.0]), trial("x", "b", [None, 1.0, 1.0])]
    assert curve(trials, 4) == [None, 2.0, 2.0, 2.0]


def test_the_page_shows_every_strategy_and_problem():
    page = render(comparison(*TWO))
    for shown in ("old", "new", ">a<", ">b<", "2.00 (1.00–4.00)", "<line"):
        assert shown in page
    assert "<script" not in page


def test_the_summary_counts():
    said = summary(comparison(*TWO))
    assert said == (
        "2 strategies on 2 problems, 1 seed each, 10 attempts, live; ratios are to old."
    )
