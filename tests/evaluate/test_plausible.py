"""Plausibility: what cannot be is said to be so, and a low peak accuses nobody."""

import pytest

from kernelwright.core.evaluation import Measurement, Rejected
from kernelwright.evaluate.timing import plausible
from kernelwright.evaluate.timing.plausible import Floor, Peaks

PEAKS = Peaks(read_gb_s={1 << 16: 400.0, 1 << 20: 100.0, 1 << 24: 20.0}, fma_gflops=200.0)


@pytest.fixture
def kept(monkeypatch):
    """The peaks that are known, with no measuring: each look finds the same again."""
    looks = []
    monkeypatch.setattr(plausible, "_kept", lambda device: PEAKS)
    monkeypatch.setattr(plausible, "measured_peaks", lambda device: looks.append(1) or PEAKS)
    return looks


def timed(ns):
    return [
        Measurement(
            workload_id="w", subject="candidate", regime="returned",
            calls=(1, 1, 1), elapsed_ns=(ns, ns, ns), overhead_ns=0,
        )
    ]  # fmt: skip


def test_bytes_are_read_as_fast_as_the_next_smaller_size_can_be():
    assert PEAKS.bandwidth_gb_s(1 << 22) == 100.0
    assert PEAKS.bandwidth_gb_s(1 << 26) == 20.0
    assert PEAKS.bandwidth_gb_s(100) == 400.0


def test_a_size_that_was_measured_badly_borrows_from_larger_ones():
    """More bytes are never read faster, so a smaller size can do at least as much."""
    odd = Peaks(read_gb_s={1 << 16: 4.0, 1 << 20: 100.0}, fma_gflops=1.0)
    assert odd.bandwidth_gb_s(1 << 16) == 100.0


def test_the_floor_is_the_slower_of_moving_and_computing():
    assert Floor(nbytes=1 << 20, flops=0).ns(PEAKS) == pytest.approx((1 << 20) / 100)
    assert Floor(nbytes=0, flops=10**6).ns(PEAKS) == pytest.approx(10**6 / 200)


def test_what_is_faster_than_the_machine_is_rejected_after_a_second_look(kept):
    floor = Floor(nbytes=1 << 24, flops=0)
    rejected = floor.check(timed(int(0.5 * floor.ns(PEAKS))))
    assert isinstance(rejected, Rejected)
    assert rejected.rule == "implausible"
    assert len(kept) == 3


def test_what_the_machine_can_do_is_believed_without_measuring(kept):
    floor = Floor(nbytes=1 << 24, flops=0)
    assert floor.check(timed(int(0.8 * floor.ns(PEAKS)))) is None
    assert not kept


def test_this_machine_is_measured_and_only_ever_gets_better(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first = plausible.measured_peaks("cpu")
    second = plausible.measured_peaks("cpu")
    assert first.fma_gflops > 0.1
    assert second.fma_gflops >= first.fma_gflops
    assert all(second.read_gb_s[size] >= first.read_gb_s[size] for size in first.read_gb_s)


def test_a_broken_file_of_peaks_is_measured_anew(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    plausible.measured_peaks("cpu")
    (kept,) = (tmp_path / "kernelwright").glob("peaks-*.json")
    kept.write_text("{")
    assert plausible.measured_peaks("cpu").fma_gflops > 0.1
