"""What a convolution that is worked out in transformed tiles rounds by.

Winograd's minimal filtering turns a tile of inputs and a kernel into sums and differences,
multiplies these element by element, and turns the products back: a rounding is then as large as
the largest values of the whole tile make it, also in an output whose own window holds none of
them. Vendor libraries choose it by themselves, for kernels of more than one element and stride 1.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from kernelwright.problems.watching import Args

# How far the outputs of one tile lie apart at most: tiles of four by four are the largest in use.
_APART = 3
_POOLS = {1: torch.max_pool1d, 2: torch.max_pool2d, 3: torch.max_pool3d}


def tile_sizes(func: Any, args: Args) -> Tensor | None:
    """For each output of a convolution that may run in tiles, the root of the sum of squares of the
    terms of the largest output near it; None for any other operator.

    `func` is an overload of ``aten.convolution``; the sizes have the shape of its result.
    """
    if func._opname != "convolution":
        return None
    x, weight, _bias, stride, _padding, dilation, transposed, *_ = args
    spatial = weight.dim() - 2
    plain = not transposed and all(s == 1 for s in (*stride, *dilation))
    if not plain or spatial not in _POOLS or weight[0, 0].numel() == 1:
        return None
    squares = func(x.square(), weight.square(), None, *args[3:])
    return _POOLS[spatial](squares, 2 * _APART + 1, stride=1, padding=_APART).sqrt_()
