"""Which sizes a problem is judged at: the file's own, and others that follow from its constants.

A constant is varied when changing it changes the shape of an input or a weight; what else a file
gives names to (a reduction axis, a number of groups) is part of what it computes. The choice is
a function of the file's text alone, unless it was declared beside it. No torch: a program is looked
at through `shapes.Observer`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from kernelwright.core.errors import ProblemError
from kernelwright.core.problem import Split
from kernelwright.core.record import content_id
from kernelwright.problems.declared import Declared
from kernelwright.problems.shapes import Observation, Observer

MAX_BYTES = 64 << 20
MAX_SECONDS = 0.1
# Below this, a constant that changes weights alone is a kernel size or a depth: what is computed.
_LITTLE = 11
_GRANULES = (2, 4, 8, 16, 32, 64, 128)
_RAGGED = (37, 53, 23, 67, 29, 43, 19, 61)
_PRIMES = (101, 127, 149, 83, 131, 109, 157, 73)

Sizes = dict[str, int]


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The constants of one workload, and what the program looks like under them."""

    id: str
    split: Split
    observation: Observation


@dataclass(frozen=True, kw_only=True)
class _Recipe:
    """A target for the constant at a position among the varied ones, given its own value."""

    id: str
    split: Split
    target: Callable[[int, int], int]


def varied_constants(observer: Observer, constants: Mapping[str, int]) -> Sizes:
    """The constants that set sizes, with the file's values."""
    base = observer.first()
    return {
        name: value
        for name, value in constants.items()
        if value >= 1 and _sets_a_size(observer, base, name, value)
    }


def _sets_a_size(observer: Observer, base: Observation, name: str, value: int) -> bool:
    for other in (2 * value, value + 1, max(value // 2, 1), 3 * value):
        seen = observer.try_constants({name: other}) if other != value else None
        if seen is None or seen.structure != base.structure:
            continue
        roles = {
            ours.role
            for ours, theirs in zip(base.tensors, seen.tensors, strict=True)
            if ours.shape != theirs.shape
        }
        if "input" in roles or ("weight" in roles and value > _LITTLE):
            return True
    return False


def choose(observer: Observer, varied: Sizes) -> list[Choice]:
    """The report workload, and as many others as the file runs under. Report comes first."""
    base = observer.first()
    chosen = [Choice(id="report", split="report", observation=base)]
    if not varied:
        return chosen
    tried: set[tuple[tuple[str, int], ...]] = {_key(varied)}
    limit = observer.count + max(60, min(400, 20_000 // max(base.work.operators, 1)))
    for recipe in _recipes(observer, varied):
        found = _fit(observer, base, varied, recipe, limit)
        if found is not None and _key({**varied, **found.constants}) not in tried:
            tried.add(_key({**varied, **found.constants}))
            chosen.append(Choice(id=recipe.id, split=recipe.split, observation=found))
    return chosen


def choose_declared(
    observer: Observer, workloads: Sequence[Declared]
) -> tuple[Sizes, list[Choice]]:
    """The constants that differ, and those workloads under which the program runs, report first:
    that has the file's own constants.

    Raises:
        ProblemError: it does not run at all.
    """
    first = next(each for each in workloads if each.split == "report")
    varied = {
        name: value
        for name, value in first.constants.items()
        if len({each.constants.get(name, value) for each in workloads}) > 1
    }
    base = observer.first()
    chosen = [Choice(id=first.id, split="report", observation=base)]
    for each in workloads:
        sizes = {name: each.constants.get(name, value) for name, value in varied.items()}
        seen = None if each is first else observer.try_constants(sizes)
        if seen is not None and seen.structure == base.structure:
            chosen.append(Choice(id=each.id, split=each.split, observation=seen))
    return varied, chosen


def _key(sizes: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(sizes.items()))


def _recipes(observer: Observer, varied: Sizes) -> list[_Recipe]:
    """Three for the search, then those that only the judge sees."""
    rng = random.Random(content_id(observer.source.text))
    ragged, primes = list(_RAGGED), list(_PRIMES)
    rng.shuffle(ragged)
    rng.shuffle(primes)
    last = len(varied) - 1

    def taken(values: Sequence[int], most: Callable[[int], int]) -> Callable[[int, int], int]:
        def target(at: int, value: int) -> int:
            wanted = values[at % len(values)] + 2 * (at // len(values))
            return wanted if wanted <= most(value) else max(1, value - 1 - at % 3)

        return target

    return [
        _Recipe(id="small", split="search", target=lambda at, v: min(v, 8 + 8 * (at % 3))),
        _Recipe(id="ragged", split="search", target=taken(ragged, lambda v: max(2 * v, 8))),
        _Recipe(id="medium", split="search", target=lambda _, v: v if v <= 64 else v // 4 * 2),
        _Recipe(id="tiny", split="hidden", target=lambda at, v: min(v, 2 + at % 3)),
        _Recipe(id="one-first", split="hidden", target=lambda at, v: 1 if at == 0 else min(v, 65)),
        _Recipe(
            id="one-last", split="hidden", target=lambda at, v: 1 if at == last else min(v, 33)
        ),
        *(_one_within(middle, name) for middle, name in enumerate(varied) if 0 < middle < last),
        _Recipe(id="prime", split="hidden", target=taken(primes, lambda v: 2 * v)),
        _Recipe(
            id="off-tile",
            split="hidden",
            target=lambda at, v: v + 1 if v < 16 else (17, 129, 143)[at % 3],
        ),
        # Larger than the file's own, for kernels that are only right up to there.
        _Recipe(id="odd", split="hidden", target=lambda _, v: v + 1 if v > 1 else 1),
    ]


def _one_within(middle: int, name: str) -> _Recipe:
    """Size 1 for the constant `name`, which is the `middle`-th; the others small."""
    return _Recipe(
        id=f"one-{name}", split="hidden", target=lambda at, v: 1 if at == middle else min(v, 17)
    )


def _fit(
    observer: Observer, base: Observation, varied: Sizes, recipe: _Recipe, limit: int
) -> Observation | None:
    """The program at the recipe's sizes, or as near to them as it runs and stays bounded."""
    targets = {name: recipe.target(at, v) for at, (name, v) in enumerate(varied.items())}
    for _ in range(24):
        if observer.count >= limit:
            return None
        found = _first_running(observer, base, varied, targets, limit)
        if found is not None and _is_bounded(found):
            return found
        smaller = _shrunk(targets)
        if smaller == targets:
            return None
        targets = smaller
    return None


def _is_bounded(seen: Observation) -> bool:
    return seen.nbytes <= MAX_BYTES and seen.work.seconds <= MAX_SECONDS


def _shrunk(targets: Sizes) -> Sizes:
    """The largest size cut by a third, kept odd if it was."""
    name = max(targets, key=lambda n: targets[n])
    size = targets[name]
    cut = max(1, size * 2 // 3)
    if size % 2 and cut % 2 == 0:
        cut += 1
    return {**targets, name: min(cut, size)}


def _first_running(
    observer: Observer, base: Observation, varied: Sizes, targets: Sizes, limit: int
) -> Observation | None:
    for sizes in _attempts(varied, targets):
        found = _look(observer, base, sizes)
        if found is not None:
            return found
    return _one_by_one(observer, base, varied, targets, limit)


def _attempts(varied: Sizes, targets: Sizes) -> Iterator[Sizes]:
    """All at once; constants of equal value kept equal; all scaled alike."""
    yield targets
    first: dict[int, int] = {}
    for name, value in varied.items():
        first.setdefault(value, targets[name])
    yield {name: first[value] for name, value in varied.items()}
    share = min((targets[n] / v for n, v in varied.items() if v > _LITTLE), default=1.0)
    if share < 1:
        yield {n: max(1, int(v * share)) if v > _LITTLE else v for n, v in varied.items()}


def _one_by_one(
    observer: Observer, base: Observation, varied: Sizes, targets: Sizes, limit: int
) -> Observation | None:
    """From the file's own sizes, each constant moved to its target or a rounder number near it."""
    current, found = dict(varied), None
    for name, target in targets.items():
        rounded = [-(-target // g) * g for g in _GRANULES if g < 2 * varied[name]]
        for size in dict.fromkeys([target, *rounded]):
            if size == current[name] or observer.count >= limit:
                break
            seen = _look(observer, base, {**current, name: size})
            if seen is not None:
                current[name], found = size, seen
                break
    return found


def _look(observer: Observer, base: Observation, sizes: Sizes) -> Observation | None:
    """The program under `sizes`; None when it does not run or has other tensors than before."""
    seen = observer.try_constants(sizes)
    return seen if seen is not None and seen.structure == base.structure else None


def checked_memory(observation: Observation, file: str, limit_bytes: int) -> None:
    """Refuse a file whose own sizes do not fit.

    Raises:
        ProblemError: the float64 check of one call needs more than `limit_bytes`.
    """
    # The task's own values, the float64 twin's, and what both keep on the way.
    need = observation.nbytes * 6
    if need > limit_bytes:
        raise ProblemError(
            f"{file}: its sizes need about {need / 2**30:.1f} GB to be checked in float64, and "
            f"there are {limit_bytes / 2**30:.1f} GB to spend here. Make its module-level "
            "constants smaller; the judge tries other sizes by itself."
        )
