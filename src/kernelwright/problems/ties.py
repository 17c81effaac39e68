"""Whether a reference leaves it open which of several equal values wins.

`argmax` names the first of the largest; `topk` and an unstable `sort` promise nothing, so that a
kernel may answer otherwise than torch happens to, and be right.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from kernelwright.problems.distributions import generator
from kernelwright.problems.exact import run_exact
from kernelwright.problems.program import Program
from kernelwright.problems.watching import Args, Kwargs, watching

_OPEN = frozenset({"topk", "sort", "argsort", "kthvalue", "median", "nanmedian", "mode"})
_NUDGE = 1e-9  # of the largest value: less than tells two different float32 apart
_MOST_OPEN = 1e-3  # the share of indices that may hang on a tie


def leaves_ties_open(program: Program, inputs: Sequence[Any]) -> bool:
    """Whether `program` calls an operator that has no rule for ties."""
    found = False

    def look(func: Any, _args: Args, kwargs: Kwargs, _result: Any) -> None:
        nonlocal found
        if func._opname in _OPEN and not kwargs.get("stable"):
            found = True

    with watching(look):
        program.run(inputs)
    return found


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
