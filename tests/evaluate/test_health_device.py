"""The health probe on a real GPU. Skipped where there is none."""

import statistics
import time

import pytest

from kernelwright.core.evaluation import Crashed, Passed
from kernelwright.corpora.loading import exploits, honest
from kernelwright.evaluate.health import CHECKED, Well, probe
from kernelwright.evaluate.opening import open_judge
from kernelwright.languages.machine import cuda_devices
from kernelwright.languages.reading import candidate_from_file

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(cuda_devices() == 0, reason="this machine has no CUDA device"),
]


def test_a_healthy_device_is_well_within_two_seconds(capsys):
    probe()  # the program is built, and the driver loaded
    found, took = [], []
    for _ in range(5):
        started = time.monotonic()
        found.append(probe())
        took.append(time.monotonic() - started)
    assert all(isinstance(one, Well) for one in found)
    with capsys.disabled():
        context = statistics.median(one.context_ms for one in found)
        work = statistics.median(one.work_ms for one in found)
        print(f"\na probe: {statistics.median(took):.2f} s; {context:.0f} ms, {work:.0f} ms")
    assert max(took) < 2
    assert statistics.median(one.work_ms for one in found) <= 50


def test_after_an_illegal_address_the_probe_passes_and_so_does_an_honest_kernel(capsys):
    programs = {program.name: program for program in (*exploits(), *honest())}
    good = programs["cuda_silu_vector_loads"]

    with open_judge(good.origin, device="cuda") as judge:

        def judged(program):
            made = candidate_from_file(judge.problem, program.path, program.spec.language)
            return judge.judge(made, "search")

        bad = judged(programs["D4_cuda_illegal_address"])
        passed = judged(good)
    assert isinstance(bad.outcome, Crashed)
    assert bad.outcome.signal == "CUDA_ERROR_ILLEGAL_ADDRESS"
    assert {one.name: one.count for one in bad.checks}[CHECKED] == 1
    with capsys.disabled():
        print(f"\nthe probe after it: {bad.stage_s['health']:.2f} s")
    assert isinstance(passed.outcome, Passed)
    assert CHECKED not in {one.name for one in passed.checks}
