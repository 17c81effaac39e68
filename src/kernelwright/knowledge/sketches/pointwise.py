"""The table of pointwise ATen operators: what each is, in primitive calls.

A primitive is a name that every language's table renders (`cpp_text`, `triton_text`). A new
operator is one row here; a new primitive also one row in each of those.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kernelwright.core.graph import Extent, Ref
from kernelwright.core.problem import DType
from kernelwright.knowledge.sketches.expr import NARROW, Expr, Position, computed_in
from kernelwright.knowledge.sketches.index import index
from kernelwright.knowledge.sketches.site import Site, uncovered

Rule = Callable[[Site], Expr]

_RANK: dict[DType, int] = {
    "bool": 0, "uint8": 1, "int8": 2, "int16": 3, "int32": 4, "int64": 5, "float8_e5m2": 6,
    "float8_e4m3fn": 6, "float16": 7, "bfloat16": 7, "float32": 8, "float64": 9,
}  # fmt: skip


def _unary(primitive: str) -> Rule:
    def rule(site: Site) -> Expr:
        return site.maker.call(primitive, site.operand(site.argument(0)))

    return rule


def _binary(primitive: str) -> Rule:
    def rule(site: Site) -> Expr:
        left, right = site.operand(site.argument(0)), site.operand(site.argument(1))
        return site.maker.call(primitive, left, right)

    return rule


def _scaled_binary(primitive: str, *, swapped: bool = False) -> Rule:
    """``a + alpha * b`` and its kin."""

    def rule(site: Site) -> Expr:
        left, right = site.operand(site.argument(0)), site.operand(site.argument(1))
        if swapped:
            left, right = right, left
        alpha = site.argument(2, "alpha", 1)
        if alpha != 1:
            right = site.maker.call("mul", right, site.operand(alpha))
        return site.maker.call(primitive, left, right)

    return rule


def _compared_in(site: Site) -> DType:
    """The type that two operands are compared in: tensors first, then tensors of no dimension,
    then numbers; a later kind only matters where it is of a higher category."""
    groups: list[list[DType]] = [[], [], []]
    for value in site.node.args[:2]:
        if isinstance(value, Ref):
            groups[0 if site.graph.shape(value.ref) else 1].append(site.graph.dtype(value.ref))
        elif isinstance(value, bool):
            groups[2].append("bool")
        else:
            whole = isinstance(value, int) or (isinstance(value, Extent) and value.power == 1.0)
            groups[2].append("int64" if whole else "float32")
    best: DType = "bool"
    for group in groups:
        top = max(group, key=_RANK.__getitem__, default=best)
        if _category(top) > _category(best):
            best = top
    return computed_in(best)


def _category(dtype: DType) -> int:
    return 0 if dtype == "bool" else 1 if _RANK[dtype] < 6 else 2


def _comparison(primitive: str) -> Rule:
    def rule(site: Site) -> Expr:
        dtype = _compared_in(site)
        left = site.operand(site.argument(0), dtype)
        right = site.operand(site.argument(1), dtype)
        return site.maker.call(primitive, left, right, dtype="bool")

    return rule


def _asked(primitive: str) -> Rule:
    """A question about one float, such as whether it is NaN."""

    def rule(site: Site) -> Expr:
        name = site.tensor(0)
        own = computed_in(site.graph.dtype(name))
        if own not in ("float32", "float64"):
            return site.maker.constant(primitive == "isfinite", "bool")
        return site.maker.call(primitive, site.operand(site.argument(0), own), dtype="bool")

    return rule


def _logical(primitive: str) -> Rule:
    def rule(site: Site) -> Expr:
        operands = [_truth(site, a) for a in site.node.args[:2]]
        return site.maker.call(primitive, *operands, dtype="bool")

    return rule


def _truth(site: Site, value: Any) -> Expr:
    dtype = computed_in(site.graph.dtype(value.ref)) if isinstance(value, Ref) else "float64"
    found = site.operand(value, dtype)
    if dtype == "bool":
        return found
    return site.maker.call("ne", found, site.maker.constant(0, dtype), dtype="bool")


def _same(site: Site) -> Expr:
    return site.operand(site.argument(0))


def _converted(site: Site) -> Expr:
    target = site.node.dtype or "float32"
    own = site.graph.dtype(site.tensor(0))
    found = site.operand(site.argument(0), computed_in(own))
    if target == "bool" and own != "bool":
        return site.maker.call("ne", found, site.maker.constant(0, found.dtype), dtype="bool")
    found = site.maker.cast(found, target)
    return site.maker.rounded(found, target) if target in NARROW and own != target else found


def _where(site: Site) -> Expr:
    condition = site.operand(site.argument(0), "bool")
    chosen, other = site.operand(site.argument(1)), site.operand(site.argument(2))
    return site.maker.call("where", condition, chosen, other)


def _clamp(site: Site) -> Expr:
    found = site.operand(site.argument(0))
    for place, name, primitive in ((1, "min", "maximum"), (2, "max", "minimum")):
        if (limit := site.argument(place, name)) is not None:
            found = site.maker.call(primitive, found, site.operand(limit))
    return found


def _divide(site: Site) -> Expr:
    rounding = site.argument(2, "rounding_mode")
    primitive = {None: "div", "trunc": "trunc_div", "floor": "floor_div"}.get(rounding)
    if primitive is None:
        raise uncovered(site.node)
    return site.maker.call(
        primitive, site.operand(site.argument(0)), site.operand(site.argument(1))
    )


def _power(site: Site) -> Expr:
    """Powers that are a few multiplications or a root are written as these, as torch does."""
    make, base = site.maker, site.operand(site.argument(0))
    exponent = site.argument(1)
    if base.dtype not in ("float32", "float64") and exponent not in (0, 1, 2, 3):
        raise uncovered(site.node)
    if exponent == 0:
        return make.constant(1.0 if "float" in base.dtype else 1, base.dtype)
    if exponent in (1, 2, 3):
        found = base
        for _ in range(int(exponent) - 1):
            found = make.call("mul", found, base)
        return found
    if exponent == 0.5:
        return make.call("sqrt", base)
    if exponent == -0.5:
        return make.call("rsqrt", base)
    if exponent in (-1, -2):
        square = base if exponent == -1 else make.call("mul", base, base)
        return make.call("div", make.constant(1.0, base.dtype), square)
    return make.call("pow", base, site.operand(exponent))


def _sum_of_product(primitive: str) -> Rule:
    """``a + value * (b * c)`` and ``a + value * (b / c)``."""

    def rule(site: Site) -> Expr:
        base, left, right = (site.operand(a) for a in site.node.args[:3])
        value = site.argument(3, "value", 1)
        product = site.maker.call(primitive, left, right)
        if value != 1:
            product = site.maker.call("mul", site.operand(value), product)
        return site.maker.call("add", base, product)

    return rule


def _lerp(site: Site) -> Expr:
    start, end, weight = (site.operand(a) for a in site.node.args[:3])
    step = site.maker.call("mul", weight, site.maker.call("sub", end, start))
    return site.maker.call("add", start, step)


def _filled(place: int, value: float | None = None) -> Rule:
    def rule(site: Site) -> Expr:
        return site.operand(site.argument(place) if value is None else value)

    return rule


def _arange(site: Site) -> Expr:
    start, step = site.argument(0), site.argument(2, "step", 1)
    if site.dtype == "int64":
        counted = site.at[0] * site.size(step) + site.size(start)
        return site.maker.make(Position(counted), "int64")
    count = site.maker.cast(site.maker.make(Position(site.at[0]), "int64"), site.dtype)
    scaled = site.maker.call("mul", count, site.operand(step))
    return site.maker.call("add", scaled, site.operand(start))


def _reciprocal(site: Site) -> Expr:
    one = site.maker.constant(1.0, site.dtype)
    return site.maker.call("div", one, site.operand(site.argument(0)))


def _flag(site: Site) -> Expr:
    """A tensor of no dimension that only says how long another one is."""
    return site.maker.make(Position(index(site.shape[0])), "int64")


_UNARY = (
    "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sqrt", "rsqrt", "sin", "cos", "tan",
    "asin", "acos", "atan", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh", "erf", "erfc",
    "sigmoid", "neg", "abs", "floor", "ceil", "round", "trunc", "sign", "relu", "bitwise_not",
)  # fmt: skip
_BINARY = {
    "mul": "mul", "maximum": "maximum", "minimum": "minimum", "fmod": "fmod",
    "remainder": "remainder", "atan2": "atan2", "floor_divide": "floor_div",
    "bitwise_and": "bit_and", "bitwise_or": "bit_or", "bitwise_xor": "bit_xor",
    "bitwise_left_shift": "shift_left", "bitwise_right_shift": "shift_right", "hypot": "hypot",
    "copysign": "copysign",
}  # fmt: skip

POINTWISE: dict[str, Rule] = {
    **{f"aten.{name}.default": _unary(name) for name in _UNARY},
    **{
        f"aten.{name}.{overload}": _binary(primitive)
        for name, primitive in _BINARY.items()
        for overload in ("default", "Tensor", "Scalar")
    },
    **{
        f"aten.{name}.{overload}": _comparison(name)
        for name in ("eq", "ne", "lt", "le", "gt", "ge")
        for overload in ("Tensor", "Scalar")
    },
    **{f"aten.{name}.default": _asked(name) for name in ("isnan", "isinf", "isfinite")},
    **{
        f"aten.logical_{name}.default": _logical(f"logical_{name}")
        for name in ("and", "or", "xor", "not")
    },
    **{
        f"aten.{name}.default": _same
        for name in ("clone", "alias", "detach", "contiguous", "lift_fresh_copy")
    },
    "aten.add.Tensor": _scaled_binary("add"),
    "aten.add.Scalar": _scaled_binary("add"),
    "aten.sub.Tensor": _scaled_binary("sub"),
    "aten.sub.Scalar": _scaled_binary("sub"),
    "aten.rsub.Tensor": _scaled_binary("sub", swapped=True),
    "aten.rsub.Scalar": _scaled_binary("sub", swapped=True),
    "aten.div.Tensor": _divide,
    "aten.div.Scalar": _divide,
    "aten.div.Tensor_mode": _divide,
    "aten.div.Scalar_mode": _divide,
    "aten.pow.Tensor_Scalar": _power,
    "aten.pow.Tensor_Tensor": _power,
    "aten.pow.Scalar": _power,
    "aten.reciprocal.default": _reciprocal,
    "aten.where.self": _where,
    "aten.where.ScalarSelf": _where,
    "aten.where.ScalarOther": _where,
    "aten.where.Scalar": _where,
    "aten.clamp.default": _clamp,
    "aten.clamp.Tensor": _clamp,
    "aten.clamp_min.default": _clamp,
    "aten.addcmul.default": _sum_of_product("mul"),
    "aten.addcdiv.default": _sum_of_product("div"),
    "aten.lerp.Scalar": _lerp,
    "aten.lerp.Tensor": _lerp,
    "aten._to_copy.default": _converted,
    "aten.full.default": _filled(1),
    "aten.full_like.default": _filled(1),
    "aten.scalar_tensor.default": _filled(0),
    "aten.zeros_like.default": _filled(0, 0.0),
    "aten.ones_like.default": _filled(0, 1.0),
    "aten.arange.start_step": _arange,
}
