"""The part of a loop over lanes where every window is inside of its tensor.

There the loop reads without asking, and so becomes vector code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from kernelwright.knowledge.sketches.expr import (
    Call,
    Expr,
    Load,
    Maker,
    Position,
    replaced,
    variables,
    walk,
)
from kernelwright.knowledge.sketches.index import Data, Index, Var, atoms


@dataclass(frozen=True, kw_only=True)
class Inside:
    """A condition that an element is inside of a tensor, as `windows` makes it.

    It holds for lanes from `begin` / `step` on and before `end` / `step`, both rounded up; without
    a `step` it is the same for all lanes.
    """

    condition: Expr
    begin: Index = field(default_factory=Index)
    end: Index = field(default_factory=Index)
    step: int | None = None


def conditions(maker: Maker, roots: Sequence[Expr], lane: Var) -> list[Inside]:
    """The conditions in `roots` of which it is known for which lanes they hold."""
    found = (_inside(maker, e, lane) for e in walk(maker, roots))
    return [inside for inside in found if inside is not None]


def _inside(maker: Maker, expr: Expr, lane: Var) -> Inside | None:
    match expr.form:
        case Call(name="inside", args=(above, below)):
            pass
        case _:
            return None
    if lane not in variables(maker, expr):
        return Inside(condition=expr)
    begin, end = _from(above, lane), _from(below, lane)
    if begin is None or end is None:
        return None
    return Inside(condition=expr, begin=begin[0], end=end[0], step=begin[1])


def _from(comparison: Expr, lane: Var) -> tuple[Index, int] | None:
    """From which lane on the left of a comparison is at least its right, times the second."""
    left, right = (arg.form for arg in comparison.args)
    if not isinstance(left, Position) or not isinstance(right, Position):
        return None
    step, rest = left.at.coefficient(lane).constant, left.at.without(lane)
    if step is None or step < 1 or any(_may_change(at, lane) for at in (rest, right.at)):
        return None
    return right.at + rest * -1 + (step - 1), step


def _may_change(at: Index, lane: Var) -> bool:
    return any(atom == lane or isinstance(atom, Data) for atom in atoms(at))


def freed(maker: Maker, root: Expr, known: Sequence[Inside]) -> Expr:
    """`root` where the conditions of `known` hold."""
    true = maker.constant(True, "bool")
    holding = {inside.condition.number for inside in known}

    def swap(expr: Expr) -> Expr | None:
        if expr.number in holding:
            return true
        match expr.form:
            case Call(name="logical_and", args=(left, right)) if true in (left, right):
                return right if left is true else left
            case Call(name="where", args=(condition, chosen, _)) if condition is true:
                return chosen
            case Load(tensor=tensor, at=at, guard=guard) if guard is true:
                return maker.make(Load(tensor, at, None), expr.dtype)
            case _:
                return None

    return replaced(maker, root, swap)
