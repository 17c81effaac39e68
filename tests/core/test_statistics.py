"""From blocks to speedups and verdicts."""

from __future__ import annotations

import numpy as np
import pytest

from kernelwright.core.evaluation import Measurement, Passed
from kernelwright.core.statistics import (
    Estimate,
    at_least,
    by_way_of_baseline,
    median_ns,
    score,
    speedup,
    versus_best,
)


def measured(subject: str, per_call_ns, *, calls: int = 4, overhead_ns: int = 1000) -> Measurement:
    elapsed = tuple(round(value * calls) + overhead_ns for value in per_call_ns)
    return Measurement(
        workload_id="report",
        subject=subject,
        regime="returned",
        calls=(calls,) * len(elapsed),
        elapsed_ns=elapsed,
        overhead_ns=overhead_ns,
    )


def test_the_round_trip_is_taken_off_each_block():
    assert median_ns(measured("candidate", [5000.0] * 9)) == pytest.approx(5000)


def test_a_ratio_is_paired_so_drift_cancels():
    """Both get slower together, tenfold; block by block one is still twice the other."""
    drift = np.linspace(1, 10, 40)
    ours, theirs = measured("candidate", 1e6 * drift), measured("eager", 2e6 * drift)
    estimate = speedup(ours, theirs)
    assert estimate.median == pytest.approx(2, rel=1e-3)
    assert estimate.ci_high - estimate.ci_low < 0.01
    assert estimate.verdict == "FASTER"


def test_unpaired_measurements_are_refused():
    with pytest.raises(ValueError, match="not paired"):
        speedup(measured("candidate", [1e6] * 5), measured("eager", [1e6] * 6))


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(5)
    covered = 0
    for _ in range(200):
        noise = rng.lognormal(0, 0.1, (2, 30))
        estimate = speedup(measured("candidate", 1e6 * noise[0]), measured("eager", 1e6 * noise[1]))
        covered += estimate.ci_low <= 1 <= estimate.ci_high
    assert covered >= 180


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.99, 1.01, "SAME"), (1.005, 1.015, "SAME"), (1.05, 1.2, "FASTER"),
        (0.8, 0.9, "SLOWER"), (0.9, 1.2, "AMBIGUOUS"), (1.01, 1.2, "FASTER"),
    ],
)  # fmt: skip
def test_the_verdict_follows_the_interval(low, high, verdict):
    assert Estimate(median=(low + high) / 2, ci_low=low, ci_high=high).verdict == verdict


def test_the_best_baseline_is_the_fastest_and_never_the_control():
    measurements = (
        measured("candidate", [1e6] * 9),
        measured("eager", [4e6] * 9),
        measured("torch.compile", [2e6] * 9),
        measured("control", [1.5e6] * 9),
    )
    found = versus_best(measurements)
    assert found is not None
    assert found[0] == "torch.compile"
    assert score(Passed(agreements=(), measurements=measurements)) == pytest.approx(2, rel=1e-3)


def test_what_was_not_timed_has_no_score():
    assert score(Passed(agreements=())) is None


def outcome(ratios):
    eager = measured("eager", [1e6] * len(ratios))
    ours = measured("candidate", 1e6 / np.array(ratios))
    return Passed(agreements=(), measurements=(ours, eager))


def test_a_wide_interval_is_not_chosen_over_a_narrow_one_for_its_median():
    noisy, sure = outcome([0.2] * 13 + [4.8] * 4 + [20.0] * 13), outcome([3.8] * 30)
    assert score(noisy) > score(sure)
    assert at_least(noisy) < 1 < at_least(sure) <= score(sure)


def session(candidate_ns, eager_ns, rng=None, **others):
    """A session of 30 blocks, in which everything scatters by a tenth where `rng` is given."""
    subjects = {"candidate": candidate_ns, "eager": eager_ns, **others}
    return [
        measured(name, ns * (rng.lognormal(0, 0.1, 30) if rng else np.ones(30)))
        for name, ns in subjects.items()
    ]


def test_two_sessions_are_compared_by_way_of_a_baseline_whatever_the_machine_did_between():
    """The second session ran on a machine half as fast; the candidates differ by three."""
    found = by_way_of_baseline(session(1e6, 6e6), session(6e6, 12e6))
    assert found.median == pytest.approx(3, rel=1e-3)
    assert found.verdict == "FASTER"


def test_the_fastest_baseline_that_both_have_is_taken():
    ours = session(1e6, 6e6, compiled=3e6, tuned=2e6)
    theirs = session(2e6, 60e6, compiled=3e6)
    assert by_way_of_baseline(ours, theirs).median == pytest.approx(2, rel=1e-3)


def test_without_times_or_a_baseline_in_common_there_is_no_comparison():
    timed = session(1e6, 2e6)
    only_compiled = [measured("candidate", [1e6] * 30), measured("compiled", [1e6] * 30)]
    assert by_way_of_baseline(timed, []) is None
    assert by_way_of_baseline([], timed) is None
    assert by_way_of_baseline(timed, only_compiled) is None


def test_the_interval_of_two_sessions_holds_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(7)
    held = 0
    for _ in range(100):
        found = by_way_of_baseline(session(1e6, 2e6, rng), session(1e6, 2e6, rng))
        held += found.ci_low <= 1 <= found.ci_high
    assert 88 <= held < 100
