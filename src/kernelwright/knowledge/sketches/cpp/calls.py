"""The table of primitives in C++: what each call, constant and type is as text."""

from __future__ import annotations

import math

import numpy as np

from kernelwright.core.problem import DType

TYPES: dict[DType, str] = {
    "float64": "double", "float32": "float", "float16": "float16", "bfloat16": "bfloat16",
    "float8_e4m3fn": "float8_e4m3fn", "float8_e5m2": "float8_e5m2", "int64": "int64_t",
    "int32": "int32_t", "int16": "int16_t", "int8": "int8_t", "uint8": "uint8_t", "bool": "bool",
}  # fmt: skip

# `{0}`, `{1}`, ... are the operands, in parentheses where they need them; `{type}` is the result's.
CALLS: dict[str, str] = {
    "add": "{0} + {1}", "sub": "{0} - {1}", "mul": "{0} * {1}", "div": "{0} / {1}",
    "div_rn": "{0} / {1}",
    "neg": "-{0}", "abs": "std::abs({0})", "sqrt": "std::sqrt({0})",
    "rsqrt": "{type}(1) / std::sqrt({0})",
    "exp": "kw_exp({0})", "expm1": "kw_expm1({0})", "log": "kw_log({0})", "log2": "kw_log2({0})",
    "log10": "kw_log10({0})", "log1p": "kw_log1p({0})", "tanh": "kw_tanh({0})",
    "erf": "kw_erf({0})", "sigmoid": "kw_sigmoid({0})", "relu": "kw_relu({0})",
    "maximum": "kw_max({0}, {1})", "minimum": "kw_min({0}, {1})", "sign": "kw_sign({0})",
    **{
        name: f"std::{name}({{0}})"
        for name in (
            "exp2", "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "asinh",
            "acosh", "atanh", "erfc", "floor", "ceil", "trunc",
        )
    },
    "round": "std::nearbyint({0})",
    "frexp_fraction": "kw_fraction({0})", "frexp_exponent": "kw_exponent({0})",
    **{
        name: f"std::{name}({{0}}, {{1}})"
        for name in ("pow", "fmod", "atan2", "hypot", "copysign")
    },
    "remainder": "kw_remainder({0}, {1})", "floor_div": "kw_floor_div({0}, {1})",
    "trunc_div": "{type}({0} / {1})",
    "bit_and": "{0} & {1}", "bit_or": "{0} | {1}", "bit_xor": "{0} ^ {1}", "bitwise_not": "~{0}",
    "shift_left": "{0} << {1}", "shift_right": "{0} >> {1}",
    "eq": "{0} == {1}", "ne": "{0} != {1}", "lt": "{0} < {1}", "le": "{0} <= {1}",
    "gt": "{0} > {1}", "ge": "{0} >= {1}",
    "isnan": "{0} != {0}", "isinf": "std::abs({0}) == INFINITY",
    "isfinite": "std::abs({0}) < INFINITY",
    "logical_and": "{0} && {1}", "logical_or": "{0} || {1}", "logical_xor": "{0} != {1}",
    "logical_not": "!{0}",
    "inside": "{0} && {1}",
    "where": "{0} ? {1} : {2}",
}  # fmt: skip

# Calls that mean something else when the operands are booleans or whole numbers.
_BOOLEAN = {
    "add": "{0} || {1}", "mul": "{0} && {1}", "bitwise_not": "!{0}", "maximum": "{0} || {1}",
    "minimum": "{0} && {1}", "relu": "{0}", "abs": "{0}",
}  # fmt: skip
_WHOLE = {
    "remainder": "{type}(kw_remainder(int64_t({0}), int64_t({1})))",
    "floor_div": "{type}(kw_floor_div(int64_t({0}), int64_t({1})))",
    "trunc_div": "{0} / {1}",
    "fmod": "{0} % {1}",
    **dict.fromkeys(("floor", "ceil", "trunc", "round"), "{0}"),
}
# Arithmetic on these is done in int and has to be brought back.
_SHORT: tuple[DType, ...] = ("int16", "int8", "uint8")
_FLOATS: tuple[DType, ...] = ("float32", "float64")


def call_text(name: str, args: list[str], dtype: DType) -> str | None:
    """A call of primitive `name` with a result of `dtype`; None if C++ has no row for it."""
    template = CALLS.get(name)
    if dtype == "bool":
        template = _BOOLEAN.get(name, template)
    elif dtype not in _FLOATS:
        template = _WHOLE.get(name, template)
    if template is None:
        return None
    text = template.format(*args, type=TYPES[dtype])
    return f"{TYPES[dtype]}({text})" if dtype in _SHORT else text


def number_text(value: bool | int | float, dtype: DType) -> str:
    """A number as a literal of `dtype`, with every digit that it takes.

    >>> number_text(0.1, "float32"), number_text(3, "int64"), number_text(1, "float64")
    ('0.1f', 'int64_t(3)', '1.0')
    """
    if dtype == "bool":
        return "true" if value else "false"
    if dtype not in _FLOATS:
        return f"{TYPES[dtype]}({int(value)})"
    with np.errstate(over="ignore"):
        rounded = np.float32(value) if dtype == "float32" else np.float64(value)
    if math.isnan(rounded):
        return "NAN"
    if math.isinf(rounded):
        return "INFINITY" if rounded > 0 else "(-INFINITY)"
    digits = str(rounded)
    text = f"{digits}f" if dtype == "float32" else digits
    return f"({text})" if text.startswith("-") else text
