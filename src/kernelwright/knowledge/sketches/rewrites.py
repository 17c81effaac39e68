"""Changes to expressions that make them cheaper inside of a loop, and stay within a rounding."""

from __future__ import annotations

from dataclasses import replace

from kernelwright.knowledge.sketches.expr import (
    Call,
    Cast,
    Constant,
    Expr,
    Load,
    Maker,
    replaced,
    variables,
    walk,
)
from kernelwright.knowledge.sketches.index import Index

_FLOATS = ("float32", "float64")
_ROUNDINGS = ("round", "floor", "ceil", "trunc")
_OTHERWISE = {"lt": "ge", "ge": "lt", "gt": "le", "le": "gt"}

# Primitives that cost many times an addition.
HEAVY = frozenset(
    ("exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sin", "cos", "tan", "asin", "acos",
     "atan", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh", "erf", "erfc", "sigmoid", "pow",
     "fmod", "remainder", "atan2", "hypot")
)  # fmt: skip


def by_exact_division(maker: Maker, root: Expr) -> Expr:
    """`root` with the primitive ``div_rn`` in what is rounded to an integer. There the last bit of
    a quotient decides which integer is next, so it must be what IEEE 754 says."""

    def exact(expr: Expr) -> Expr | None:
        match expr.form:
            case Call(name="div", args=args) if expr.dtype in _FLOATS:
                return maker.call("div_rn", *args)
            case _:
                return None

    def swap(expr: Expr) -> Expr | None:
        match expr.form:
            case Call(name=name, args=args) if name in _ROUNDINGS:
                return maker.call(name, *(replaced(maker, a, exact) for a in args))
            case Cast(arg=arg) if expr.dtype not in _FLOATS and arg.dtype in _FLOATS:
                cast = replace(expr.form, arg=replaced(maker, arg, exact))
                return maker.make(cast, expr.dtype)
            case _:
                return None

    return replaced(maker, root, swap)


def by_reciprocal(maker: Maker, root: Expr, inner: set[str]) -> Expr:
    """`root` with each division by what the loops `inner` do not change as a product with its
    reciprocal, which is worked out before the loop; not those that a rounding needs as they are."""
    root = by_exact_division(maker, root)

    def changes(expr: Expr) -> bool:
        return any(v.name in inner for v in variables(maker, expr))

    def swap(expr: Expr) -> Expr | None:
        match expr.form:
            case Call(name="div", args=(above, below)) if (
                expr.dtype in _FLOATS
                and changes(above)
                and not changes(below)
                and not isinstance(below.form, Constant)
            ):
                one = maker.constant(1.0, expr.dtype)
                return maker.call("mul", above, maker.call("div", one, below))
            case _:
                return None

    return replaced(maker, root, swap)


def by_one_load(maker: Maker, root: Expr) -> Expr:
    """`root` with a single load where both sides of a choice read the same element, each if it is
    chosen: one side or the other is, so the element is there."""

    def swap(expr: Expr) -> Expr | None:
        match expr.form:
            case Call(name="where", args=(condition, chosen, other)):
                ours = _loads(maker, chosen, condition)
                theirs = _loads(maker, other, _otherwise(maker, condition))
                shared = ours.keys() & theirs.keys()
            case _:
                return None
        if not shared:
            return None
        free = {each[key].number for each in (ours, theirs) for key in shared}

        def freed(load: Expr) -> Expr | None:
            if load.number not in free or not isinstance(load.form, Load):
                return None
            return maker.make(Load(load.form.tensor, load.form.at, None), load.dtype)

        sides = (replaced(maker, side, freed) for side in (chosen, other))
        return maker.call("where", condition, *sides, dtype=expr.dtype)

    return replaced(maker, root, swap)


def _loads(maker: Maker, side: Expr, guard: Expr | None) -> dict[tuple[str, Index], Expr]:
    """The loads in `side` that `guard` guards, by what they read."""
    return {
        (e.form.tensor, e.form.at): e
        for e in walk(maker, [side])
        if isinstance(e.form, Load) and e.form.guard is not None and e.form.guard is guard
    }


def _otherwise(maker: Maker, condition: Expr) -> Expr | None:
    """What holds where the comparison `condition` of positions does not."""
    match condition.form:
        case Call(name=name, args=args) if name in _OTHERWISE:
            return maker.call(_OTHERWISE[name], *args, dtype=condition.dtype)
        case _:
            return None


def is_heavy(expr: Expr) -> bool:
    """Whether working `expr` out again costs more than reading it from the nearest cache."""
    return isinstance(expr.form, Call) and expr.form.name in HEAVY
