"""The clock of a real GPU beside what is timed on it. Skipped where there is none."""

import statistics
import time

import pytest

from kernelwright.core.cards import first_card
from kernelwright.core.evaluation import Passed
from kernelwright.core.nvml import NotTold, nvml
from kernelwright.corpora.loading import honest
from kernelwright.evaluate.environment import environment
from kernelwright.evaluate.opening import open_judge
from kernelwright.evaluate.timing.clocks import SUBJECT, Clocks
from kernelwright.languages.machine import cuda_devices
from kernelwright.languages.reading import candidate_from_file

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(cuda_devices() == 0, reason="this machine has no CUDA device"),
]
HONEST = "cuda_silu_vector_loads"


@pytest.fixture
def clocks():
    card = first_card()
    try:
        nvml().ask(lambda asked: asked.pace(card.uuid or card.name))
    except NotTold as why:
        pytest.skip(f"NVML does not tell this card's clock: {why}")
    return Clocks.of(card, nvml())


def test_a_look_is_short_and_says_what_a_card_can_run_at(clocks, capsys):
    took = []
    for _ in range(200):
        started = time.perf_counter_ns()
        clocks.look()
        took.append(time.perf_counter_ns() - started)
    mhz = clocks.of_block()
    with capsys.disabled():
        print(f"\na look: {statistics.median(took) / 1000:.0f} µs, {mhz} MHz")
    assert 100 < mhz < 5000
    # Longer than the whole of a block would make a measurement take twice the time.
    assert statistics.median(took) < 3_000_000


def test_the_environment_has_the_facts_of_the_card_that_is_used(clocks):
    gpu = environment("cuda").gpu
    assert gpu.uuid == first_card().uuid
    assert gpu.name in environment("cuda").device
    assert gpu.driver
    assert gpu.power_limit_w is None or 10 < gpu.power_limit_w < 3000


def test_what_is_timed_says_how_the_card_ran(clocks, capsys):
    program = next(one for one in honest() if one.name == HONEST)
    with open_judge(program.origin, device="cuda") as judge:
        candidate = candidate_from_file(judge.problem, program.path, program.spec.language)
        evaluation = judge.judge(candidate, "search")
    assert isinstance(evaluation.outcome, Passed)
    clock = evaluation.environment.clock
    with capsys.disabled():
        print(f"\n{clock!r}")
    assert clock.blocks >= len(evaluation.outcome.measurements) * 6
    assert 100 < clock.lowest_mhz <= clock.median_mhz < 5000
    assert not any(SUBJECT in said for said in evaluation.not_checked)
    # On a card that nobody else uses and that is not hot hardly anything is left out.
    assert clock.discarded_blocks <= clock.blocks / 2
