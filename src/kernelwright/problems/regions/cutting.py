"""Which units of a program go into one kernel: convex sets, as large as they can be. Pure.

A set is convex when no way out of it leads back in: only then can it run at once. Sets found here
can also run one after another, each and what is between them, in some order.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from kernelwright.problems.regions.units import Unit, makers

Part = tuple[str, ...]


def maximal(units: Sequence[Unit], covered: Collection[str]) -> list[Part]:
    """The `covered` units in convex sets that no two of, joined by an edge, could be one.

    Sets, and the units in each, are in the order of `units`.
    """
    home = {unit.name: unit.name for unit in units}
    edges = _edges(units)
    for before, after in edges:
        one, other = home[before], home[after]
        both = before in covered and after in covered and one != other
        if both and not _detour(edges, home, one, other):
            home.update({name: one for name, at in home.items() if at == other})
    return _grouped(units, home, covered)


def by_product(units: Sequence[Unit], part: Collection[str]) -> list[Part]:
    """`part` cut so that each piece has one product, or attention, with what leads to the first of
    them and what follows each. A view goes with what reads it first."""
    inside = [unit for unit in units if unit.name in part]
    maker = makers(inside)
    turn: dict[str, int] = {}
    count = 0
    for unit in inside:
        count += unit.is_product
        latest = max((turn[maker[r]] for r in unit.reads if r in maker), default=0)
        turn[unit.name] = count if unit.is_product else latest
    readers = _readers(inside, maker)
    for unit in reversed(inside):
        moves = unit.is_view or turn[unit.name] == 0
        later = [turn[name] for name in readers[unit.name]]
        if moves and later:
            turn[unit.name] = min(later)
    return _grouped(inside, {name: str(at) for name, at in turn.items()}, part)


def trimmed(units: Sequence[Unit], part: Collection[str], outputs: Collection[str]) -> Part:
    """`part` without views at its end, and without those of its inputs that others need too: in
    torch they cost nothing, in a kernel a copy."""
    kept = {unit.name: unit for unit in units if unit.name in part}
    changed = True
    while changed:
        wanted = _wanted(units, kept, outputs)
        maker = makers(list(kept.values()))
        readers = _readers(list(kept.values()), maker)
        out = [
            name
            for name, unit in kept.items()
            if unit.is_view
            and (
                not readers[name]
                or (wanted & set(unit.makes) and not any(r in maker for r in unit.reads))
            )
        ]
        for name in out:
            del kept[name]
        changed = bool(out)
    return tuple(kept)


def boundary(
    units: Sequence[Unit], part: Collection[str], outputs: Collection[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The values that `part` is given, and those that others need of it, in order."""
    kept = {unit.name: unit for unit in units if unit.name in part}
    own = {value for unit in kept.values() for value in (unit.name, *unit.makes)}
    reads = dict.fromkeys(r for unit in kept.values() for r in unit.reads if r not in own)
    wanted = _wanted(units, kept, outputs)
    makes = [value for unit in kept.values() for value in unit.makes if value in wanted]
    return tuple(reads), tuple(makes)


def in_order(units: Sequence[Unit], parts: Sequence[Part]) -> list[Part]:
    """`parts`, and every unit in none of them as a part of its own, in an order in which they can
    run: nothing is read before it was made."""
    home = {name: part for part in parts for name in part}
    every = list(dict.fromkeys(home.get(unit.name, (unit.name,)) for unit in units))
    maker = makers(units)
    reads = {unit.name: unit.reads for unit in units}
    needs = {
        part: {home.get(maker[r], (maker[r],)) for name in part for r in reads[name] if r in maker}
        - {part}
        for part in every
    }
    found: list[Part] = []
    while len(found) < len(every):
        ready = [part for part in every if part not in found and needs[part] <= set(found)]
        if not ready:
            raise ValueError("parts that wait for each other")
        found.append(ready[0])
    return found


def _edges(units: Sequence[Unit]) -> list[tuple[str, str]]:
    maker = makers(units)
    return [(maker[r], unit.name) for unit in units for r in unit.reads if r in maker]


def _readers(units: Sequence[Unit], maker: Mapping[str, str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {unit.name: [] for unit in units}
    for unit in units:
        for read in unit.reads:
            if read in maker:
                found[maker[read]].append(unit.name)
    return found


def _wanted(units: Sequence[Unit], kept: Mapping[str, Unit], outputs: Collection[str]) -> set[str]:
    """What is needed outside of `kept`."""
    outside = (r for unit in units if unit.name not in kept for r in unit.reads)
    return {*outside, *outputs}


def _detour(
    edges: Iterable[tuple[str, str]], home: Mapping[str, str], start: str, end: str
) -> bool:
    """Whether a way leads from set `start` to set `end` through another: joined, they would wait
    for themselves."""
    after: dict[str, set[str]] = {}
    for before, behind in edges:
        if home[before] != home[behind]:
            after.setdefault(home[before], set()).add(home[behind])
    pending = [at for at in after.get(start, ()) if at != end]
    seen = set(pending)
    while pending:
        for at in after.get(pending.pop(), ()):
            if at == end:
                return True
            if at not in seen:
                seen.add(at)
                pending.append(at)
    return False


def _grouped(units: Sequence[Unit], home: Mapping[str, str], inside: Collection[str]) -> list[Part]:
    groups: dict[str, list[str]] = {}
    for unit in units:
        if unit.name in inside:
            groups.setdefault(home[unit.name], []).append(unit.name)
    return [tuple(group) for group in groups.values()]
