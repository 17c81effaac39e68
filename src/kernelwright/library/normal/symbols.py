"""The sizes of a program in as few symbols as it counts with.

A program on ``[batch, length, dim]`` that treats all positions alike only ever counts to
``batch * length`` and to ``dim``, as one on ``[rows, dim]`` counts to ``rows`` and to ``dim``: both
have two sizes, whatever they are called.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from kernelwright.knowledge.sketches.poly import Monomial


class Symbols:
    """Products of axes as products of symbols. `counted` are those that something counts to."""

    def __init__(self, counted: Iterable[Monomial]) -> None:
        self._known = sorted({m for m in counted if m}, key=lambda m: (-len(m), m))

    def of(self, monomial: Monomial) -> tuple[Monomial, ...]:
        """The symbols whose product `monomial` is; an axis that nothing counts to is one of them.

        >>> Symbols([("batch", "length"), ("dim",)]).of(("batch", "dim", "length"))
        (('batch', 'length'), ('dim',))
        """
        left, found = Counter(monomial), []
        for symbol in self._known:
            needed = Counter(symbol)
            while left >= needed:
                left -= needed
                found.append(symbol)
        found += [(unit,) for unit in left.elements()]
        return tuple(found)
