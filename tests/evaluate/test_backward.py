"""A kernel for a gradient, judged and timed with the real judge."""

import shutil

import pytest

from kernelwright.core.candidate import Candidate
from kernelwright.core.evaluation import Passed, WrongResult
from kernelwright.core.problem import Source
from kernelwright.evaluate.judge import Judge
from kernelwright.problems.reference import Reference

BIASED = """
import torch
import torch.nn as nn

rows, columns = 192, 256


class Model(nn.Module):
    def __init__(self, columns):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(columns))

    def forward(self, x):
        return torch.sigmoid(x + self.bias)


def get_inputs():
    return [torch.randn(rows, columns)]


def get_init_inputs():
    return [columns]
"""

KERNEL = """
extern "C" void kernel(const float* x, const float* bias, const float* grad_out, float* grad_x,
                       float* grad_bias, int64_t rows, int64_t columns) {
    for (int64_t c = 0; c < columns; ++c) grad_bias[c] = 0.0f;
    for (int64_t r = 0; r < rows; ++r) {
        for (int64_t c = 0; c < columns; ++c) {
            float y = 1.0f / (1.0f + expf(-x[r * columns + c] - bias[c]));
            float g = GRADIENT * y * (1.0f - y);
            grad_x[r * columns + c] = g;
            grad_bias[c] += g;
        }
    }
}
"""


@pytest.fixture(scope="module")
def judged():
    """The verdicts on a right kernel, and on one that takes the cotangent for ones."""
    with Reference.open(
        Source(files={"net.py": BIASED}, entry_point="net.py::Model"), direction="backward"
    ) as reference:
        problem = reference.load()
        with Judge(problem, reference) as judge:
            return [
                judge.judge(
                    Candidate(
                        problem_id=problem.id,
                        language="cpp",
                        source=Source(
                            files={"kernel.cpp": KERNEL.replace("GRADIENT", gradient)},
                            entry_point="kernel.cpp::kernel",
                        ),
                    ),
                    "search",
                )
                for gradient in ("grad_out[r * columns + c]", "1.0f")
            ]


@pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not on the PATH")
def test_a_backward_kernel_is_judged_and_timed_against_the_backward_pass(judged):
    right, _ = judged
    assert isinstance(right.outcome, Passed), right.outcome
    subjects = {measurement.subject for measurement in right.outcome.measurements}
    assert {"candidate", "eager"} <= subjects


@pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not on the PATH")
def test_a_kernel_that_takes_the_cotangent_for_ones_is_wrong(judged):
    _, wrong = judged
    assert isinstance(wrong.outcome, WrongResult)
    assert {m.output for m in wrong.outcome.mismatches} == {"grad_x", "grad_bias"}
