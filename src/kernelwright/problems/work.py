"""What a call does, seen operator by operator: how much work, and how long its sums are.

Runs on real and on ``meta`` tensors alike; on the latter it costs next to nothing. The estimate
of time is coarse and the same on every machine, so that what is derived from it is, too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from kernelwright.problems.watching import Args, Kwargs, watching

_OPERATOR_S = 1e-5
_BYTES_PER_S = 4e9
_FLOPS_PER_S = 2e10

_SELECTING = {"gather", "index", "index_select", "embedding", "take", "masked_select", "topk",
              "slice", "select", "narrow", "unfold", "as_strided", "split", "chunk", "clone",
              "max_pool2d_with_indices", "max_pool3d_with_indices"}  # fmt: skip
# With one of these, a kernel may leave some elements or products out and be right.
_PARTIAL = {"gather", "index", "index_select", "embedding", "take", "masked_select", "slice",
            "select", "narrow", "as_strided", "where", "masked_fill", "tril", "triu",
            "max_pool2d_with_indices", "avg_pool2d", "avg_pool1d"}  # fmt: skip
_SCATTERING = {"scatter_add", "index_add"}
_ALONG_DIM = {"_softmax", "_log_softmax", "cumsum", "logcumsumexp", "_safe_softmax"}


@dataclass
class Work:
    """What was seen so far. `longest_sum` is the number of terms of the longest sum; `whole` is
    false once an operator was seen that can leave elements out."""

    operators: int = 0
    nbytes: int = 0
    flops: int = 0
    longest_sum: int = 1
    whole: bool = True

    @property
    def seconds(self) -> float:
        """A coarse estimate for a small CPU."""
        return self.operators * _OPERATOR_S + self.nbytes / _BYTES_PER_S + self.flops / _FLOPS_PER_S

    def add(self, func: Any, args: Args, kwargs: Kwargs, result: Any) -> None:
        """Count one operator."""
        self.operators += 1
        # torch's own counter follows modules by hooks, which autograd.grad does not run under.
        count = flop_registry.get(func._overloadpacket)
        self.flops += count(*args, **kwargs, out_val=result) if count else 0
        name = func._opname
        if name in _PARTIAL or "attention" in name:
            self.whole = False
        if not func.is_view:
            results = _dense(result)
            self.nbytes += sum(t.nbytes for t in results)
            self.longest_sum = max(self.longest_sum, terms_of(name, args, results))


def _dense(values: Any) -> list[Tensor]:
    leaves = tree_leaves(values)
    return [t for t in leaves if isinstance(t, Tensor) and t.layout == torch.strided]


def terms_of(operator: str, args: Sequence[Any], results: Sequence[Tensor]) -> int:
    """How many terms each output element of one operator sums at most; 1 when it sums none."""
    tensors = _dense(args)
    if not tensors or not results or operator in _SELECTING:
        return 1
    first = tensors[0]
    if operator in ("mm", "bmm", "dot", "mv", "addmm", "baddbmm", "addmv"):
        return tensors[-1].shape[-2] if tensors[-1].dim() > 1 else tensors[-1].shape[-1]
    if "conv" in operator and len(tensors) > 1:
        return math.prod(tensors[1].shape[1:])
    if operator in _ALONG_DIM:
        return first.shape[int(args[1])] if first.dim() else 1
    if operator in _SCATTERING:
        # All indices may be the same.
        return 1 + int(args[2].shape[int(args[1])] if args[2].dim() > 1 else args[2].numel())
    if "_backward" in operator:
        return _backward_terms(operator, args, tensors, results)
    if operator == "native_layer_norm":
        return math.prod(args[1])
    if operator == "native_group_norm":
        return int(args[4]) * int(args[5]) // max(int(args[6]), 1)
    if "attention" in operator and len(tensors) > 1:
        return max(tensors[1].shape[-2:])
    return max(1, first.numel() // max(results[0].numel(), 1))


def _backward_terms(
    operator: str, args: Sequence[Any], tensors: Sequence[Tensor], results: Sequence[Tensor]
) -> int:
    """As `terms_of`, for the operators that autograd calls; the gradient of a weight is the result
    with the fewest elements, and a sum over all that the weight was used for."""
    first = tensors[0]
    smallest = min((r.numel() for r in results if r.numel()), default=1)
    terms = max(1, first.numel() // smallest)
    if operator in ("_softmax_backward_data", "_log_softmax_backward_data") and first.dim():
        return max(terms, first.shape[int(args[2])])
    if operator == "native_layer_norm_backward":
        return max(terms, math.prod(int(size) for size in args[2]))
    if operator == "embedding_dense_backward":
        # All indices may be the same.
        return max(1, first.numel() // max(first.shape[-1], 1))
    if operator == "convolution_backward":
        of_input = math.prod(tensors[2].shape[2:]) * first.shape[1] if len(tensors) > 2 else 1
        return max(first.numel() // max(first.shape[1], 1), of_input)
    return terms


def measured(run: Callable[..., Any], *args: Any) -> tuple[Any, Work]:
    """What ``run(*args)`` returns, and the work it did."""
    work = Work()
    with watching(work.add), torch.no_grad():
        return run(*args), work
