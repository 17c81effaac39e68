"""Running a program with one of its operators changed, as a mistaken kernel would have it.

A sum that stops early, a reduction over another axis, an epsilon a hundred times larger. Operators
that hold a reduction inside (a softmax, a norm, attention, pooling) are taken apart first. Which
of these count as a mistake that must be noticed is for `wrong_programs` to say.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

from kernelwright.problems.norms import NORMS
from kernelwright.problems.pooling import POOLS
from kernelwright.problems.reducing import Named, Refused, is_reduction, length, shorter, turned
from kernelwright.problems.watching import Args, Kwargs, running

_TAKEN_APART = (
    "_softmax", "_log_softmax", "_safe_softmax", "_softmax_backward_data",
    "_log_softmax_backward_data", "native_layer_norm_backward", "native_group_norm_backward",
    "_scaled_dot_product_flash_attention_for_cpu",
)  # fmt: skip
_COMPOSITE = "CompositeImplicitAutograd"
_SMALL = 1e-2
_MOST_REDUCTIONS = 8

_WAYS: dict[str, Callable[[Any, Named], Any]] = {"shorter": shorter, "turned": turned}


class Change:
    """What to do instead of one operator. `refused` says why nothing was changed, if so."""

    refused: str | None = "the program has no such operator at these sizes"

    def call(self, func: Any, named: Named) -> Any:
        """The result of `func` on arguments by name, changed or as it is."""
        return func(**named)


@contextmanager
def rewriting(change: Change | None = None) -> Iterator[None]:
    """While this is open, programs are taken apart, and each operator goes through `change`."""
    changed = change or Change()

    def run(func: Any, args: Args, kwargs: Kwargs) -> Any:
        parts = _parts(func)
        if parts is not None:
            with running(run):
                result = parts(*args, **kwargs)
            if result is not NotImplemented:
                return result
        names = [a.name for a in func._schema.arguments]
        return changed.call(func, dict(zip(names, args, strict=False)) | kwargs)

    with running(run):
        yield


@functools.cache
def _table() -> dict[Any, Callable[..., Any]]:
    operators = [getattr(torch.ops.aten, name) for name in _TAKEN_APART]
    found: dict[Any, Callable[..., Any]] = dict(torch._decomp.get_decompositions(operators))
    return {**found, **NORMS, **POOLS}


def _parts(func: Any) -> Callable[..., Any] | None:
    if func in _table():
        return _table()[func]
    if torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), _COMPOSITE):
        decomposed: Callable[..., Any] = func.decompose
        return decomposed
    return None


@dataclass
class Survey(Change):
    """Changes nothing, and lists the reductions and the small constants that it sees."""

    reductions: list[tuple[str, int]] = field(default_factory=list)
    constants: set[float] = field(default_factory=set)

    def call(self, func: Any, named: Named) -> Any:
        """Take note, and run it."""
        if is_reduction(func, named):
            self.reductions.append((func._opname, length(func, named)))
        floats = {v for v in named.values() if isinstance(v, float)}
        self.constants |= {v for v in floats if 0 < abs(v) < _SMALL}
        return func(**named)

    @property
    def longest(self) -> list[tuple[int, str]]:
        """The position of each of the longest reductions, in order, and a name for it."""
        ranked = sorted(
            range(len(self.reductions)), key=lambda at: self.reductions[at][1], reverse=True
        )
        total = Counter(name for name, _ in self.reductions)
        seen: Counter[str] = Counter()
        named = []
        for at, (name, _) in enumerate(self.reductions):
            seen[name] += 1
            if at in ranked[:_MOST_REDUCTIONS]:
                named.append((at, f"{name} {seen[name]}" if total[name] > 1 else name))
        return named


@dataclass
class OneReduction(Change):
    """Changes the reduction at a position: ``"shorter"`` by a slice, or ``"turned"`` to another
    axis."""

    position: int
    way: str
    seen: int = 0

    def call(self, func: Any, named: Named) -> Any:
        """Run it, changed if it is the one."""
        if not is_reduction(func, named):
            return func(**named)
        self.seen += 1
        if self.seen - 1 != self.position:
            return func(**named)
        try:
            result = _WAYS[self.way](func, named)
        except Refused as reason:
            self.refused = str(reason)
            return func(**named)
        self.refused = None
        return result


@dataclass
class LargerConstant(Change):
    """Gives operators a hundred times `constant` where they are given `constant`."""

    constant: float

    def call(self, func: Any, named: Named) -> Any:
        """Run it, with the larger constant if it has it."""
        hits = {n: 100 * v for n, v in named.items() if isinstance(v, float) and v == self.constant}
        if hits:
            self.refused = None
        return func(**{**named, **hits})
