"""Device memory that the broker's keeper lends to a process written in Python, and its gate.

Used by the module runner and by the baselines' process; `native/gate.c` does the work.
"""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from kernelwright.core.problem import TensorSpec
from kernelwright.evaluate.running.arena import NAME_BYTES


class DeviceError(RuntimeError):
    """The driver refused something; the number is NVIDIA's."""


class _Bytes:
    """Memory at an address, as `torch.as_tensor` takes it."""

    def __init__(self, address: int, nbytes: int):
        self.__cuda_array_interface__ = {
            "shape": (nbytes,), "typestr": "|u1", "data": (address, False), "version": 2,
        }  # fmt: skip


class LentDevice:
    """The memory behind `handles` (of inputs, then of outputs), as torch tensors."""

    def __init__(self, library: str, handles: str, page: mmap.mmap, names_at: int):
        """`page` begins with the page whose words open the gate and say that work is done; names of
        outputs go `names_at` bytes behind its start.

        The process ends when the driver does not work.
        """
        torch.zeros(1, device="cuda")  # the context that torch uses is there now
        self._library = ctypes.CDLL(library)
        self._library.kw_opened.restype = ctypes.c_uint64
        self._library.kw_claimed_ns.restype = ctypes.c_int64
        self._page, self._names_at = page, names_at
        self._library.kw_prepare(ctypes.byref(ctypes.c_char.from_buffer(page)))
        self._inputs = self._library.kw_opened(handles[: len(handles) // 2].encode())

    def input(self, offset: int, spec: TensorSpec, axes: Mapping[str, int]) -> Tensor:
        """The input at `offset`, of the shape that `spec` has under `axes`."""
        dtype, nbytes = getattr(torch, spec.dtype), spec.nbytes(axes)
        if nbytes == 0:
            return torch.empty(spec.sizes(axes), dtype=dtype, device="cuda")
        flat = torch.as_tensor(_Bytes(self._inputs + offset, nbytes), device="cuda")
        return flat.view(dtype).reshape(spec.sizes(axes))

    def close_gate(self, token: int) -> None:
        """Have everything that is launched on the current stream from now on wait at the gate.

        Raises:
            DeviceError: the device is in an error already.
        """
        self._checked(self._library.kw_close_gate(self._stream(), token))

    def say_done(self, token: int) -> None:
        """Have the stream say that all before it is done.

        Raises:
            DeviceError: something that was launched failed.
        """
        self._checked(self._library.kw_say_done(self._stream(), token))

    def claimed_ns(self) -> int:
        """What events on the stream say about the last block."""
        return int(self._library.kw_claimed_ns())

    def name(self, outputs: Sequence[Tensor], first: int = 0) -> None:
        """Say where `outputs` are, which are contiguous, as those from number `first` on.

        Raises:
            DeviceError: one lies in memory that cannot be shared, such as a pool's.
        """
        for number, tensor in enumerate(outputs, first):
            to = ctypes.c_char.from_buffer(self._page, self._names_at + number * NAME_BYTES)
            at, nbytes = ctypes.c_uint64(tensor.data_ptr()), ctypes.c_int64(tensor.nbytes)
            self._checked(self._library.kw_name(at, nbytes, ctypes.byref(to)))

    @staticmethod
    def _stream() -> ctypes.c_void_p:
        return ctypes.c_void_p(torch.cuda.current_stream().cuda_stream)

    @staticmethod
    def _checked(error: int) -> None:
        if error:
            raise DeviceError(f"CUDA error {error}")
