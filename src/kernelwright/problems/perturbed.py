"""The exact program on inputs that moved a little: what its outputs are sensitive to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from kernelwright.problems.distributions import generator
from kernelwright.problems.exact import run_exact
from kernelwright.problems.loading import Program

_NEAR = 1e-6
_PROBE = 2.0**-24
_FEW_ELEMENTS = 4096


def conditioning(
    program: Program, inputs: Sequence[Any], exact: Sequence[Tensor], seed: int
) -> list[float]:
    """For each output, how large the terms are that its elements are made of: what it moves by,
    per share, when every float input moves by a random share of itself.

    Looked at for small outputs only. Among many elements some do not cancel, so that their own
    size says as much; a single sum may be near zero by chance.
    """
    counts = [o.numel() for o in exact]
    small = [c for o, c in zip(exact, counts, strict=True) if o.is_floating_point() and c]
    if not small or min(small) > _FEW_ELEMENTS:
        return [0.0] * len(exact)
    turns = max(2, min(8, 512 // min(small)))
    moved = [nearby(program, inputs, seed, turn, size=_PROBE) for turn in range(turns)]
    return [_moved(at, exact, moved) if c <= _FEW_ELEMENTS else 0.0 for at, c in enumerate(counts)]


def _moved(at: int, exact: Sequence[Tensor], moved: Sequence[Sequence[Tensor]]) -> float:
    """The root mean square of how far output `at` moved, per share, where that is a number."""
    if not exact[at].is_floating_point():
        return 0.0
    steps = torch.stack([(outputs[at] - exact[at]).cpu() for outputs in moved]) / _PROBE
    steps = steps[torch.isfinite(steps)]
    return float(steps.square().mean().sqrt()) if steps.numel() else 0.0


def nearby(
    exact: Program, inputs: Sequence[Any], seed: int, turn: int, size: float = _NEAR
) -> tuple[Tensor, ...]:
    """The outputs after float inputs moved by a share of about `size`, by default a rounding:
    what decides between near-ties."""
    source = generator(seed, "near", str(turn))
    moved = []
    for value in inputs:
        if isinstance(value, Tensor) and value.is_floating_point():
            noise = torch.empty(value.shape, dtype=torch.float64).normal_(generator=source)
            value = value.double() * (1 + size * noise.to(value.device))
        moved.append(value)
    return run_exact(exact, moved)
