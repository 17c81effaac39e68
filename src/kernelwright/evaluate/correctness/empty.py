"""A case of size zero, where the reference still runs on one.

It is not among the workloads of a problem, since nothing can be learned from its outputs: there
are none. What it asks is that a call on nothing comes back and writes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from kernelwright.core.errors import ProblemError
from kernelwright.core.problem import Problem, Workload
from kernelwright.evaluate.correctness.cases import Draws
from kernelwright.problems.case import Case

_SEED = 1  # what is drawn is empty where it matters


def empty_case(problem: Problem, reference: Draws) -> tuple[Workload, Case] | None:
    """A hidden workload of which every output is empty, and its case; None when there is none."""
    for workload in _candidates(problem):
        try:
            case = reference.case(workload, "file", _SEED)
        except ProblemError:
            continue
        if _fits(problem, workload, case):
            return workload, case
    return None


def _candidates(problem: Problem) -> Iterator[Workload]:
    """The smallest workload that may be seen, with one axis of all outputs at zero."""
    known = problem.split("search") or problem.split("report")
    smallest = min(known, key=problem.traffic_bytes)
    for axis in problem.axes:
        if axis in smallest.constants and all(axis in spec.shape for spec in problem.outputs):
            yield smallest.model_copy(
                update={
                    "id": "empty",
                    "split": "hidden",
                    "axes": {**smallest.axes, axis: 0},
                    "constants": {**smallest.constants, axis: 0},
                }
            )


def _fits(problem: Problem, workload: Workload, case: Case) -> bool:
    """Whether the reference's tensors have the sizes that the axes say."""
    inputs = all(
        case.inputs[spec.name].size == spec.elements(workload.axes) for spec in problem.inputs
    )
    return inputs and all(expected.values.size == 0 for expected in case.expected)
