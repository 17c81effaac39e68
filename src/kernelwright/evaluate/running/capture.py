"""What a call of a module comes to: its launches of Triton kernels, with no device and no values.

The module is called on stand-ins for its tensors, which say that they are on a GPU. Whatever torch
is asked for passes through here. Memory may be made, filled and looked at in another shape; all
else would have to compute, and then the call is not captured. Triton compiles as it always does,
with a driver of ours in place of NVIDIA's: what would be launched is noted instead.
"""

from __future__ import annotations

import importlib
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

from kernelwright.evaluate.running.launches import Fill, Kernel, Launch, Place

_EMPTY = frozenset(
    f"aten::{name}"
    for name in ("empty", "empty_like", "new_empty", "empty_strided", "new_empty_strided")
)
# How an operator that makes filled memory says with what: a number, or which argument it is.
_FILLED: dict[str, Callable[[Sequence[Any]], Any]] = {
    **{f"aten::{name}": lambda _: 0 for name in ("zeros", "zeros_like", "new_zeros")},
    **{f"aten::{name}": lambda _: 1 for name in ("ones", "ones_like", "new_ones")},
    **{f"aten::{name}": lambda args: args[1] for name in ("full", "full_like")},
    "aten::new_full": lambda args: args[2],
}
_SET: dict[str, Callable[[Sequence[Any]], Any]] = {
    "aten::zero_": lambda _: 0,
    "aten::fill_": lambda args: args[1],
}
_GPU = torch.device("cuda", 0)
_BASE = 1 << 32  # a made-up address: what is 16-byte aligned decides how Triton compiles
_UNUSED = ("global_scratch_size", "profile_scratch_size")
_PLAIN = {"num_ctas": 1, "launch_cooperative_grid": False, "launch_pdl": False}
_FORMATS = {
    **dict.fromkeys(("i1", "i8", "i16", "i32", "i64"), "q"),
    **dict.fromkeys(("u1", "u8", "u16", "u32", "u64"), "Q"),
    "fp16": "e", "fp32": "f", "f32": "f", "fp64": "d",
}  # fmt: skip


class NotCaptured(Exception):
    """The call does something that is more than launches; the text says what."""


class StandIn(Tensor):
    """A tensor that says that it is on a GPU and has no memory; `like` is its shape, on torch's
    device for those. What torch itself asks of it never touches a GPU."""

    like: Tensor
    is_cuda = True

    @staticmethod
    def __new__(cls, like: Tensor) -> StandIn:
        """A stand-in of that shape."""
        made = torch.Tensor._make_subclass(cls, like)
        made.like = like
        return made

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        """Where kernels would find it."""
        return _GPU

    def get_device(self) -> int:
        """The number of that device."""
        return _GPU.index

    def data_ptr(self) -> int:
        """A made-up address, as aligned as the real one."""
        return _BASE + int(self.like.storage_offset()) * self.like.element_size()

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Only reached outside of a `Capture`."""
        raise NotCaptured(f"{func} outside of a call")


class Capture(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """The steps of one call, while it is made. `tensors` are the stand-ins of the call's inputs."""

    def __init__(self, tensors: Sequence[StandIn]):
        super().__init__()  # type: ignore[no-untyped-call]
        # As a mode of torch's own kind for tensors without values: making one starts no device.
        self._mode_key = torch._C._TorchDispatchModeKey.FAKE
        self.steps: list[Launch | Fill] = []
        self.scratch: list[int] = []
        self._held: list[Tensor] = []  # so that no storage takes the place of another
        self._places: dict[int, Place] = {}
        for index, tensor in enumerate(tensors):
            self._know(tensor.like, Place("tensor", index))

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name, given = func._schema.name, dict(kwargs or {})
        ours = any(isinstance(a, StandIn) for a in args)
        makes = name in _EMPTY or name in _FILLED
        if not ours and not (makes and _on_gpu(given)):
            return func(*args, **given)  # numbers of the host, which no kernel can be given
        if name in _SET:
            self._fill(args[0].like, _SET[name](args))
            return args[0]
        if func._schema.is_mutable:
            raise NotCaptured(f"{name} writes to a tensor")
        if makes and given.get("device") is not None and not _on_gpu(given):
            raise NotCaptured(f"{name} on the host")
        if makes:
            given["device"] = "meta"
        made = func(*tree_map(_bare, args), **tree_map(_bare, given))
        if makes:
            self._make(made, _FILLED[name](args) if name in _FILLED else None)
        for tensor in made if isinstance(made, list | tuple) else (made,):
            if isinstance(tensor, Tensor) and _storage(tensor) not in self._places:
                raise NotCaptured(f"{name} computes")
        return tree_map(lambda t: StandIn(t) if isinstance(t, Tensor) else t, made)

    def _make(self, made: Tensor, value: Any) -> None:
        self._know(made, Place("scratch", len(self.scratch)))
        self.scratch.append(made.untyped_storage().nbytes())
        if value is not None:
            self._fill(made, value)

    def _know(self, tensor: Tensor, place: Place) -> None:
        self._held.append(tensor)
        self._places[_storage(tensor)] = place

    def _fill(self, tensor: Tensor, value: Any) -> None:
        if not tensor.is_contiguous():
            raise NotCaptured("a part of a tensor is filled")
        width = min(tensor.element_size(), 4)
        data = torch.full((1,), value, dtype=tensor.dtype, device="cpu").view(torch.uint8).tolist()
        if data[:width] * (len(data) // width) != data:
            raise NotCaptured(f"filling with {value!r} as {tensor.dtype}")
        count = tensor.numel() * tensor.element_size() // width
        pattern = int.from_bytes(bytes(data[:width]), "little")
        self.steps.append(Fill(self.place(tensor), count, width, pattern))

    def place(self, tensor: Tensor) -> Place:
        """Where the bytes of a stand-in, or of its shape, begin.

        Raises:
            NotCaptured: it is neither an input nor memory that the call made.
        """
        bare = _bare(tensor)
        found = self._places.get(_storage(bare)) if bare.device.type == "meta" else None
        if found is None:
            raise NotCaptured("a kernel is given a tensor that is no input and no new memory")
        offset = bare.storage_offset() * bare.element_size()
        return Place(found.of, found.index, found.offset + offset)


def _bare(value: Any) -> Any:
    return value.like if isinstance(value, StandIn) else value


def _on_gpu(given: Mapping[str, Any]) -> bool:
    """Whether an operator that makes memory was asked for it on a GPU."""
    device = given.get("device")
    return device is not None and torch.device(device).type == "cuda"


def _storage(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


class _Utils:
    """What Triton asks its link to the driver for."""

    def __init__(self, kernels: list[Kernel], properties: Mapping[str, int]):
        self._kernels = kernels
        self._properties = properties

    def get_device_properties(self, device: int) -> Mapping[str, int]:  # noqa: ARG002
        """Facts about the device that is compiled for."""
        return self._properties

    def load_binary(
        self, name: str, image: bytes, shared: int, device: int  # noqa: ARG002
    ) -> tuple[int, int, int, int, int]:  # fmt: skip
        """The number of a kernel as its module and its function, and what only loading tells."""
        self._kernels.append(Kernel(image, name, shared, 0))
        number = len(self._kernels)
        return number, number, 0, 0, 1024

    def unload_module(self, module: int) -> None:
        """Nothing was loaded."""


class AheadDriver:
    """A driver for Triton that notes launches; `capture` is the call that they belong to, and
    `kernels` is everything that was compiled so far."""

    def __init__(self, target: Any, properties: Mapping[str, int]):
        self.kernels: list[Kernel] = []
        self.capture: Capture | None = None
        self.utils = _Utils(self.kernels, properties)
        self._target = target

    def get_current_device(self) -> int:
        """There is one."""
        return 0

    def get_current_stream(self, device: int) -> int:  # noqa: ARG002
        """The default one."""
        return 0

    def get_current_target(self) -> Any:
        """The architecture that is compiled for."""
        return self._target

    def get_active_torch_device(self) -> torch.device:
        """What the stand-ins are on."""
        return _GPU

    def launcher_cls(self, source: Any, metadata: Any) -> Callable[..., None]:
        """What "launches" one kernel; Triton calls it with the grid, its own things, and then
        every parameter's argument.

        Raises:
            NotCaptured: the kernel needs more than a grid of blocks and its arguments.
        """
        for name, usual in _PLAIN.items():
            if getattr(metadata, name, usual) not in (usual, None):
                raise NotCaptured(f"a kernel with {name}={getattr(metadata, name)}")
        if any(getattr(metadata, name, 0) for name in _UNUSED):
            raise NotCaptured("a kernel that needs memory of its own")
        types, threads = list(source.signature.values()), metadata.num_warps * 32

        def launch(*given: Any) -> None:
            grid, function, arguments = given[:3], given[4], given[-len(types) :]
            assert self.capture is not None
            self._set_threads(function - 1, threads)
            if min(grid) > 0:
                passed = tuple(self._passed(types, arguments))
                x, y, z = (int(v) for v in grid)
                self.capture.steps.append(Launch(function - 1, (x, y, z), passed))

        return launch

    def _set_threads(self, number: int, threads: int) -> None:
        self.kernels[number] = replace(self.kernels[number], threads=threads)

    def _passed(self, types: Sequence[Any], arguments: Sequence[Any]) -> Iterator[Place | bytes]:
        assert self.capture is not None
        for kind, value in zip(types, arguments, strict=True):
            if kind == "constexpr":
                continue
            if isinstance(kind, str) and kind.startswith("*") and isinstance(value, Tensor):
                yield self.capture.place(value)
            elif kind in _FORMATS:
                yield _packed(kind, value)
            else:
                raise NotCaptured(f"an argument of type {kind}")


def _packed(kind: str, value: Any) -> bytes:
    form = _FORMATS[kind]
    if form in "qQ":
        return (int(value) & (2**64 - 1)).to_bytes(8, "little")
    return struct.pack(f"<{form}", float(np.float64(value)))


def compile_for(arch: int, properties: Mapping[str, int]) -> AheadDriver:
    """Have Triton, for the rest of this process, compile for compute capability `arch` (such as 90)
    and note launches. `properties` are of the device, by the names that Triton has for them."""
    # A package that need not be there, and that takes a while to import.
    backend = importlib.import_module("triton.backends.compiler")
    ahead = AheadDriver(backend.GPUTarget("cuda", arch, 32), properties)
    importlib.import_module("triton.runtime").driver.set_active(ahead)
    return ahead
