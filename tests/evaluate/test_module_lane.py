"""Python modules under the judge: right, wrong, and of the wrong form."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kernelwright.core.candidate import Candidate
from kernelwright.core.evaluation import Crashed, Passed, WrongResult
from kernelwright.core.problem import Problem, Source
from kernelwright.core.statistics import by_subject
from kernelwright.evaluate.judge import Judge

MODULE = """
import torch


class ModelNew(torch.nn.Module):
    def forward(self, x):
        return torch.nn.functional.silu(x) + 0.5
"""


@pytest.fixture
def module(problem: Problem) -> Callable[[str], Candidate]:
    def candidate(text: str) -> Candidate:
        source = Source(files={"best_module.py": text}, entry_point="best_module.py::ModelNew")
        return Candidate(problem_id=problem.id, language="python", source=source, lane="module")

    return candidate


def test_a_right_module_passes_and_is_timed_returning_its_output(judge: Judge, module):
    outcome = judge.judge(module(MODULE), "search").outcome
    assert isinstance(outcome, Passed), outcome
    assert "candidate" in by_subject(outcome.measurements, "returned")
    assert not by_subject(outcome.measurements, "buffer")


def test_an_input_written_in_place_is_found_by_its_trace(judge: Judge, module):
    in_place = MODULE.replace("silu(x)", "silu(x, inplace=True)")
    outcome = judge.judge(module(in_place), "search").outcome
    assert isinstance(outcome, WrongResult)
    assert "input_mutated" in {mismatch.kind for mismatch in outcome.mismatches}


def test_a_wrong_shape_says_both_shapes(judge: Judge, module):
    outcome = judge.judge(
        module(
            MODULE.replace("+ 0.5", "+ 0.5)[:1]").replace(
                "torch.nn.functional", "(torch.nn.functional"
            )
        ),
        "search",
    ).outcome
    assert isinstance(outcome, WrongResult)
    assert outcome.mismatches[0].kind == "wrong_shape"
    assert "must be" in (outcome.mismatches[0].detail or "")


def test_another_dtype_is_not_cast_silently(judge: Judge, module):
    double = MODULE.replace("+ 0.5", "+ torch.tensor(0.5, dtype=torch.float64).expand_as(x)")
    outcome = judge.judge(module(double), "search").outcome
    assert isinstance(outcome, WrongResult)
    assert outcome.mismatches[0].kind == "wrong_dtype"


def test_an_exception_is_shown_to_the_author(judge: Judge, module):
    outcome = judge.judge(
        module(MODULE.replace("return", "raise KeyError('lost') #")), "search"
    ).outcome
    assert isinstance(outcome, Crashed)
    assert "KeyError: 'lost'" in outcome.detail


def test_that_it_found_no_memory_is_said_even_where_nothing_else_is(judge: Judge, module):
    """Whoever fills the card may be to blame, which can only be looked into once it is known."""
    late = """
        calls.append(x.shape)
        if len(calls) == 25:  # late in the core, half of which is hidden
            raise RuntimeError(f"CUDA error: out of memory for {x.shape}")
        return"""
    text = MODULE.replace("import torch\n", "import torch\n\ncalls = []\n", 1)
    outcome = judge.judge(module(text.replace("\n        return", late)), "search").outcome
    assert isinstance(outcome, Crashed)
    assert "out of memory" in outcome.detail
    assert "torch.Size" not in outcome.detail
