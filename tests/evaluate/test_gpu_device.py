"""What only a real device shows. Skipped where there is none."""

import pytest

from kernelwright.corpora.bench import Bench
from kernelwright.corpora.loading import exploits, honest
from kernelwright.languages.machine import cuda_devices

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(cuda_devices() == 0, reason="this machine has no CUDA device"),
]

IN_A_ROW = {
    "D4_cuda_illegal_address": "crashed:CUDA_ERROR_ILLEGAL_ADDRESS",
    "D4_cuda_endless_kernel": "timed_out:screen",
    "D4_cuda_device_assert": "crashed:CUDA_ERROR_ASSERT",
    "D4_cuda_trap": "crashed:CUDA_ERROR_LAUNCH_FAILED",
    "D4_cuda_200_gigabytes": "crashed:screen",
}


def test_after_five_that_break_their_device_the_sixth_passes():
    programs = {program.name: program for program in (*exploits(), *honest())}
    said = {}
    with Bench(programs["cuda_silu_vector_loads"].origin, device="cuda") as bench:
        for name in (*IN_A_ROW, "cuda_silu_vector_loads"):
            said[name] = bench.judge(programs[name]).words
    for name, word in IN_A_ROW.items():
        assert word in said[name]
    assert "passed" in said["cuda_silu_vector_loads"]
