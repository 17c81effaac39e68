"""The tensors of the module runner's calls: where the broker's table says that they lie.

In memory that is shared with the broker; or on a GPU in memory that its keeper lends, where numbers
alone are on the host.
"""

from __future__ import annotations

import mmap
import warnings

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kernelwright.core.problem import Problem, TensorSpec
from kernelwright.evaluate.running.device import LentDevice

NOTHING_LENT = "-"


class Calls:
    """The table of calls, and the tensors of each."""

    def __init__(self, problem: Problem, lent: str, table_fd: int, input_fd: int, output_fd: int):
        self._problem = problem
        table = np.frombuffer(mmap.mmap(table_fd, 0, prot=mmap.PROT_READ), np.int64)
        inputs, outputs, axes, calls, guards_in, guards_out = (int(v) for v in table[:6])
        width = 2 * inputs + 2 * outputs + axes
        self.rows = table[6 + guards_in + guards_out : -1].reshape(calls, width)
        self._input_memory, self.shared = _map_inputs(input_fd)
        self._output_memory = mmap.mmap(output_fd, 0)
        self._outputs_at = 2 * inputs
        self.device: LentDevice | None = None
        if lent != NOTHING_LENT:
            library, handles = lent.rsplit(":", 1)
            self.device = LentDevice(library, handles, self._output_memory, int(table[-1]))
        self.addresses = self._read_addresses(int(table[-1]), calls, outputs)

    def _read_addresses(self, offset: int, calls: int, outputs: int) -> NDArray[np.int64] | None:
        """Where to say at which addresses the outputs of each call are; None when not asked."""
        if offset == 0 or self.device is not None:
            return None
        found = np.frombuffer(self._output_memory, np.int64, calls * outputs, offset)
        return found.reshape(calls, outputs)

    def axes(self, index: int) -> tuple[int, ...]:
        """The sizes of call `index`, in the order of the problem's axes."""
        count = len(self._problem.axes)
        return tuple(int(v) for v in self.rows[index][len(self.rows[index]) - count :])

    def _sizes(self, index: int) -> dict[str, int]:
        return dict(zip(self._problem.axes, self.axes(index), strict=True))

    def inputs(self, index: int) -> list[Tensor]:
        """Every input of call `index`, weights and scalars included, as views of the memory."""
        sizes, device = self._sizes(index), self.device
        return [
            _view(self._input_memory, int(offset), spec, sizes)
            if device is None or spec.role == "scalar"
            else device.input(int(offset), spec, sizes)
            for spec, offset in zip(self._problem.inputs, self.rows[index], strict=False)
        ]

    def shapes(self, index: int) -> list[Tensor]:
        """Tensors of the shapes and dtypes that the outputs of call `index` must have, which may
        have no memory."""
        if self.device is None:
            return self.outputs(index)
        sizes = self._sizes(index)
        return [
            torch.empty(spec.sizes(sizes), dtype=getattr(torch, spec.dtype), device="meta")
            for spec in self._problem.outputs
        ]

    def outputs(self, index: int) -> list[Tensor]:
        """Where the outputs of call `index` go."""
        sizes = self._sizes(index)
        offsets = self.rows[index][self._outputs_at :]
        return [
            _view(self._output_memory, int(offset), spec, sizes)
            for spec, offset in zip(self._problem.outputs, offsets, strict=False)
        ]


def _map_inputs(fd: int) -> tuple[mmap.mmap, bool]:
    """Shared, so that a write shows; read-only where the broker sealed the memory against it."""
    flags = mmap.MAP_SHARED | mmap.MAP_POPULATE
    try:
        return mmap.mmap(fd, 0, flags=flags), True
    except PermissionError:
        return mmap.mmap(fd, 0, flags=flags, prot=mmap.PROT_READ), False


def _view(memory: mmap.mmap, offset: int, spec: TensorSpec, sizes: dict[str, int]) -> Tensor:
    shape = spec.sizes(sizes)
    dtype = getattr(torch, spec.dtype)
    count = spec.elements(sizes)
    if count == 0:
        return torch.empty(shape, dtype=dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # where it is read-only, a write is a crash
        flat = torch.frombuffer(memory, dtype=dtype, count=count, offset=offset)
    return flat.reshape(shape)
