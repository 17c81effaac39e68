"""Whether a reference leaves it open which of several equal values wins.

`argmax` names the first of the largest; `topk` and an unstable `sort` promise nothing, so that a
kernel may answer otherwise than torch happens to, and be right.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from kernelwright.problems.distributions import generator
from kernelwright.problems.exact import run_exact
from kernelwright.problems.loading import Program

_OPEN = frozenset({"topk", "sort", "argsort", "kthvalue", "median", "nanmedian", "mode"})
_NUDGE = 1e-9  # of the largest value: less than tells two different float32 apart
_MOST_OPEN = 1e-3  # the share of indices that may hang on a tie


class _Operators(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes whether an operator without a rule for ties is called."""

    found = False

    def __torch_dispatch__(
        self,
        func: Any,
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        named = dict(kwargs or {})
        name = func.overloadpacket.__name__
        if name in _OPEN and not (named.get("stable") or True in args[1:2]):
            self.found = True
        return func(*args, **named)


def leaves_ties_open(program: Program, inputs: Sequence[Any]) -> bool:
    """Whether `program` calls an operator that has no rule for ties."""
    with _Operators() as mode:  # type: ignore[no-untyped-call]
        program.run(inputs)
    return bool(mode.found)


def hangs_on_ties(
    exact: Program, inputs: Sequence[Any], answers: Sequence[Tensor], seed: int
) -> bool:
    """Whether nudging equal values apart gives other indices than `answers`, the exact outputs."""
    source = generator(seed, "ties")
    nudged = [_nudged(value, source) for value in inputs]
    for ours, theirs in zip(answers, run_exact(exact, nudged), strict=True):
        if ours.is_floating_point() or not ours.numel():
            continue
        if float((ours != theirs).double().mean()) > _MOST_OPEN:
            return True
    return False


def _nudged(value: Any, source: torch.Generator) -> Any:
    if not (isinstance(value, Tensor) and value.is_floating_point() and value.numel()):
        return value
    wide = value.double()
    noise = torch.empty(wide.shape, dtype=torch.float64).normal_(generator=source)
    return wide + noise.to(wide.device) * (_NUDGE * wide.abs().max())
