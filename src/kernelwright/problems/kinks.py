"""Where a rounding decides a gradient: elements before a corner of the function that they enter.

A ReLU whose argument is a hair from zero passes its gradient on or does not, as the last bit of
the argument has it; an honest kernel may round that bit otherwise than the reference. Here the
forward pass is run in float64 with roundings like those of the problem's type, and what a gradient
then jumps by is what a kernel may be off there. Values that the type can hold are not moved, so
that where nothing is rounded (a ReLU of the input itself, sums of whole numbers) nothing is given.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from kernelwright.core.agreement import Expected
from kernelwright.core.formats import UNIT_ROUNDOFF, Array
from kernelwright.core.problem import ITEM_BYTES, DType
from kernelwright.core.tolerance import Tolerance
from kernelwright.problems.distributions import generator
from kernelwright.problems.dtypes import TORCH_DTYPES
from kernelwright.problems.exact import in_float64, widened
from kernelwright.problems.explaining import explained
from kernelwright.problems.program import Program
from kernelwright.problems.watching import Args, Kwargs, watching
from kernelwright.problems.work import terms_of

_PATTERNS = 2
# Kernels differ by less than this many roundings in one step, and in a sum by its root's number.
_ROUNDINGS = 4.0
# What moves by less is smooth, and the tolerance is for that.
JUMP = 16.0

_CORNERED = ("relu", "max", "min", "abs", "clamp", "hard", "shrink", "threshold", "sign", "sort",
             "topk", "median", "quantile", "round", "floor", "ceil", "trunc", "where", "l1",
             "huber", "fmod", "remainder", "cdist", "norm")  # fmt: skip
_SMOOTH = ("softmax", "layer_norm", "group_norm", "batch_norm", "rms_norm")
# These give values that are there already, or zeros, or whole numbers: nothing is rounded.
_EXACT = ("relu", "max", "min", "abs", "neg", "clamp", "threshold", "hardtanh", "sign", "sort",
          "topk", "median", "where", "masked", "gather", "index", "select", "slice", "embedding",
          "take", "cat", "stack", "clone", "copy", "pad", "flip", "roll", "repeat", "expand",
          "kthvalue", "mode", "unfold", "tril", "triu", "diagonal", "scatter",
          "round", "floor", "ceil", "trunc", "ones", "zeros", "full", "fill", "arange", "eye",
          "one_hot")  # fmt: skip


@dataclass(frozen=True)
class _Roundings:
    """Moves every float64 result by about as much as roundings of `dtype` would; with the other
    `sign`, by as much the other way."""

    dtype: DType
    noise: torch.Generator
    sign: float

    def move(self, func: Any, args: Args, _kwargs: Kwargs, result: Any) -> None:
        """Move what an operator gave, unless it gives what was there already."""
        if not rounds(func):
            return
        name = func._opname
        results = [t for t in tree_leaves(result) if isinstance(t, Tensor)]
        wide = self.dtype in ("float32", "float64")
        summed = math.sqrt(terms_of(name, args, results)) if wide else 0.0
        for each in results:
            self._move(each, _ROUNDINGS + summed)

    def _move(self, result: Tensor, roundings: float) -> None:
        if result.dtype != torch.float64 or not result.numel():
            return
        rounded = result != result.to(TORCH_DTYPES[self.dtype])
        if not rounded.any():
            return
        noise = torch.rand(result.shape, dtype=torch.float64, generator=self.noise) - 0.5
        # Between a half and all of it, one way or the other: what is near enough is sure to cross.
        noise = (noise + noise.sign() * 0.5).to(result.device) * self.sign
        size = result.abs().clamp_min(float(result.square().mean().sqrt()))
        noise *= size * (roundings * UNIT_ROUNDOFF[self.dtype])
        result.add_(torch.where(rounded & torch.isfinite(result), noise, 0.0))


def rounds(func: Any) -> bool:
    """Whether an operator gives anything but values that are there already, as a copy does."""
    name = func._opname
    return not func.is_view and (_is_any(name, _SMOOTH) or not _is_any(name, _EXACT))


def _is_any(name: str, words: Sequence[str]) -> bool:
    return any(word in name for word in words)


def _has(values: Any, *, floating: bool) -> bool:
    tensors = (leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor))
    return any(tensor.is_floating_point() == floating for tensor in tensors)


def has_corners(program: Program, inputs: Sequence[Any]) -> bool:
    """Whether a forward pass holds an operator whose derivative jumps, or one that makes a decision
    of numbers: a rounding before it may decide a gradient."""
    found = False

    def look(func: Any, args: Args, _kwargs: Kwargs, result: Any) -> None:
        nonlocal found
        cornered = _is_any(func._opname, _CORNERED) and not _is_any(func._opname, _SMOOTH)
        decides = _has(args, floating=True) and _has(result, floating=False)
        found = found or cornered or decides

    forward = program.forward_only
    with watching(look):
        forward.run(inputs[: len(forward.input_names)])
    return found


def with_slack(
    exact: Program,
    inputs: Sequence[Any],
    found: Sequence[Expected],
    limit_of: Callable[[int, Array], Tolerance],
    seed: int,
) -> tuple[Expected, ...]:
    """`found`, with slack where a gradient hangs on a rounding of the forward pass, and there with
    the tolerance that follows from the elements that do not.

    `exact` is the float64 program, which gave the values of `found` for `inputs`; `limit_of` gives
    the tolerance of an output by its position, from the elements that a mask says.

    Raises:
        ProblemError: the program does not run.
    """
    given = _slack(exact, inputs, {e.name: e for e in found}, seed)
    return tuple(
        replace(
            e, tolerance=limit_of(at, given[e.name] == 0.0), slack=_first_of(given[e.name], e.slack)
        )
        if e.name in given
        else e
        for at, e in enumerate(found)
    )


def _first_of(jumps: Array, slack: Array | None) -> Array:
    """What elements jump by, where they do; elsewhere the slack that they have."""
    return jumps if slack is None else np.where(jumps > 0, jumps, slack)


def _slack(
    exact: Program, inputs: Sequence[Any], found: Mapping[str, Expected], seed: int
) -> dict[str, Array]:
    """How much further each element of a gradient may be off, by the gradient's name, where that is
    anything at all. `found` has what every output must be."""
    assert exact.gradients is not None
    gradients = replace(exact.gradients, direction="backward")
    backward, names = replace(exact, gradients=gradients), gradients.names
    dtype = min((found[name].dtype for name in names), key=lambda dtype: ITEM_BYTES[dtype])
    most = {name: np.zeros_like(found[name].values) for name in names}
    for pattern in range(_PATTERNS):
        for sign in (1.0, -1.0):
            noise = generator(seed, "roundings", str(pattern))
            moved = _moved(backward, inputs, _Roundings(dtype, noise, sign))
            for name, gradient in zip(names, moved, strict=True):
                gap = np.abs(gradient.cpu().contiguous().numpy().ravel() - found[name].values)
                most[name] = np.fmax(most[name], gap)
    jumps = {name: _jumps(gap, found[name]) for name, gap in most.items()}
    return {name: jump for name, jump in jumps.items() if jump.any()}


def _moved(exact: Program, inputs: Sequence[Any], roundings: _Roundings) -> tuple[Tensor, ...]:
    """The gradients after a forward pass with `roundings`; those of the backward pass decide
    nothing."""
    with explained(exact.source, "its backward pass"), in_float64():
        with watching(roundings.move):
            step = exact.prepare(widened(inputs))
        return tuple(gradient.double() for gradient in step())


def _jumps(gap: Array, expected: Expected) -> Array:
    """`gap` where it is far more than the tolerance, else 0."""
    limit = expected.tolerance
    assert limit is not None
    allowed = np.maximum(np.abs(expected.values), limit.scale) * limit.relative
    with np.errstate(invalid="ignore"):
        return np.where(gap > JUMP * allowed, gap, 0.0)
