"""What a forward call does, seen operator by operator: how much work, and how long its sums are.

Runs on real and on ``meta`` tensors alike; on the latter it costs next to nothing. The estimate
of time is coarse and the same on every machine, so that what is derived from it is, too.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

_OPERATOR_S = 1e-5
_BYTES_PER_S = 4e9
_FLOPS_PER_S = 2e10

_SELECTING = {"gather", "index", "index_select", "embedding", "take", "masked_select", "topk",
              "slice", "select", "narrow", "unfold", "as_strided", "split", "chunk", "clone",
              "max_pool2d_with_indices", "max_pool3d_with_indices"}  # fmt: skip
_ALONG_DIM = {"_softmax", "_log_softmax", "cumsum", "logcumsumexp", "_safe_softmax"}


@dataclass
class Work:
    """What was seen so far. `longest_sum` is the number of terms of the longest sum."""

    operators: int = 0
    nbytes: int = 0
    flops: int = 0
    longest_sum: int = 1

    @property
    def seconds(self) -> float:
        """A coarse estimate for a small CPU."""
        return self.operators * _OPERATOR_S + self.nbytes / _BYTES_PER_S + self.flops / _FLOPS_PER_S


# torch leaves the types of its modes open, hence what mypy is told to pass over.
class Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A context in which every operator is counted into `work`."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.work = Work()
        self._flops = FlopCounterMode(display=False)

    def __enter__(self) -> Watch:
        self._flops.__enter__()  # type: ignore[no-untyped-call]
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        self._flops.__exit__(*error)  # type: ignore[no-untyped-call]
        self.work.flops = self._flops.get_total_flops()

    def __torch_dispatch__(
        self,
        func: Any,
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        returned = func(*args, **(kwargs or {}))
        results = _dense(returned)
        self.work.operators += 1
        if not func.is_view:
            self.work.nbytes += sum(t.nbytes for t in results)
            terms = _terms(func._schema.name.partition("::")[2], args, results)
            self.work.longest_sum = max(self.work.longest_sum, terms)
        return returned


def _dense(values: Any) -> list[Tensor]:
    leaves = tree_leaves(values)
    return [t for t in leaves if isinstance(t, Tensor) and t.layout == torch.strided]


def _terms(operator: str, args: Sequence[Any], results: Sequence[Tensor]) -> int:
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
    if operator == "native_layer_norm":
        return math.prod(args[1])
    if operator == "native_group_norm":
        return int(args[4]) * int(args[5]) // max(int(args[6]), 1)
    if "attention" in operator and len(tensors) > 1:
        return max(tensors[1].shape[-2:])
    return max(1, first.numel() // max(results[0].numel(), 1))


def measured(run: Any, *args: Any) -> tuple[Any, Work]:
    """What ``run(*args)`` returns, and the work it did."""
    with Watch() as watch, torch.no_grad():
        returned = run(*args)
    return returned, watch.work
