"""Cases laid out in shared memory: what a runner is called on, and how its outputs are read.

A `CaseSet` holds secret inputs and what they must give. Inputs are visible to a runner, expected
outputs stay on this side. One set serves many candidates, one life each. Which cases there are is
for `evaluate.correctness.plan` to say.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from kernelwright.core.agreement import Comparison, compare
from kernelwright.core.evaluation import Mismatch
from kernelwright.core.problem import Problem, Workload
from kernelwright.evaluate.correctness.traits import hidden_traits
from kernelwright.evaluate.running.arena import (
    POISONS,
    Arena,
    Bytes,
    Call,
    Placement,
    as_tensor,
    place_call,
    write_table,
)
from kernelwright.problems.case import Case

SEED_BITS = 62

_PLACEMENTS: tuple[Placement, ...] = ("start", "flush", "odd")
_ALIGNED_PLACEMENTS: tuple[Placement, ...] = ("start", "aligned")
_LARGE_BYTES = 16 << 20  # a workload that moves more is placed twice only
_REPEATS = 3


class Draws(Protocol):
    """What cases are drawn from: a `Reference`, or one that keeps out of the clock's way."""

    def case(
        self, workload: Workload, distribution: str, seed: int, *, weights_seed: int | None = None
    ) -> Case:
        """One case; see `Reference.case`."""
        ...


def draw(
    reference: Draws, asked: Sequence[tuple[Workload, str]], *, same_weights: bool = False
) -> list[tuple[Workload, Case]]:
    """A case for each workload and distribution, from seeds that only the broker ever has.

    With `same_weights` the cases of a workload share their weights, but for ``integer``, whose
    sums are only exact with weights of its own.
    """
    shared = secrets.randbits(SEED_BITS)
    return [
        (
            workload,
            reference.case(
                workload,
                name,
                secrets.randbits(SEED_BITS),
                weights_seed=shared if same_weights and name != "integer" else None,
            ),
        )
        for workload, name in asked
    ]


@dataclass(frozen=True)
class Checked:
    """How one call's outputs compare: the mismatches, and the largest error over its tolerance."""

    mismatches: tuple[Mismatch, ...]
    worst: float
    elements: int


@dataclass(frozen=True)
class Step:
    """One call to make: which row of the table, on which case, over which poison.

    `again` says that the same case was called before in this life, at another address or here.
    """

    row: int
    case: int
    poison: int
    again: bool


_Call = tuple[int, int, int]  # a row, a case and a poison


class CaseSet:
    """Cases in memory. A row is a place for the tensors of one call; rows are numbered as in the
    table that the runner reads.

    Cases of one workload share its rows: the broker puts another's inputs there between two
    calls, so an address says nothing about what lies at it. Sealed inputs can be written by nobody
    else. The module lane hands out tensors that Python code could write to, so its sets are not
    sealed and are compared afterwards; its models get their weights once, so there only cases with
    the same weights share rows.
    """

    def __init__(
        self,
        problem: Problem,
        cases: Sequence[tuple[Workload, Case]],
        *,
        sealed: bool = True,
        keeps_weights: bool = False,
        share_rows: bool = True,
        aligned: bool = False,
    ):
        """With `keeps_weights` only cases with the same weights share rows. When `aligned`, tensors
        lie as torch aligns them."""
        self.problem = problem
        self.sealed = sealed
        self.cases = list(cases)
        self.inputs, self.outputs = Arena(), Arena()
        self.calls: list[Call] = []
        self._aligned_rows: set[int] = set()
        self._rows: list[list[int]] = []  # of each case
        self._placements = _ALIGNED_PLACEMENTS if aligned else _PLACEMENTS
        self._place(keeps_weights, share_rows)
        self._held = [-1] * len(self.calls)
        self._poisons = [POISONS[0]] * len(self.calls)
        self.inputs.allocate()
        self.outputs.allocate()
        self.empty()
        if sealed:
            self.inputs.seal()
        self.table_fd = write_table(self.calls, self.inputs, self.outputs)

    def _place(self, keeps_weights: bool, share_rows: bool) -> None:
        """Two or three rows for each group of cases that can follow each other at one address."""
        groups: dict[object, list[int]] = {}
        for index, (workload, case) in enumerate(self.cases):
            weights = self._weights(case) if keeps_weights else b""
            group = (workload.id, weights) if share_rows else index
            if group not in groups:
                groups[group] = self._new_rows(workload)
            self._rows.append(groups[group])

    def _new_rows(self, workload: Workload) -> list[int]:
        few = self.problem.traffic_bytes(workload) > _LARGE_BYTES
        first = len(self.calls)
        for placement in self._placements[: 2 if few else 3]:
            if placement in _ALIGNED_PLACEMENTS:
                self._aligned_rows.add(len(self.calls))
            self.calls.append(
                place_call(self.problem, workload, self.inputs, self.outputs, placement)
            )
        return list(range(first, len(self.calls)))

    def _weights(self, case: Case) -> bytes:
        digest = hashlib.blake2b()
        for spec in self.problem.inputs:
            if spec.role == "weight":
                digest.update(case.inputs[spec.name].view(np.uint8).data)
        return digest.digest()

    def empty(self) -> None:
        """Start of a life: each row holds one of its cases, and all outputs are poisoned."""
        if not self.sealed:
            # Whoever ran before may have written to the inputs.
            self._held = [-1] * len(self.calls)
        for row in range(len(self.calls)):
            self._put(row, next(at for at, rows in enumerate(self._rows) if row in rows))
            self._poison(row, POISONS[0])

    def schedule(self, *, repeats: bool = True) -> list[Step]:
        """Every case twice, at two addresses and over two poisons, in a secret order.

        With `repeats` some calls are followed at once by the same call, and some by one at the same
        address on another case.
        """
        chance = secrets.SystemRandom()
        planned: list[_Call] = []
        for index, rows in enumerate(self._rows):
            poisons = chance.sample(POISONS, 2)
            planned += zip(chance.sample(rows, 2), [index] * 2, poisons, strict=True)
        chance.shuffle(planned)
        for call in chance.sample(planned, min(_REPEATS, len(planned))) if repeats else []:
            planned.insert(planned.index(call) + 1, call)
        for call, other in self._successions(chance) if repeats else []:
            at = chance.randrange(len(planned) + 1)
            planned[at:at] = [call, other]
        seen: set[int] = set()
        steps = []
        for row, index, poison in planned:
            steps.append(Step(row, index, poison, index in seen))
            seen.add(index)
        return steps

    def _successions(self, chance: secrets.SystemRandom) -> list[tuple[_Call, _Call]]:
        """Pairs of calls on two cases at one address."""
        groups: dict[tuple[int, ...], list[int]] = {}
        for index, rows in enumerate(self._rows):
            groups.setdefault(tuple(rows), []).append(index)
        shared = [(rows, found) for rows, found in groups.items() if len(found) > 1]
        pairs = []
        for places, found in chance.sample(shared, min(_REPEATS, len(shared))):
            row, (one, other) = chance.choice(places), chance.sample(found, 2)
            pairs.append(((row, one, POISONS[0]), (row, other, POISONS[1])))
        return pairs

    def prepare(self, step: Step, *, poison: bool = True) -> None:
        """Put the inputs of a step in its row, and poison its outputs."""
        self._put(step.row, step.case)
        if poison:
            self._poison(step.row, step.poison)

    def _put(self, row: int, index: int) -> None:
        if self._held[row] == index:
            return
        self._held[row] = index
        _, case = self.cases[index]
        for slot, spec in zip(self.calls[row].inputs, self.problem.inputs, strict=True):
            self.inputs.data(slot)[:] = case.inputs[spec.name].view(np.uint8)

    def _poison(self, row: int, value: int) -> None:
        self._poisons[row] = value
        for slot in self.calls[row].outputs:
            self.outputs.poison(slot, value)

    def is_aligned(self, row: int) -> bool:
        """Whether the tensors in `row` lie at addresses that any vector may be read from."""
        return row in self._aligned_rows

    def output_bytes(self, row: int) -> list[Bytes]:
        """The raw outputs in `row`."""
        return [self.outputs.data(slot) for slot in self.calls[row].outputs]

    def guards_intact(self, step: Step) -> bool:
        """Whether the bytes around the outputs of a step are as they were."""
        return all(self.outputs.intact(slot) for slot in self.calls[step.row].outputs)

    def check(self, step: Step, *, guards: bool = True) -> Checked:
        """Compare the outputs of a step with what they must be."""
        workload, case = self.cases[step.case]
        written = [
            Written(
                self.outputs.data(slot),
                not guards or self.outputs.intact(slot),
                self._poisons[step.row],
            )
            for slot in self.calls[step.row].outputs
        ]
        return check_call(self.problem, workload, case, written)

    def inputs_intact(self, step: Step) -> bool:
        """Whether a step left its inputs as they were."""
        _, case = self.cases[step.case]
        call = self.calls[step.row]
        return all(
            np.array_equal(self.inputs.data(slot), case.inputs[spec.name].view(np.uint8))
            for slot, spec in zip(call.inputs, self.problem.inputs, strict=True)
        )

    def close(self) -> None:
        """Give the memory back."""
        self.inputs.close()
        self.outputs.close()
        os.close(self.table_fd)


@dataclass(frozen=True)
class Written:
    """What a call left in one output: its bytes, whether those around it are as they were, and
    the value that it was filled with before."""

    data: Bytes
    intact: bool
    poison: int


def check_call(
    problem: Problem, workload: Workload, case: Case, written: Sequence[Written]
) -> Checked:
    """Compare the outputs of one call on `case` with what they must be."""
    found: list[Mismatch] = []
    worst, elements = 0.0, 0
    for output, spec, expected in zip(written, problem.outputs, case.expected, strict=True):
        result = compare(as_tensor(output.data, spec), expected)
        worst, elements = max(worst, result.worst), elements + spec.elements(workload.axes)
        if not output.intact:
            result = Comparison(
                kind="out_of_bounds_write",
                matched_ratio=result.matched_ratio,
                worst=result.worst,
                detail="bytes next to the output were overwritten",
            )
        elif result.kind is not None:
            result = _unwritten(output, spec.nbytes(workload.axes), result)
        if result.kind is not None:
            found.append(_mismatch(problem, workload, case, spec.name, result))
    return Checked(tuple(found), worst, elements)


def _unwritten(output: Written, nbytes: int, result: Comparison) -> Comparison:
    """`result`, renamed when the poison is still there: 16 bytes of it are no coincidence."""
    blocks = (output.data[: nbytes - nbytes % 16].reshape(-1, 16) == output.poison).all(axis=1)
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


def _mismatch(
    problem: Problem, workload: Workload, case: Case, output: str, result: Comparison
) -> Mismatch:
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
        traits=hidden_traits(problem, workload),
    )
