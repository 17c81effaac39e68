"""Searches played from a pool: the same each time, valued by verdicts that they did not see."""

import asyncio

import pytest

from kernelwright.compare.comparing import Arm, in_pools, on_ground
from kernelwright.compare.ground import PooledEvaluator, pooled
from kernelwright.compare.trial import Trial, play
from kernelwright.core import names
from kernelwright.core.errors import UnknownName, WorkerError
from kernelwright.core.run import Budget
from kernelwright.testing.evaluators import number_candidate

STRATEGIES = [name for name in names.known("strategy") if name != "from_outside"]


def trial_of(pool, strategy="refine", seed=0, attempts=40):
    return asyncio.run(play(pooled("rows", pool), strategy, seed, Budget(max_attempts=attempts)))


def arms(*strategies):
    return [Arm(strategy=strategy) for strategy in strategies]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_finds_the_best_of_a_small_pool(make_pool, strategy):
    trial = trial_of(make_pool(1.0, 2.0, 1.5), strategy)
    assert trial.final == pytest.approx(2.4, rel=0.01)
    assert trial.attempts <= 15
    assert list(trial.judged_s) == sorted(trial.judged_s)
    assert trial.judged_s[-1] == 2.0 * trial.attempts


def test_a_search_comes_out_the_same_each_time(make_pool):
    pool = make_pool(1.0, 2.0, 1.5)
    assert trial_of(pool, seed=3) == trial_of(pool, seed=3)


def test_what_is_in_hand_is_what_would_be_handed_back(make_pool):
    trial = trial_of(make_pool(2.0, 1.0), "best_of_n", attempts=2)
    assert trial.worth == pytest.approx((2.0, 2.0), rel=0.01)
    assert trial.ended == "the budget of 2 attempts is used up"


def test_what_does_not_pass_leaves_nothing_in_hand(make_pool):
    trial = trial_of(make_pool("error", 2.0), "best_of_n", attempts=2)
    assert trial.worth == (None, pytest.approx(2.0, rel=0.01))


def test_the_verdict_that_a_search_saw_does_not_value_it(make_pool):
    pool = make_pool(2.0)
    worse = [
        v.model_copy(update={"outcome": pool.seen[pool.head.drafts[0].candidate.id].outcome})
        for v in pool.again.values()
    ]
    lucky = type(pool)(head=pool.head, verdicts=(*pool.seen.values(), *worse))
    assert trial_of(pool).final == pytest.approx(2.4, rel=0.01)
    assert trial_of(lucky).final == pytest.approx(2.0, rel=0.01)


def test_attempts_to_a_target():
    trial = Trial(
        strategy="x", problem="p", seed=0, worth=(None, 1.0, 1.5, 1.2), judged_s=(1, 2, 3, 4),
        ended="",
    )  # fmt: skip
    assert [trial.attempts_to(t) for t in (0.5, 1.0, 1.1, 1.6)] == [2, 2, 3, None]


def test_a_candidate_that_is_not_in_the_pool_is_no_verdict(make_pool):
    stranger = number_candidate(7.0)
    with pytest.raises(WorkerError, match="not in the pool"):
        asyncio.run(PooledEvaluator(make_pool(1.0)).evaluate(stranger, "search"))


def test_a_strategy_that_there_is_not(make_pool):
    with pytest.raises(UnknownName, match="refine"):
        trial_of(make_pool(1.0), "refin")


def test_processes_change_nothing(tmp_path, make_pool):
    for name in ("one", "two"):
        make_pool(1.0, 2.0, name=name, folder=tmp_path)
    asked = ["one", "two"], arms("best_of_n", "refine"), range(2), Budget(max_attempts=6)
    alone = list(in_pools(tmp_path, *asked, processes=1))
    assert alone == list(in_pools(tmp_path, *asked, processes=2))
    assert [(t.problem, t.seed, t.strategy) for t in alone][:3] == [
        ("one", 0, "best_of_n"), ("one", 0, "refine"), ("one", 1, "best_of_n"),
    ]  # fmt: skip


def test_all_strategies_play_a_seed_before_the_next(make_pool):
    pool = make_pool(1.0)
    found = on_ground(lambda _: pooled("rows", pool), arms("refine", "beam"), [0, 1], Budget())
    assert [(t.seed, t.strategy) for t in found] == [
        (0, "refine"), (0, "beam"), (1, "refine"), (1, "beam"),
    ]  # fmt: skip
