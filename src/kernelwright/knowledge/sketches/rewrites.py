"""Changes to expressions that make them cheaper inside of a loop, and stay within a rounding."""

from __future__ import annotations

from kernelwright.knowledge.sketches.expr import Call, Constant, Expr, Maker, replaced, variables

_FLOATS = ("float32", "float64")

# Primitives that cost many times an addition.
HEAVY = frozenset(
    ("exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sin", "cos", "tan", "asin", "acos",
     "atan", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh", "erf", "erfc", "sigmoid", "pow",
     "fmod", "remainder", "atan2", "hypot")
)  # fmt: skip


def by_reciprocal(maker: Maker, root: Expr, inner: set[str]) -> Expr:
    """`root` with each division by what the loops `inner` do not change as a product with its
    reciprocal, which is worked out before the loop."""

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


def is_heavy(expr: Expr) -> bool:
    """Whether working `expr` out again costs more than reading it from the nearest cache."""
    return isinstance(expr.form, Call) and expr.form.name in HEAVY
