"""One reduction or contraction, done wrongly: a slice too short, or along another axis.

ATen operators with their arguments by name. For `problems.rewriting`.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

Named = dict[str, Any]

_OVER_DIMS = frozenset({
    "sum", "mean", "amax", "amin", "max", "min", "argmax", "argmin", "var", "var_mean", "std",
    "logsumexp", "linalg_vector_norm", "prod", "cumsum", "cumprod", "logcumsumexp",
})  # fmt: skip
_FACTORS = {
    "mm": ("self", "mat2"), "bmm": ("self", "mat2"), "mv": ("self", "vec"),
    "addmm": ("mat1", "mat2"), "baddbmm": ("batch1", "batch2"),
}  # fmt: skip
_SCATTERED = {"scatter_add": "src", "index_add": "source"}
_WIDEST_SLICE = 32


class Refused(Exception):
    """This reduction cannot be done wrongly in this way; the message says why."""


def is_reduction(func: Any, named: Named) -> bool:
    """Whether each output element is made from several elements, by this operator itself."""
    name = func._opname
    if name in _OVER_DIMS:
        return "other" not in named and isinstance(named.get("self"), Tensor)
    return name in _FACTORS or name in _SCATTERED or name == "convolution"


def length(func: Any, named: Named) -> int:
    """How many elements each output element is made from, at most."""
    name = func._opname
    if name in _OVER_DIMS:
        return math.prod(named["self"].shape[d] for d in _dims(named))
    if name in _FACTORS:
        return int(named[_FACTORS[name][0]].shape[-1])
    if name in _SCATTERED:
        return int(named["index"].shape[int(named["dim"])] if named["index"].dim() else 1)
    return math.prod(named["weight"].shape[1:])


def shorter(func: Any, named: Named) -> Any:
    """The operator without the last slice of what it reduces.

    Raises:
        Refused: there is only one element along that axis.
    """
    name = func._opname
    if name in _OVER_DIMS:
        return _shorter_over_dims(func, named)
    if name in _FACTORS:
        return _shorter_product(func, named)
    if name in _SCATTERED:
        return _shorter_scatter(func, named)
    weight = named["weight"]
    axis = 1 if weight.shape[1] > 1 else weight.dim() - 1
    return func(**{**named, "weight": _without_end(weight, axis)})


def turned(func: Any, named: Named) -> Any:
    """The operator along another axis, or with an operand's strides swapped.

    Raises:
        Refused: there is no other axis.
    """
    name = func._opname
    if name in _OVER_DIMS:
        return _turned_over_dims(func, named)
    if name == "convolution":
        weight = named["weight"]
        axes = (0, 1) if min(weight.shape[:2]) > 1 else (-2, -1)
        return func(**{**named, "weight": _swapped(weight, *axes)})
    operand = _SCATTERED[name] if name in _SCATTERED else _FACTORS[name][1]
    return func(**{**named, operand: _swapped(named[operand], -2, -1)})


def _dims(named: Named) -> list[int]:
    """The reduced dimensions, counted from the front; all where none is named."""
    rank = named["self"].dim()
    given = named.get("dim")
    if given is None or given == []:
        return list(range(rank))
    dims = [given] if isinstance(given, int) else list(given)
    return [d % rank for d in dims] if rank else []


def _kept(size: int) -> int:
    """How many of `size` remain without the last slice."""
    if size < 2:
        raise Refused("what it reduces has one element")
    return size - max(1, min(_WIDEST_SLICE, size // 8))


def _without_end(value: Tensor, axis: int) -> Tensor:
    """`value` with zeros in its last slice along `axis`."""
    size = value.shape[axis]
    kept = _kept(size)
    value = value.clone()
    value.narrow(axis, kept, size - kept).zero_()
    return value


def _shorter_over_dims(func: Any, named: Named) -> Any:
    x, dims = named["self"], _dims(named)
    if not dims:
        raise Refused("what it reduces has one element")
    size = x.shape[dims[-1]]
    if func._opname.startswith(("cum", "logcum")):
        return func(**{**named, "self": _without_end(x, dims[-1])})
    kept = _kept(size)
    result = func(**{**named, "self": x.narrow(dims[-1], 0, kept)})
    # A kernel that stops early still divides by the whole length.
    return result * (kept / size) if func._opname == "mean" else result


def _shorter_product(func: Any, named: Named) -> Any:
    first, second = _FACTORS[func._opname]
    a, b = named[first], named[second]
    kept = _kept(a.shape[-1])
    b = b.narrow(-2 if b.dim() > 1 else -1, 0, kept)
    return func(**{**named, first: a.narrow(-1, 0, kept), second: b})


def _shorter_scatter(func: Any, named: Named) -> Any:
    values = _SCATTERED[func._opname]
    axis, index = int(named["dim"]), named["index"]
    at = axis if index.dim() > 1 else 0
    kept = _kept(index.shape[at] if index.dim() else 1)
    return func(
        **{
            **named,
            "index": index.narrow(at, 0, kept),
            values: named[values].narrow(axis, 0, kept),
        }
    )


def _turned_over_dims(func: Any, named: Named) -> Any:
    x, dims = named["self"], _dims(named)
    others = [d for d in range(x.dim()) if d not in dims and x.shape[d] > 1]
    if not others:
        raise Refused("there is no other axis to reduce")
    dim = others[-1] if isinstance(named["dim"], int) else [*dims[:-1], others[-1]]
    right, wrong = func(**named), func(**{**named, "dim": dim})
    return tree_map(lambda made, like: _fitted(made, like, x.shape[dims[-1]]), wrong, right)


def _fitted(made: Tensor, like: Tensor, size: int) -> Tensor:
    """`made` in the shape of `like`, repeated or cut; an index stays below `size`."""
    if made.shape != like.shape:
        flat = made.reshape(-1)
        places = torch.arange(like.numel(), device=made.device) % flat.numel()
        made = flat[places].reshape(like.shape)
    return made if made.is_floating_point() else made % size


def _swapped(value: Tensor, one: int, other: int) -> Tensor:
    """`value` read with the strides of two axes swapped, in its own shape."""
    if value.dim() < 2 or min(value.shape[one], value.shape[other]) < 2:
        raise Refused("there is no other axis to reduce")
    return value.transpose(one, other).reshape(value.shape)
