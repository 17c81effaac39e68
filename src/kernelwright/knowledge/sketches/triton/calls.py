"""The table of primitives in Triton: what each call, constant and type is as text."""

from __future__ import annotations

import math
import re

from kernelwright.core.problem import DType
from kernelwright.knowledge.sketches.text import grouped

TYPES: dict[DType, str] = {
    "float64": "tl.float64", "float32": "tl.float32", "float16": "tl.float16",
    "bfloat16": "tl.bfloat16", "float8_e4m3fn": "tl.float8e4nv", "float8_e5m2": "tl.float8e5",
    "int64": "tl.int64", "int32": "tl.int32", "int16": "tl.int16", "int8": "tl.int8",
    "uint8": "tl.uint8", "bool": "tl.int1",
}  # fmt: skip

# `{0}`, `{1}`, ... are the operands, in parentheses where they need them: not where a template is
# only a call. A function that is not
# here has no row because Triton has no accurate one that its interpreter knows as well.
CALLS: dict[str, str] = {
    "add": "{0} + {1}", "sub": "{0} - {1}", "mul": "{0} * {1}", "div": "{0} / {1}",
    "div_rn": "tl.div_rn({0}, {1})",
    "neg": "-{0}", "abs": "tl.abs({0})", "sqrt": "tl.sqrt_rn({0})",
    "rsqrt": "1.0 / tl.sqrt_rn({0})", "relu": "tl.where({0} < 0, 0, {0})",
    **{name: f"tl.{name}({{0}})" for name in (
        "exp", "exp2", "log", "log2", "sin", "cos", "erf", "floor", "ceil",
    )},
    "log10": "tl.log({0}) * 0.4342944819032518",
    **{name: f"kw_{name}({{0}})" for name in (
        "sigmoid", "tanh", "expm1", "log1p", "sign", "trunc", "round",
    )},
    "frexp_fraction": "kw_fraction({0})", "frexp_exponent": "kw_exponent({0})",
    "maximum": "kw_max({0}, {1})", "minimum": "kw_min({0}, {1})",
    "bit_and": "{0} & {1}", "bit_or": "{0} | {1}", "bit_xor": "{0} ^ {1}", "bitwise_not": "~{0}",
    "shift_left": "{0} << {1}", "shift_right": "{0} >> {1}",
    "eq": "{0} == {1}", "ne": "{0} != {1}", "lt": "{0} < {1}", "le": "{0} <= {1}",
    "gt": "{0} > {1}", "ge": "{0} >= {1}",
    "isnan": "{0} != {0}", "isinf": "tl.abs({0}) == float('inf')",
    "isfinite": "tl.abs({0}) < float('inf')",
    "logical_and": "{0} & {1}", "logical_or": "{0} | {1}", "logical_xor": "{0} ^ {1}",
    "logical_not": "{0} == 0",
    "inside": "{0} & {1}",
    "tf32_high": "kw_high({0})", "tf32_low": "kw_low({0})",
    "where": "tl.where({0}, {1}, {2})",
}  # fmt: skip

_CALL = re.compile(r"[\w.]+\(\{\d\}(, \{\d\})*\)")
_WHOLE = {
    "remainder": "kw_remainder({0}, {1})", "floor_div": "kw_floor_div({0}, {1})",
    "trunc_div": "{0} // {1}", "fmod": "{0} % {1}",
    **dict.fromkeys(("floor", "ceil", "trunc", "round"), "{0}"),
}  # fmt: skip
_BOOLEAN = {
    "add": "{0} | {1}", "mul": "{0} & {1}", "bitwise_not": "{0} == 0", "maximum": "{0} | {1}",
    "minimum": "{0} & {1}", "relu": "{0}", "abs": "{0}",
}  # fmt: skip


def call_text(name: str, args: list[str], dtype: DType) -> str | None:
    """A call of primitive `name` with a result of `dtype`; None if Triton has no row for it."""
    template: str | None = CALLS.get(name)
    if name == "div_rn" and dtype != "float32":
        template = CALLS["div"]  # only that of float32 is an approximation
    if dtype == "bool":
        template = _BOOLEAN.get(name, template)
    elif dtype not in ("float32", "float64"):
        template = _WHOLE.get(name, template)
    if template is None:
        return None
    return template.format(*(args if _CALL.fullmatch(template) else map(grouped, args)))


def number_text(value: bool | int | float, dtype: DType) -> str:
    """A number as a literal.

    >>> number_text(0.1, "float32"), number_text(float("-inf"), "float32")
    ('0.1', "float('-inf')")
    """
    if dtype == "bool":
        return str(bool(value))
    if dtype not in ("float32", "float64"):
        return str(int(value))
    value = float(value)
    return repr(value) if math.isfinite(value) else f"float('{value}')"
