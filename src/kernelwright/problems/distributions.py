"""The distributions that inputs and weights are drawn from, each from a secret seed.

Every one is a way to expose a kernel that is only right on friendly values: offsets cancel,
heavy tails overflow, rows far from zero show whether a maximum is taken off, zeros and ties
meet the branches, a single row or column says whether all are read, and small integers make sums
exact. Only torch; which inputs may be drawn at all is for `problems.rules` to say.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable

import torch
from torch import Tensor

DISTRIBUTIONS = (
    "file", "normal", "uniform", "shifted", "offset", "far", "heavy", "small", "large",
    "sparse", "ties", "structured", "denormal", "nonfinite", "integer",
)  # fmt: skip
# Only where a problem says that it passes NaN and infinity on.
DECLARED = frozenset({"nonfinite"})
# On these, ties are real and every answer but the reference's own is wrong.
EXACT = frozenset({"ties", "integer", "offset", "far"})

# Integers up to here are exact.
_EXACT_LIMIT = {
    torch.float64: 2**53, torch.float32: 2**24, torch.float16: 2**11,
    torch.bfloat16: 2**8, torch.float8_e4m3fn: 2**4, torch.float8_e5m2: 2**3,
}  # fmt: skip
_POSITIVE_FLOOR = 2.0**-4
# Three of the larger unit are twice what double can raise e to, and the product of two values of
# the smaller one, summed over a few, is more than that too.
_UNIT = {"offset": 2.0**2, "far": 2.0**9}


def generator(seed: int, *names: str) -> torch.Generator:
    """A generator of its own for each (seed, names), so that inputs do not depend on order."""
    digest = hashlib.blake2b(f"{seed}/{'/'.join(names)}".encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "little") >> 1)


def draw(
    distribution: str,
    shape: tuple[int, ...],
    dtype: torch.dtype,
    source: torch.Generator,
    *,
    positive: bool = False,
    terms: int = 1,
) -> Tensor:
    """A tensor of `dtype` drawn from `distribution`, which is any but ``"file"``.

    `terms` is the length of the longest sum that the values enter: ``integer`` thins its
    values out until such a sum is exact in `dtype`. With `positive`, all are above zero.
    """
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    limit = _EXACT_LIMIT[dtype]
    if distribution == "integer":
        values = _integers(shape, wide, source, limit / max(terms, 1))
    elif distribution == "denormal":
        values = _normal(torch.empty(shape, dtype=wide), source).mul_(torch.finfo(dtype).tiny / 4)
    elif distribution in _UNIT:
        values = _offset(torch.empty(shape, dtype=wide), source)
        values *= min(_UNIT[distribution], 2.0 ** (int(math.log2(torch.finfo(dtype).max)) - 4))
    else:
        values = _DRAWS[distribution](torch.empty(shape, dtype=wide), source)
    if positive:
        values = values.abs_().add_(1.0 if distribution in EXACT else _POSITIVE_FLOOR)
    if dtype not in (torch.float64, torch.float32) and distribution != "nonfinite":
        largest = torch.finfo(dtype).max / 4
        values = values.clamp_(-largest, largest)
    return values.to(dtype)


def draw_weight(
    initial: Tensor, source: torch.Generator, *, distribution: str, positive: bool, terms: int
) -> Tensor:
    """Weights like `initial` in size, and never all zeros or ones.

    Their spread is the one that the file gives them; where it gives none (zeros, ones), it is
    0.3. On ``integer`` they are small integers, so that sums stay exact.
    """
    shape = tuple(initial.shape)
    if distribution == "integer":
        return draw("integer", shape, initial.dtype, source, positive=positive, terms=terms)
    start = initial.to(torch.float32 if initial.dtype != torch.float64 else torch.float64)
    spread = float(start.std()) if start.numel() > 1 else 0.0
    spread = spread if math.isfinite(spread) and spread > 1e-6 else 0.3
    center = float(start.mean()) if start.numel() else 0.0
    values = torch.empty(shape, dtype=start.dtype).normal_(center, spread, generator=source)
    if positive:
        values = values.abs_().add_(_POSITIVE_FLOOR)
    return values.to(initial.dtype)


def _normal(out: Tensor, source: torch.Generator) -> Tensor:
    return out.normal_(generator=source)


def _uniform(out: Tensor, source: torch.Generator) -> Tensor:
    return out.uniform_(-1.0, 1.0, generator=source)


def _shifted(out: Tensor, source: torch.Generator) -> Tensor:
    """All on one side of zero, at some distance from it; below as often as above."""
    offset = 2.0 + 14.0 * float(torch.rand((), generator=source))
    side = 1.0 if float(torch.rand((), generator=source)) < 0.5 else -1.0
    return out.uniform_(0.0, 1.0, generator=source).add_(offset).mul_(side)


def _offset(out: Tensor, source: torch.Generator) -> Tensor:
    """3, 4 or 5, on one side of zero: in one draw of two below it, in one of four above it, and
    in the rest each row has a side of its own.

    The values have three bits, so that their products add up exactly in any order: what such
    sums are off by would decide a softmax. Products of two such inputs are below zero in whole
    rows in seven draws of sixteen.
    """
    out.uniform_(2.5, 5.5, generator=source).round_().clamp_(3.0, 5.0)
    count = out.numel() // max(out.shape[-1], 1) if out.dim() else 1
    sides = torch.randint(2, (max(count, 1),), generator=source) * 2 - 1
    turn = int(torch.randint(4, (), generator=source))
    if turn < 3:
        sides.fill_((-1, -1, 1)[turn])
    if out.numel():
        out.view(-1, out.shape[-1] if out.dim() else 1).mul_(sides[:, None])
    return out


def _heavy(out: Tensor, source: torch.Generator) -> Tensor:
    """Signed and log-normal: mostly small, with a few values a hundred times the median."""
    tail = torch.empty_like(out).normal_(generator=source).mul_(1.5).exp_()
    return out.normal_(generator=source).sign_().mul_(tail)


def _small(out: Tensor, source: torch.Generator) -> Tensor:
    return _normal(out, source).mul_(2.0**-10)


def _large(out: Tensor, source: torch.Generator) -> Tensor:
    return _normal(out, source).mul_(2.0**8)


def _sparse(out: Tensor, source: torch.Generator) -> Tensor:
    keep = torch.empty_like(out).uniform_(generator=source) < 0.1
    return _normal(out, source).mul_(keep)


def _ties(out: Tensor, source: torch.Generator) -> Tensor:
    """Values from {-1, 0, 1}; one row in eight is constant."""
    out.uniform_(-1.5, 1.5, generator=source).round_().clamp_(-1.0, 1.0)
    if out.dim() >= 2 and out.numel():
        rows = out.reshape(-1, out.shape[-1])
        flat = torch.empty(len(rows)).uniform_(generator=source) < 0.125
        rows[flat] = rows[flat][:, :1].expand(-1, rows.shape[1]).clone()
    return out


def _structured(out: Tensor, source: torch.Generator) -> Tensor:
    """Normal values in a pattern: one of each row, the diagonal, a triangle, a row, in order."""
    _normal(out, source)
    if out.dim() == 0 or out.numel() == 0:
        return out
    rows = out.view(-1, out.shape[-1])
    count, width = rows.shape
    row, column = torch.arange(count)[:, None], torch.arange(width)[None, :]
    match int(torch.randint(6, (), generator=source)):
        case 0:
            rows.mul_(column == torch.randint(width, (count, 1), generator=source))
        case 1:
            rows.mul_(column == row % width)
        case 2:
            rows.mul_(column <= row % width)
        case 3:
            rows.mul_(row == count - 1)
        case 4:
            rows.mul_(column == width - 1)
        case _:
            down = bool(torch.randint(2, (), generator=source))
            rows.copy_(rows.sort(dim=-1, descending=down).values)
    return out


def _nonfinite(out: Tensor, source: torch.Generator) -> Tensor:
    """Normal values; one row in four has a NaN or an infinity somewhere."""
    _normal(out, source)
    if out.dim() == 0 or out.numel() == 0:
        return out
    rows = out.view(-1, out.shape[-1])
    special = torch.tensor([math.nan, math.inf, -math.inf], dtype=out.dtype)
    hit = (torch.rand(len(rows), generator=source) < 0.25).nonzero()[:, 0]
    where = torch.randint(rows.shape[1], hit.shape, generator=source)
    rows[hit, where] = special[torch.randint(3, hit.shape, generator=source)]
    return out


def rearranged(value: Tensor, source: torch.Generator) -> Tensor:
    """An index tensor or mask with other contents that are as legal, for ``structured``.

    Indices stay between the least and the largest that `value` has: all equal, the two extremes
    only, or in another order along the last axis. What looks made for a purpose is only
    reordered (no index twice in a row), or left (in order). A mask is all true or all false.
    """
    choice = int(torch.randint(3, (), generator=source))
    if value.dtype == torch.bool:
        return value if choice == 2 else torch.full_like(value, choice == 0)
    if value.is_floating_point() or value.dim() == 0 or value.numel() < 2:
        return value
    steps = value.diff(dim=-1)
    if bool((steps >= 0).all()) or bool((steps <= 0).all()):
        return value
    order = torch.rand(value.shape, generator=source).argsort(dim=-1)
    if choice == 2 or bool((value.sort(dim=-1).values.diff(dim=-1) > 0).all()):
        return value.gather(-1, order)
    low, high = value.min(), value.max()
    if choice == 0:
        return torch.where(torch.rand(value.shape, generator=source) < 0.5, low, high)
    return (
        value.view(-1)[int(torch.randint(value.numel(), (), generator=source))]
        .expand_as(value)
        .clone()
    )


def _integers(
    shape: tuple[int, ...], wide: torch.dtype, source: torch.Generator, room: float
) -> Tensor:
    """From {-2..2}; products are at most 4, and `room` is how much each term may add on average."""
    out = torch.empty(shape, dtype=wide).uniform_(-2.5, 2.5, generator=source).round_()
    out.clamp_(-2.0, 2.0)
    dense = min(1.0, room / 4.0)
    if dense < 1.0:
        out.mul_(torch.empty(shape, dtype=wide).uniform_(generator=source) < dense)
    return out


_DRAWS: dict[str, Callable[[Tensor, torch.Generator], Tensor]] = {
    "normal": _normal,
    "uniform": _uniform,
    "shifted": _shifted,
    "heavy": _heavy,
    "small": _small,
    "large": _large,
    "sparse": _sparse,
    "ties": _ties,
    "structured": _structured,
    "nonfinite": _nonfinite,
}
