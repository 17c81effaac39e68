"""Files that build CUDA with `load_inline`: what only nvcc shows, and what only a device."""

import sys
from pathlib import Path

import pytest

from kernelwright.core.candidate import Candidate
from kernelwright.core.evaluation import BuildFailed, Passed, WrongResult
from kernelwright.core.problem import Source
from kernelwright.evaluate.judge import Judge
from kernelwright.languages.cuda import find_nvcc
from kernelwright.languages.machine import cuda_devices
from kernelwright.problems.reference import Reference

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))
import gpu_mix  # noqa: E402 (the benchmarks are no package)

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(cuda_devices() == 0, reason="this machine has no CUDA device"),
    pytest.mark.skipif(find_nvcc() is None, reason="this machine has no nvcc"),
]


@pytest.fixture(scope="module")
def judged():
    source = Source(
        files={"rmsnorm_silu.py": (ROOT / "examples" / "rmsnorm_silu.py").read_text()},
        entry_point="rmsnorm_silu.py::Model",
    )
    with Reference.open(source, device="cuda") as reference:
        problem = reference.load()
        with Judge(problem, reference, device="cuda") as judge:

            def judged(text):
                source = Source(files={"kernel.py": text}, entry_point="kernel.py::ModelNew")
                candidate = Candidate(
                    problem_id=problem.id, language="torch_extension", source=source, lane="module"
                )
                return judge.judge(candidate, "search").outcome

            yield judged


def file(kind, name):
    return next(e.theirs for e in gpu_mix.cuda() if (e.kind, e.name) == (kind, name))


def test_a_right_kernel_passes(judged):
    outcome = judged(file("right", "256 threads"))
    assert isinstance(outcome, Passed), outcome


def test_a_wrong_kernel_is_found(judged):
    outcome = judged(file("wrong", "tail"))
    assert isinstance(outcome, WrongResult), outcome


def test_a_kernel_that_needs_more_headers_is_built_with_all_of_them(judged):
    text = file("right", "256 threads").replace("auto out =", "auto out = torch::relu(x); out =")
    outcome = judged(text)
    assert isinstance(outcome, Passed), outcome


def test_a_compile_error_is_shown_in_the_words_of_nvcc(judged):
    outcome = judged(file("fails to build", "undefined name"))
    assert isinstance(outcome, BuildFailed)
    assert 'identifier "scales" is undefined' in outcome.diagnostics
    assert "cuda_sources(" in outcome.diagnostics
