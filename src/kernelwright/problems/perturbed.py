"""The exact program on inputs that moved a little: what its outputs are sensitive to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from kernelwright.core.tolerance import passed_on
from kernelwright.problems.distributions import generator
from kernelwright.problems.exact import run_exact
from kernelwright.problems.kinks import rounds
from kernelwright.problems.program import Program
from kernelwright.problems.rewriting import rewriting
from kernelwright.problems.watching import Args, Kwargs, watching
from kernelwright.problems.winograd import tile_sizes
from kernelwright.problems.work import terms_of

_NEAR = 1e-6
_PROBE = 2.0**-24
_FEW_ELEMENTS = 4096
# Noise is drawn for so many elements and then used again, since noise for each costs more than many
# a program. Primes, so that no two rows of a matrix move alike, and one for each turn, so that no
# two elements do in all of them. From 32768 elements on torch would share them out among threads,
# which wait for each other on a machine that has other work.
_TILES = (32_749, 32_719, 32_717, 32_713, 32_707, 32_693, 32_687, 32_653)
# Where an element moves by more than this share of its size, one draw of roundings is not enough:
# two logits that decide a row may happen to move alike.
_MATTERS = 1e-6
_DRAWS = 3
# Sums, whose terms may cancel.
_LINEAR = frozenset(
    {"mm", "bmm", "dot", "mv", "addmm", "baddbmm", "addmv", "convolution", "sum", "cumsum"}
)


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
    turns = max(2, min(len(_TILES), 512 // min(small)))
    moved = [nearby(program, inputs, seed, turn, size=_PROBE) for turn in range(turns)]
    return [_moved(at, exact, moved) if c <= _FEW_ELEMENTS else 0.0 for at, c in enumerate(counts)]


def moved_by_roundings(
    program: Program,
    inputs: Sequence[Any],
    exact: Sequence[Tensor],
    seed: int,
    *,
    few_bits: bool,
) -> list[Tensor]:
    """For each output, how far its elements move when float inputs, and what the steps of the
    program give, move by about a rounding of float32 each; zeros for what is no float.

    Inputs of `few_bits` stay where they are, since kernels work out much of what follows from them
    without any rounding.
    """
    found = _moved_once(program, inputs, exact, seed, few_bits, 0)
    for turn in range(1, _DRAWS if _matters(found, exact) else 1):
        again = _moved_once(program, inputs, exact, seed, few_bits, turn)
        found = [torch.fmax(one, other) for one, other in zip(found, again, strict=True)]
    return found


def _moved_once(
    program: Program,
    inputs: Sequence[Any],
    exact: Sequence[Tensor],
    seed: int,
    few_bits: bool,
    turn: int,
) -> list[Tensor]:
    """As `moved_by_roundings`, by one draw of them."""
    source = generator(seed, "roundings", *([str(turn)] if turn else []))
    noise = torch.empty(_TILES[turn], dtype=torch.float64).normal_(generator=source)
    # Where one step alone decides, it must not be one that happens not to move.
    factors = 1 + _PROBE * noise.sign() * noise.abs().clamp_min(0.5)
    if not few_bits:
        inputs = [_rounded(value, factors) for value in inputs]
    outputs = _run_with_roundings(program, inputs, factors, exact_steps=few_bits)
    return [
        (output - still).abs_() if still.is_floating_point() else torch.zeros_like(still)
        for output, still in zip(outputs, exact, strict=True)
    ]


def _matters(moved: Sequence[Tensor], exact: Sequence[Tensor]) -> bool:
    """Whether roundings move some element by much."""
    for one, still in zip(moved, exact, strict=True):
        if still.is_floating_point() and still.numel():
            size = still.abs().clamp_min(float(still.square().mean().sqrt().nan_to_num()))
            if bool((one > _MATTERS * size).any()):
                return True
    return False


def _run_with_roundings(
    program: Program, inputs: Sequence[Any], factors: Tensor, *, exact_steps: bool
) -> tuple[Tensor, ...]:
    """The outputs when every step's result is moved by `factors`; with `exact_steps` only what
    float32 cannot hold, and sums by as much as terms of one sign and size make them lean."""

    def move(func: Any, args: Args, kwargs: Kwargs, result: Any) -> None:
        results = [t for t in tree_leaves(result) if isinstance(t, Tensor)] if rounds(func) else []
        tiles = tile_sizes(func, args)
        for value in results:
            if value.dtype != torch.float64:
                continue
            moved = _rounded(value, factors)
            if tiles is not None:
                moved += _rounded(tiles, factors) - tiles
            if exact_steps:
                moved = value + _leaning(terms_of(func._opname, args, results)) * (moved - value)
                moved = torch.where(value == value.float(), value, moved)
                sizes = _inexact_terms(func, args, kwargs)
                if sizes is not None:
                    moved += _rounded(sizes, factors) - sizes
            value.copy_(moved)

    with watching(move), rewriting():
        return run_exact(program, inputs)


def _inexact_terms(func: Any, args: Args, kwargs: Kwargs) -> Tensor | None:
    """For each element of a sum, the sum of its terms' sizes, where float32 does not hold it: then
    it may not hold what is summed on the way either, however few bits are left in the end."""
    if func._opname not in _LINEAR:
        return None
    sizes = func(*[v.abs() if isinstance(v, Tensor) else v for v in args], **kwargs)
    held = sizes.dtype != torch.float64 or bool((sizes == sizes.float()).all())
    return None if held else sizes


def _leaning(terms: int) -> float:
    """How many roundings a sum is moved by, before that is passed on: terms of one sign and size,
    added one by one, all round the same way, by half a rounding each, and sums of such sums by as
    much again."""
    return max(1.0, terms / passed_on(terms))


def _rounded(value: Any, factors: Tensor) -> Any:
    """A float tensor times `factors`, again and again, in float64. Anything else is as it was."""
    if not isinstance(value, Tensor) or not value.is_floating_point():
        return value
    wide = value.to(torch.float64, copy=True).contiguous()
    flat, factors = wide.view(-1), factors.to(value.device)
    whole = flat.numel() // len(factors) * len(factors)
    flat[:whole].view(-1, len(factors)).mul_(factors)
    flat[whole:].mul_(factors[: flat.numel() - whole])
    return wide.view(value.shape)


def _moved(at: int, exact: Sequence[Tensor], moved: Sequence[Sequence[Tensor]]) -> float:
    """The root mean square of how far output `at` moved, per share, where that is a number."""
    if not exact[at].is_floating_point():
        return 0.0
    steps = torch.stack([(outputs[at] - exact[at]).cpu() for outputs in moved]) / _PROBE
    steps = steps[torch.isfinite(steps)]
    return float(steps.square().mean().sqrt()) if steps.numel() else 0.0


def nearby(
    program: Program, inputs: Sequence[Any], seed: int, turn: int, size: float = _NEAR
) -> tuple[Tensor, ...]:
    """The outputs after float inputs moved by a share of about `size`, by default a rounding:
    what decides between near-ties."""
    source = generator(seed, "near", str(turn))
    moved = []
    for value in inputs:
        noise = torch.empty(_TILES[turn], dtype=torch.float64).normal_(generator=source)
        moved.append(_rounded(value, 1 + size * noise))
    return run_exact(program, moved)
