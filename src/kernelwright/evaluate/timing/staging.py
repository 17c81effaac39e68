"""Timed inputs: kept by the broker, and shown to a process only when it is about to be timed.

`TimedCases` holds the secret inputs and what they must give. A `Staging` is the shared memory of
one process, with room for one block of calls; the broker copies inputs into it just before a
block and wipes what was there. So nothing can be worked out before the clock runs, and an address
says nothing about what lies there. The weights are the exception: they are the same for all cases
and there from the start, since a model's weights do not change between calls.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence

import numpy as np

from kernelwright.core.candidate import Lane
from kernelwright.core.problem import ITEM_BYTES, Problem, TensorSpec, Workload
from kernelwright.evaluate.correctness.cases import SEED_BITS, Draws, Written
from kernelwright.evaluate.running.allocation import THRESHOLD
from kernelwright.evaluate.running.arena import POISONS, Arena, Call, Slot, write_table
from kernelwright.evaluate.running.remote import read
from kernelwright.problems.case import Case

_BYTES = 2 << 30
_FEWEST, _MOST = 6, 48
# A call on a GPU takes microseconds, and coming to it hundreds. Where cases can be turned
# (`keeper`) one call of a block has a case as it is; else each has.
_MOST_TURNED, _MOST_ON_GPU = 24, 192
# Arithmetic on numbers this small traps to microcode: a softmax took 18.9 ms on them, and 1.4 ms
# on others. What a kernel makes of them is verified, and how fast is not what anybody times.
_SLOW = frozenset({"denormal"})
_FREE = frozenset({"free", "positive"})
TURNED_BY = 256  # bytes; what a tensor is turned by is a multiple of it
_ADDRESS_BYTES = 8
_HIDDEN = 0  # what an input holds before it is shown


class TimedCases:
    """Different inputs at the report size with the same weights, as many as memory allows.

    `cases` are there once someone has `drawn` them and put them there.
    """

    def __init__(self, problem: Problem, distributions: Sequence[str], *, gpu: bool = False):
        """Half the inputs as the file draws them, half from other distributions in turn: all, but
        for those that a processor takes many times as long for."""
        self.problem = problem
        self.workload: Workload = problem.report_workload
        left_out = {"file"} if gpu else {"file", *_SLOW}
        others = [name for name in distributions if name not in left_out] or ["file"]
        self._names = [
            others[index // 2 % len(others)] if index % 2 else "file"
            for index in range(_how_many(problem, _most(problem) if gpu else _MOST))
        ]
        self.cases: list[Case] = []

    def drawn(self, reference: Draws) -> list[Case]:
        """As many other inputs, with other weights, to be put in the place of `cases`."""
        seed = secrets.randbits(SEED_BITS)
        return [
            reference.case(self.workload, name, secrets.randbits(SEED_BITS), weights_seed=seed)
            for name in self._names
        ]

    def __len__(self) -> int:
        return len(self._names)

    @property
    def largest_block(self) -> int:
        """The most calls that one block has: about a third of the cases."""
        return max(2, 2 * (len(self) // 6))


def _most(problem: Problem) -> int:
    return _MOST_TURNED if turnable(problem, problem.report_workload) else _MOST_ON_GPU


def turnable(problem: Problem, workload: Workload) -> tuple[TensorSpec, ...]:
    """The inputs of which one case makes many: large enough, and with values drawn freely."""
    return tuple(
        spec
        for spec in problem.inputs
        if spec.role == "input"
        and spec.dtype.startswith(("float", "bfloat"))
        and workload.inputs.get(spec.name) in _FREE
        and spec.nbytes(workload.axes) >= 2 * TURNED_BY
    )


def _how_many(problem: Problem, most: int) -> int:
    workload = problem.report_workload
    exact = sum(t.elements(workload.axes) for t in problem.outputs) * ITEM_BYTES["float64"]
    each = 2 * problem.traffic_bytes(workload) + exact
    return max(_FEWEST, min(most, _BYTES // max(each, 1)))


class Staging:
    """One process's memory for the calls of one block, one slot for each call.

    `inputs`, `outputs` and `table_fd` are what a runner is started with.
    """

    def __init__(self, cases: TimedCases, slots: int):
        self._problem = cases.problem
        self.slots = slots
        self.inputs, self.outputs = Arena(), Arena()
        axes = cases.workload.axes
        specs = self._problem.inputs
        weights = {
            spec.name: self.inputs.place(spec.nbytes(axes), "aligned")
            for spec in specs
            if spec.role == "weight"
        }
        self._calls = [
            Call(
                tuple(
                    weights.get(spec.name) or self.inputs.place(spec.nbytes(axes), "aligned")
                    for spec in specs
                ),
                tuple(
                    self.outputs.place(spec.nbytes(axes), "aligned")
                    for spec in self._problem.outputs
                ),
                tuple(axes[name] for name in self._problem.axes),
            )
            for _ in range(slots)
        ]
        named = slots * len(self._problem.outputs) * _ADDRESS_BYTES
        self._addresses = self.outputs.place(named, "aligned")
        self.inputs.allocate()
        self.outputs.allocate()
        self.inputs.seal()
        self.table_fd = write_table(self._calls, self.inputs, self.outputs, self._addresses)

    def outputs_of(self, slot: int) -> tuple[Slot, ...]:
        """Where the outputs of the call in `slot` go."""
        return self._calls[slot].outputs

    def put_weights(self, case: Case) -> None:
        """Show the weights, which all cases share."""
        for slot, spec in zip(self._calls[0].inputs, self._problem.inputs, strict=True):
            if spec.role == "weight":
                self._copy(slot, case, spec.name)

    def put(self, slot: int, case: Case) -> None:
        """Show the inputs of `case` in `slot`."""
        for place, spec in zip(self._calls[slot].inputs, self._problem.inputs, strict=True):
            if spec.role != "weight":
                self._copy(place, case, spec.name)

    def hide(self, slot: int) -> None:
        """Wipe the inputs in `slot`."""
        for place, spec in zip(self._calls[slot].inputs, self._problem.inputs, strict=True):
            if spec.role != "weight":
                self.inputs.data(place)[:] = _HIDDEN

    def poison(self, slot: int) -> None:
        """Fill the outputs in `slot`, and all around them."""
        for place in self._calls[slot].outputs:
            self.outputs.poison(place, POISONS[slot % len(POISONS)])

    def written(self, slot: int) -> list[Written]:
        """The outputs in `slot`, as views that change when the slot is used again."""
        return [
            Written(self.outputs.data(p), self.outputs.intact(p), POISONS[slot % len(POISONS)])
            for p in self._calls[slot].outputs
        ]

    def returned(self, slot: int, pid: int, lane: Lane) -> list[Written]:
        """The outputs that the calls in `slot` returned, from the process that holds them.

        A native runner gives outputs below 32 MiB their slot's memory, which its allocator would
        have had warm; of all others it names the address.

        Raises:
            Unreadable: there is nothing at an address that it named.
        """
        outputs = len(self._problem.outputs)
        named = self.outputs.data(self._addresses).view(np.int64).reshape(self.slots, outputs)
        found = self.written(slot)
        for number, written in enumerate(found):
            if lane == "module" or written.data.nbytes >= THRESHOLD:
                data = read(pid, int(named[slot, number]), written.data.nbytes)
                found[number] = Written(data, intact=True, poison=written.poison)
        return found

    def fresh_bytes(self) -> int:
        """The bytes of one call's outputs for which an allocator takes pages anew every time."""
        sizes = [place.nbytes for place in self._calls[0].outputs]
        return sum(size for size in sizes if size >= THRESHOLD)

    def _copy(self, place: Slot, case: Case, name: str) -> None:
        self.inputs.data(place)[:] = case.inputs[name].view(np.uint8)

    def close(self) -> None:
        """Give the memory back."""
        self.inputs.close()
        self.outputs.close()
        os.close(self.table_fd)
