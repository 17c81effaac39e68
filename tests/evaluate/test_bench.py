"""What the bench does with weights that are drawn anew."""

from types import SimpleNamespace

import pytest

from kernelwright.evaluate.timing.bench import Bench


class Rival:
    """A baselines' process that is loaded or not, and counts how often it takes weights over."""

    def __init__(self, *subjects):
        self.subjects, self.reloads = subjects, 0

    def reload_weights(self):
        self.reloads += 1


def bench_with(rival):
    made = Bench(
        None, None, device="cpu", level="process", folder=None, defences=None, places=None
    )  # fmt: skip
    made._cases = SimpleNamespace(cases=["old"], drawn=lambda reference: ["new"])
    staging = SimpleNamespace(slots=1, put_weights=lambda case: None, put=lambda slot, case: None)
    made._stagings, made._baseline = (staging, staging), rival
    return made


@pytest.mark.parametrize(("subjects", "reloads"), [(("eager",), 1), ((), 0)])
def test_baselines_that_are_loaded_take_over_new_weights_before_anything_was_timed(
    subjects, reloads
):
    """As where a promotion is tried again alone, after the bench was started for the first try."""
    rival = Rival(*subjects)
    bench = bench_with(rival)
    bench.redrawn()()
    assert bench.case == "new"
    assert rival.reloads == reloads
