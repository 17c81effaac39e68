"""Where tensors lie in the device memory that a keeper lends, and what of it lies on the host.

A *slot* has the inputs and outputs of one call; there are as many as a block may have calls. The
weights are one for all slots, as a model's weights do not change between calls. Numbers are read on
the host, so they lie there. The *window* is memory of the host with room for one call: cases go to
the device through it, and outputs come back.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from kernelwright.core.problem import ITEM_BYTES, Problem, TensorSpec, Workload
from kernelwright.evaluate.running.arena import NAME_BYTES, PAGE, Arena, Call, Slot, write_table

_SLOTS = 256
SLOTS_BYTES = 12 << 30  # of device memory
_NAMES = 3072  # as many as `native/keeper.c` takes in of a candidate's
GATE_AT, DONE_AT = 0, 64  # in the first page of memory that says what was returned


class Layout:
    """The places of tensors. `inputs` and `outputs` are on the device and have no memory here;
    `numbers` and `names` have: a runner finds numbers in one, and says in the other where its own
    outputs are."""

    def __init__(self, problem: Problem, workload: Workload, most_bytes: int = SLOTS_BYTES):
        """As many slots as fit into `most_bytes`, and two at least."""
        self.problem = problem
        self._axes = workload.axes
        self._most_bytes = most_bytes
        self.inputs, self.outputs, self.numbers, self.names = Arena(), Arena(), Arena(), Arena()
        self._shared = {
            spec.name: self._place(spec) for spec in problem.inputs if spec.role == "weight"
        }
        self.calls = [self._call() for _ in range(self._how_many(workload))]
        count = len(self.calls) * len(problem.outputs)
        self._named = self.names.place(count * NAME_BYTES, "aligned")
        self.numbers.place(1, "aligned")
        self.numbers.allocate()
        self.names.allocate()
        self.numbers.seal()
        self.table_fd = write_table(self.calls, self.inputs, self.outputs, self._named)

    def _how_many(self, workload: Workload) -> int:
        each = self.problem.traffic_bytes(workload) + 2 * PAGE
        named = _NAMES // len(self.problem.outputs)
        return max(2, min(_SLOTS, named, self._most_bytes // each))

    def _call(self) -> Call:
        return Call(
            tuple(self._shared.get(spec.name) or self._place(spec) for spec in self.problem.inputs),
            tuple(
                self.outputs.place(spec.nbytes(self._axes), "aligned")
                for spec in self.problem.outputs
            ),
            tuple(self._axes[name] for name in self.problem.axes),
        )

    def _place(self, spec: TensorSpec) -> Slot:
        arena = self.numbers if spec.role == "scalar" else self.inputs
        return arena.place(spec.nbytes(self._axes), "aligned", ITEM_BYTES[spec.dtype])

    def __len__(self) -> int:
        return len(self.calls)

    def named(self, slots: Sequence[int]) -> bytes:
        """What a runner said of the outputs of the calls in `slots`: a name for each."""
        each = len(self.problem.outputs) * NAME_BYTES
        said = self.names.data(self._named)
        return b"".join(bytes(said[slot * each : (slot + 1) * each]) for slot in slots)

    def close(self) -> None:
        """Give the memory back."""
        self.numbers.close()
        self.names.close()
        os.close(self.table_fd)


class Window:
    """Memory of the host with room for the inputs and for the outputs of one call."""

    def __init__(self, problem: Problem, workload: Workload):
        self.memory = Arena()
        self.inputs = {
            spec.name: self.memory.place(spec.nbytes(workload.axes), "start")
            for spec in problem.inputs
            if spec.role != "scalar"
        }
        # With what lies around an output on the device: less than two pages, and the guard.
        self.outputs = [
            self.memory.place(spec.nbytes(workload.axes) + 3 * PAGE, "start")
            for spec in problem.outputs
        ]
        self.memory.allocate()
