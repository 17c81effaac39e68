"""One text for all terms that differ only in names: the leaves are numbered by what they do.

Terms are coloured by their operation, their arguments and where they are used, again and again
until no colour splits any more. Leaves that are still alike are tried in turn, and the least text
is kept. Two texts are equal only if there is a renaming that makes the terms equal; the other way
round, terms so alike that no colour tells them apart may in rare cases be given two texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kernelwright.library.normal.terms import AXIS, CONSTANT, OUTPUT, TENSOR, VARIABLE, Term

_LETTERS = {TENSOR: "t", OUTPUT: "out", AXIS: "n", CONSTANT: "c", VARIABLE: "i"}
# Of leaves that are alike, this many are tried as the first of them.
_TRIED = 6


@dataclass(frozen=True)
class _Vertex:
    """A term in its place: a constant is another vertex wherever it is used."""

    op: str
    ordered: bool
    children: tuple[int, ...]
    term: Term
    height: int


@dataclass(frozen=True, kw_only=True)
class Canonical:
    """The text of some terms, and their leaves of each kind in the order of the text."""

    text: str
    leaves: dict[str, tuple[Term, ...]]


def canonical(roots: Sequence[Term]) -> Canonical:
    """The text of `roots`, whose order means nothing."""
    graph = _Graph(roots)
    return min(graph.readings(), key=lambda reading: reading.text)


class _Graph:
    def __init__(self, roots: Sequence[Term]) -> None:
        self._vertices: list[_Vertex] = []
        self._of: dict[int, int] = {}
        self._roots = sorted({self._add(root) for root in roots})
        self._parents: list[list[tuple[int, int]]] = [[] for _ in self._vertices]
        for number, vertex in enumerate(self._vertices):
            for place, child in enumerate(vertex.children):
                self._parents[child].append((number, place if vertex.ordered else -1))

    def _add(self, term: Term) -> int:
        if term.number in self._of and term.kind != CONSTANT:
            return self._of[term.number]
        children = tuple(self._add(a) for a in term.args)
        height = 1 + max((self._vertices[c].height for c in children), default=-1)
        self._vertices.append(_Vertex(term.op, term.ordered, children, term, height))
        self._of[term.number] = len(self._vertices) - 1
        return len(self._vertices) - 1

    def readings(self) -> list[Canonical]:
        """The texts that the least colours allow."""
        first = [(v.op, v.height, n in self._roots) for n, v in enumerate(self._vertices)]
        colours = self._refined(_ranks(first))
        alike = self._alike(colours)
        return [
            self._read(self._settled(self._singled(colours, chosen)))
            for chosen in (alike[:_TRIED] if alike else [None])
        ]

    def _settled(self, colours: list[int]) -> list[int]:
        """Colours of which no two leaves share one."""
        while alike := self._alike(colours):
            colours = self._singled(colours, alike[0])
        return colours

    def _singled(self, colours: list[int], chosen: int | None) -> list[int]:
        """`colours` with the leaf `chosen` before those that it is like."""
        if chosen is None:
            return colours
        return self._refined(_ranks([(c, n != chosen) for n, c in enumerate(colours)]))

    def _alike(self, colours: Sequence[int]) -> list[int]:
        """The leaves of the first colour that several have; constants by their values."""
        groups: dict[int, list[int]] = {}
        for number, vertex in enumerate(self._vertices):
            if vertex.term.is_leaf:
                groups.setdefault(colours[number], []).append(number)
        several = [colour for colour, group in groups.items() if len(group) > 1]
        if not several:
            return []
        group = groups[min(several)]
        return sorted(group, key=lambda n: self._vertices[n].term.value or 0.0)

    def _refined(self, colours: list[int]) -> list[int]:
        """Colours split by those of arguments and users, until none splits any more."""
        count = len(set(colours))
        while True:
            colours = _ranks([self._signature(n, colours) for n in range(len(colours))])
            if len(set(colours)) == count:
                return colours
            count = len(set(colours))

    def _signature(self, number: int, colours: Sequence[int]) -> tuple[object, ...]:
        vertex = self._vertices[number]
        children = [colours[c] for c in vertex.children]
        used = sorted((colours[p], place) for p, place in self._parents[number])
        inside = tuple(children if vertex.ordered else sorted(children))
        return (colours[number], inside, tuple(used))

    def _read(self, colours: Sequence[int]) -> Canonical:
        """The text under colours that are all different for leaves."""
        order = sorted(
            range(len(self._vertices)), key=lambda n: (self._vertices[n].height, colours[n])
        )
        names: dict[int, str] = {}
        leaves: dict[str, list[Term]] = {kind: [] for kind in _LETTERS}
        lines: list[str] = []
        for number in order:
            vertex = self._vertices[number]
            if vertex.term.is_leaf:
                kind = vertex.term.kind
                names[number] = f"{_LETTERS[kind]}{len(leaves[kind])}"
                leaves[kind].append(vertex.term)
                if kind in (TENSOR, OUTPUT, CONSTANT):
                    lines.append(f"{names[number]} is {vertex.op}")
            elif not vertex.children:
                names[number] = (
                    vertex.op.partition(":")[0][1:] if vertex.op[0] == "=" else vertex.op
                )
                names[number] += (
                    "" if vertex.op.endswith("int64") else f":{vertex.op.partition(':')[2]}"
                )
            else:
                said = [names[c] for c in vertex.children]
                if not vertex.ordered:
                    said = [names[c] for c in sorted(vertex.children, key=order.index)]
                names[number] = f"%{len(lines)}"
                lines.append(f"{names[number]} = {vertex.op}({', '.join(said)})")
        found = {kind: tuple(terms) for kind, terms in leaves.items()}
        return Canonical(text="\n".join(lines) + "\n", leaves=found)


def _ranks(signatures: Sequence[tuple[object, ...]]) -> list[int]:
    """The place of each signature among all that there are."""
    places = {s: n for n, s in enumerate(sorted(set(signatures)))}
    return [places[s] for s in signatures]
