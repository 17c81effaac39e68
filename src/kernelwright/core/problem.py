"""What to compute: a reference program, its tensors, its workloads, and how outputs are checked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

from kernelwright.core.record import Record

DType = Literal[
    "float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2",
    "int64", "int32", "int16", "int8", "uint8", "bool",
]  # fmt: skip

ITEM_BYTES: dict[DType, int] = {
    "float64": 8, "float32": 4, "float16": 2, "bfloat16": 2, "float8_e4m3fn": 1,
    "float8_e5m2": 1, "int64": 8, "int32": 4, "int16": 2, "int8": 1, "uint8": 1, "bool": 1,
}  # fmt: skip

Split = Literal["search", "hidden", "report"]
InputRule = Literal["free", "positive", "file"]
Direction = Literal["forward", "backward", "forward_backward"]


class Source(Record):
    """Program text: files by name, and where it starts, as ``file.ext::name``."""

    files: dict[str, str]
    entry_point: str

    @property
    def main_file(self) -> str:
        """The name of the file that holds the entry point."""
        return self.entry_point.partition("::")[0]

    @property
    def name(self) -> str:
        """The name of the function or class that the entry point is."""
        return self.entry_point.partition("::")[2]

    @property
    def text(self) -> str:
        """The text of the main file."""
        return self.files[self.main_file]


class TensorSpec(Record):
    """One tensor (or scalar) that goes in or comes out.

    `shape` holds axis names, whose sizes a workload gives, and fixed sizes. A `scalar` has the
    shape ``()`` and is a Python number in the reference; its dtype is float64, int64 or bool.
    """

    name: str
    shape: tuple[str | int, ...]
    dtype: DType
    role: Literal["input", "weight", "scalar", "output"]

    def sizes(self, axes: Mapping[str, int]) -> tuple[int, ...]:
        """The shape in numbers, under the sizes `axes` of a workload."""
        return tuple(axes[d] if isinstance(d, str) else d for d in self.shape)

    def elements(self, axes: Mapping[str, int]) -> int:
        """How many elements the tensor has under `axes`."""
        return math.prod(self.sizes(axes))

    def nbytes(self, axes: Mapping[str, int]) -> int:
        """How many bytes the tensor takes, contiguous, under `axes`."""
        return self.elements(axes) * ITEM_BYTES[self.dtype]


class Workload(Record):
    """One set of sizes for a problem, and who may see it.

    `constants` are the module-level integers of the reference file that are replaced to get
    these sizes; `axes` are the sizes that follow from them. `inputs` says, for each tensor,
    whether the judge may draw its values freely ("free"), only above zero ("positive"), or must
    keep what the file's own `get_inputs` gives ("file": indices, masks, anything structured).
    """

    id: str
    split: Split
    axes: dict[str, int]
    constants: dict[str, int] = {}
    inputs: dict[str, InputRule] = {}


class Check(Record):
    """What a problem asks of its outputs beyond the tolerances that the judge derives.

    With `nonfinite` the inputs may hold NaN and infinity, which must come out where the reference
    has them; a reference file says so with ``NONFINITE = True``.
    """

    tf32: bool = False
    deterministic: bool = False
    nonfinite: bool = False


class Problem(Record):
    """What to compute.

    `inputs` are the tensors in calling order: those of `get_inputs`, then the weights (the
    parameters and buffers of the reference's `state_dict`, in its order). Where `direction` asks
    for gradients, a cotangent for each differentiable output follows, and `outputs` has a gradient
    for each floating-point input and each parameter; "forward_backward" has them behind the outputs
    of the forward pass. `cotangents` names those inputs, each with the output that it belongs to
    (``grad_out``: ``out``), and `gradients` those outputs, each with the tensor that it is of
    (``grad_x``: ``x``).
    """

    id: str
    title: str
    origin: str
    axes: tuple[str, ...]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    reference: Source
    direction: Direction = "forward"
    cotangents: dict[str, str] = {}
    gradients: dict[str, str] = {}
    check: Check = Check()
    workloads: tuple[Workload, ...]
    tags: tuple[str, ...] = ()

    def split(self, split: Split) -> tuple[Workload, ...]:
        """The workloads of one split."""
        return tuple(w for w in self.workloads if w.split == split)

    @property
    def report_workload(self) -> Workload:
        """The workload that is timed for the result: the file's own sizes."""
        return self.split("report")[0]

    def traffic_bytes(self, workload: Workload) -> int:
        """The fewest bytes that a call must move: inputs read once, outputs written once."""
        tensors = self.inputs + self.outputs
        return sum(t.nbytes(workload.axes) for t in tensors)
