"""Occupancy, against figures that were worked out by hand from NVIDIA's table."""

import pytest

from kernelwright.evaluate.profile.occupancy import LIMITS, best_occupancy, occupancy


@pytest.mark.parametrize(
    ("arch", "threads", "registers", "shared", "share"),
    [
        ("sm_90", 1024, 32, 0, 1.0),
        ("sm_80", 256, 64, 0, 0.5),
        ("sm_80", 256, 65, 0, 0.375),
        ("sm_90", 256, 33, 0, 0.75),  # registers are given out in steps of 8 a thread
        ("sm_90", 32, 32, 0, 0.5),  # 32 blocks and no more
        ("sm_80", 256, 32, 80 << 10, 0.25),  # two blocks fit beside 164 KiB
        ("sm_90", 256, 32, 80 << 10, 0.25),
        ("sm_86", 768, 32, 0, 1.0),
        ("sm_90", 1024, 255, 0, 0.0),
    ],
)
def test_occupancy_is_what_runs_out_first(arch, threads, registers, shared, share):
    assert occupancy(arch, threads, registers=registers, shared_bytes=shared) == share


def test_an_architecture_that_is_not_in_the_table_is_not_known():
    assert occupancy("sm_52", 256, registers=32) is None
    assert best_occupancy("sm_52", registers=32) is None


def test_the_best_is_at_least_as_good_as_any_block():
    for arch in LIMITS:
        best = best_occupancy(arch, registers=100)
        assert best >= max(occupancy(arch, n, registers=100) for n in (64, 128, 256, 512, 1024))
