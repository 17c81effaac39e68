"""Pooling in terms of windows and reductions over them. For `problems.rewriting`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

_aten = torch.ops.aten


def _windows(
    x: Tensor, size: Sequence[int], stride: Sequence[int], padding: Sequence[int], fill: float
) -> Tensor:
    """Every window of images (batch, channels, height, width), as two more dimensions."""
    high, wide = (padding[0], padding[-1])
    padded = torch.nn.functional.pad(x, (wide, wide, high, high), value=fill)
    step = stride or size
    return padded.unfold(-2, size[0], step[0]).unfold(-2, size[-1], step[-1])


def _max_pool2d(
    x: Tensor,
    size: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0,),
    dilation: Sequence[int] = (1,),
    ceil_mode: bool = False,
) -> Any:
    """The maxima; the indices, which only a gradient needs, are zeros."""
    if ceil_mode or any(d != 1 for d in dilation) or not x.is_floating_point():
        return NotImplemented
    largest = torch.amax(_windows(x, size, stride, padding, -math.inf), dim=(-2, -1))
    return largest, torch.zeros(largest.shape, dtype=torch.int64, device=x.device)


def _avg_pool2d(
    x: Tensor,
    size: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0,),
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Any:
    if ceil_mode:
        return NotImplemented
    total = torch.sum(_windows(x, size, stride, padding, 0.0), dim=(-2, -1))
    if divisor_override:
        return total / divisor_override
    inside = torch.ones_like(x) if not count_include_pad else None
    if inside is None:
        return total / (size[0] * size[-1])
    counts = _windows(inside, size, stride, padding, 0.0)
    # Not a sum: how many elements a window holds is no reduction of the program.
    return total / counts.flatten(-2).count_nonzero(dim=-1)


POOLS: dict[Any, Callable[..., Any]] = {
    _aten.max_pool2d_with_indices.default: _max_pool2d,
    _aten.avg_pool2d.default: _avg_pool2d,
}
