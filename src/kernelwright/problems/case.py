"""A case: one draw of a workload's inputs, and what the outputs must be. And what a call demands.

Plain arrays, so that the judge holds cases without torch. They are made in the reference's
process (`problems.oracle`) and cross as a message and shared memory (`problems.packing`).
"""

from __future__ import annotations

from dataclasses import dataclass

from kernelwright.core.agreement import Expected
from kernelwright.core.formats import Array


@dataclass(frozen=True, kw_only=True)
class Case:
    """One draw of one workload.

    `inputs` has an array for each of `Problem.inputs`, in that order: flat, read-only, in
    `core.formats.storage_dtype` (a scalar is one element). `expected` has one entry for each of
    `Problem.outputs`, in order. `distribution` is what was drawn in fact: it is ``"file"`` when
    the one asked for left the range in which the reference's own arithmetic is right.
    `eager_s` is how long the eager call took, once, after a call to warm up or not: a hint.
    """

    workload_id: str
    distribution: str
    inputs: dict[str, Array]
    expected: tuple[Expected, ...]
    eager_s: float


@dataclass(frozen=True, kw_only=True)
class Demand:
    """What the reference does in one call, from which follows how fast any kernel can be.

    `flops` are those of its matrix products and convolutions. `read` are the inputs of which every
    element takes part whatever the values are: none where something is gathered, sliced or masked,
    and for a gradient those that it depends on. `drawn_bytes` are those of the inputs that take
    part when they are as the file draws them, of any of them: more where something is gathered.
    """

    flops: int
    read: tuple[str, ...]
    drawn_bytes: int = 0
