"""Normalisations in terms of means, variances and pointwise operators.

PyTorch has decompositions of its own, for other readers: they use strided views and operators
below ATen. These say the same with what a sketch can follow. For `problems.exporting` and
`problems.rewriting`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

_aten = torch.ops.aten


def _statistics(x: Tensor, dims: Sequence[int], eps: float) -> tuple[Tensor, Tensor]:
    """The mean over `dims` and one over the deviation, with `dims` kept."""
    mean = torch.mean(x, list(dims), keepdim=True)
    variance = torch.var(x, list(dims), correction=0, keepdim=True)
    return mean, torch.rsqrt(variance + eps)


def _layer_norm(
    x: Tensor, shape: Sequence[int], weight: Tensor | None, bias: Tensor | None, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    dims = range(x.dim() - len(shape), x.dim())
    mean, scale = _statistics(x, dims, eps)
    y = (x - mean) * scale
    y = y if weight is None else y * weight
    return (y if bias is None else y + bias), mean, scale


def _group_norm(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    batch: int,
    channels: int,
    _area: int,
    groups: int,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    inner = math.prod(x.shape[2:])
    grouped = x.reshape(batch, groups, channels // groups, inner)
    mean, scale = _statistics(grouped, (2, 3), eps)
    y = ((grouped - mean) * scale).reshape(x.shape)
    y = _per_channel(y, weight, bias)
    return y, mean.reshape(batch, groups), scale.reshape(batch, groups)


def _batch_norm_without_stats(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, _training: bool, _pace: float, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    dims = [0, *range(2, x.dim())]
    mean, scale = _statistics(x, dims, eps)
    y = _per_channel((x - mean) * scale, weight, bias)
    return y, mean.reshape(-1), scale.reshape(-1)


def _batch_norm_frozen(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    mean: Tensor,
    variance: Tensor,
    _pace: float,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    shape = (1, -1, *[1] * (x.dim() - 2))
    y = (x - mean.reshape(shape)) * torch.rsqrt(variance + eps).reshape(shape)
    return _per_channel(y, weight, bias), x.new_empty(0), x.new_empty(0)


def _per_channel(y: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    shape = (1, -1, *[1] * (y.dim() - 2))
    y = y if weight is None else y * weight.reshape(shape)
    return y if bias is None else y + bias.reshape(shape)


NORMS: dict[Any, Callable[..., Any]] = {
    _aten.native_layer_norm.default: _layer_norm,
    _aten.native_group_norm.default: _group_norm,
    _aten._native_batch_norm_legit.no_stats: _batch_norm_without_stats,
    _aten._native_batch_norm_legit_no_training.default: _batch_norm_frozen,
}
