"""Cases laid out in shared memory: what a runner is called on, and how its outputs are read.

A `CaseSet` holds secret inputs and what they must give. Inputs are visible to a runner, expected
outputs stay on this side. One set serves many candidates, one life each.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kernelwright.core.agreement import Comparison, compare
from kernelwright.core.evaluation import Mismatch
from kernelwright.core.problem import Problem, Workload
from kernelwright.evaluate.arena import (
    POISONS,
    Arena,
    Bytes,
    Placement,
    as_tensor,
    place_call,
    write_table,
)
from kernelwright.problems.case import Case
from kernelwright.problems.reference import Reference

_SEED_BITS = 62


def draw(
    reference: Reference, asked: Sequence[tuple[Workload, str]]
) -> list[tuple[Workload, Case]]:
    """A case for each workload and distribution, from seeds that only the broker ever has."""
    seeded = [(workload, name, secrets.randbits(_SEED_BITS)) for workload, name in asked]
    cases = reference.cases(seeded)
    return [(workload, case) for (workload, _), case in zip(asked, cases, strict=True)]


@dataclass(frozen=True)
class Checked:
    """How one call's outputs compare: the mismatches, and the largest error over its tolerance."""

    mismatches: tuple[Mismatch, ...]
    worst: float
    elements: int


class CaseSet:
    """Cases in memory, each placed once for every placement asked for.

    Calls are numbered case by case: with two placements, calls 0 and 1 are of the first case.
    Sealed inputs can be written by nobody else. The module lane hands out tensors that Python
    code could write to, so its sets are not sealed and are compared afterwards instead.
    """

    def __init__(
        self,
        problem: Problem,
        cases: Sequence[tuple[Workload, Case]],
        placements: Sequence[Placement],
        *,
        sealed: bool = True,
    ):
        self.problem = problem
        self.placements = len(placements)
        self.inputs, self.outputs = Arena(), Arena()
        self.calls = [
            place_call(problem, workload, self.inputs, self.outputs, placement)
            for workload, _ in cases
            for placement in placements
        ]
        self.inputs.allocate()
        self.outputs.allocate()
        self.cases: list[tuple[Workload, Case]] = []
        self.fill(cases)
        if sealed:
            self.inputs.seal()
        self.table_fd = write_table(self.calls, self.inputs, self.outputs)

    def fill(self, cases: Sequence[tuple[Workload, Case]]) -> None:
        """Put other cases of the same workloads in the place of those that were there."""
        self.cases = list(cases)
        for index, call in enumerate(self.calls):
            _, case = self.case_of(index)
            for slot, spec in zip(call.inputs, self.problem.inputs, strict=True):
                self.inputs.data(slot)[:] = case.inputs[spec.name].view(np.uint8)

    def case_of(self, index: int) -> tuple[Workload, Case]:
        """The workload and case that call `index` is of."""
        return self.cases[index // self.placements]

    def poison(self) -> None:
        """Wipe all outputs, each placement of a case with a poison of its own."""
        for index, call in enumerate(self.calls):
            for slot in call.outputs:
                self.outputs.poison(slot, POISONS[index % self.placements % len(POISONS)])

    def output_bytes(self, index: int) -> list[Bytes]:
        """The raw outputs of call `index`."""
        return [self.outputs.data(slot) for slot in self.calls[index].outputs]

    def check(self, index: int) -> Checked:
        """Compare the outputs of call `index` with what they must be."""
        workload, case = self.case_of(index)
        found: list[Mismatch] = []
        worst, elements = 0.0, 0
        call = self.calls[index]
        for slot, spec, expected in zip(
            call.outputs, self.problem.outputs, case.expected, strict=True
        ):
            data = self.outputs.data(slot)
            result = compare(as_tensor(data, spec), expected)
            worst, elements = max(worst, result.worst), elements + spec.elements(workload.axes)
            if not self.outputs.intact(slot):
                result = Comparison(
                    kind="out_of_bounds_write",
                    matched_ratio=result.matched_ratio,
                    worst=result.worst,
                    detail="bytes next to the output were overwritten",
                )
            elif result.kind is not None:
                result = self._unwritten(data, index, spec.nbytes(workload.axes), result)
            if result.kind is not None:
                found.append(_mismatch(workload, case, spec.name, result))
        return Checked(tuple(found), worst, elements)

    def _unwritten(self, data: Bytes, index: int, nbytes: int, result: Comparison) -> Comparison:
        """`result`, renamed when the poison is still there: 16 bytes of it are no coincidence."""
        poison = POISONS[index % self.placements % len(POISONS)]
        blocks = (data[: nbytes - nbytes % 16].reshape(-1, 16) == poison).all(axis=1)
        if not blocks.any():
            return result
        first = int(np.argmax(blocks)) * 16
        return Comparison(
            kind="unwritten",
            matched_ratio=result.matched_ratio,
            worst=result.worst,
            detail=f"at least {int(blocks.sum()) * 16} of {nbytes} bytes were never written, "
            f"the first at byte {first}",
        )

    def inputs_intact(self, index: int) -> bool:
        """Whether call `index` left its inputs as they were."""
        _, case = self.case_of(index)
        return all(
            np.array_equal(self.inputs.data(slot), case.inputs[spec.name].view(np.uint8))
            for slot, spec in zip(self.calls[index].inputs, self.problem.inputs, strict=True)
        )

    def close(self) -> None:
        """Give the memory back."""
        self.inputs.close()
        self.outputs.close()
        os.close(self.table_fd)


def _mismatch(workload: Workload, case: Case, output: str, result: Comparison) -> Mismatch:
    assert result.kind is not None
    hidden = workload.split == "hidden"
    return Mismatch(
        workload_id="hidden" if hidden else workload.id,
        split=workload.split,
        distribution=case.distribution,
        output=output,
        kind=result.kind,
        matched_ratio=result.matched_ratio,
        detail=None if hidden else result.detail,
    )


def plan_screen(problem: Problem, distributions: Sequence[str]) -> list[tuple[Workload, str]]:
    """Two quick cases on the smallest workload that a search may see."""
    smallest = min(problem.split("search") or problem.split("report"), key=problem.traffic_bytes)
    names = [name for name in ("integer", "normal") if name in distributions]
    return [(smallest, name) for name in (names or list(distributions[:1]))]


def plan_core(problem: Problem, distributions: Sequence[str]) -> list[tuple[Workload, str]]:
    """Every workload, with distributions in turn so that each is used: two for each small workload,
    one at the report size, whose calls are all checked again while they are timed."""
    small = [*problem.split("search"), *problem.split("hidden")]
    planned = [
        (workload, distributions[(2 * position + turn) % len(distributions)])
        for position, workload in enumerate(small)
        for turn in range(min(2, len(distributions)))
    ]
    return [*planned, (problem.report_workload, "file")]
