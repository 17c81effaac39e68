"""Number formats: how finely each type rounds, and how NumPy holds those that it does not know."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernelwright.core.problem import DType

Array = NDArray[Any]

UNIT_ROUNDOFF: dict[DType, float] = {
    "float64": 2.0**-53,
    "float32": 2.0**-24,
    "float16": 2.0**-11,
    "bfloat16": 2.0**-8,
    "float8_e4m3fn": 2.0**-4,
    "float8_e5m2": 2.0**-3,
}

# The step between the smallest numbers of a type, below which nothing can be right to a share.
SMALLEST_STEP: dict[DType, float] = {
    "float64": 2.0**-1074,
    "float32": 2.0**-149,
    "float16": 2.0**-24,
    "bfloat16": 2.0**-133,
    "float8_e4m3fn": 2.0**-9,
    "float8_e5m2": 2.0**-16,
}

_STORAGE: dict[DType, str] = {
    "float64": "<f8", "float32": "<f4", "float16": "<f2", "bfloat16": "<u2",
    "float8_e4m3fn": "u1", "float8_e5m2": "u1", "int64": "<i8", "int32": "<i4",
    "int16": "<i2", "int8": "i1", "uint8": "u1", "bool": "u1",
}  # fmt: skip


def storage_dtype(dtype: DType) -> np.dtype[Any]:
    """The NumPy type whose bytes hold `dtype`; bfloat16 and fp8 are held as unsigned integers."""
    return np.dtype(_STORAGE[dtype])


def is_float(dtype: DType) -> bool:
    """Whether `dtype` is compared with a tolerance; all others are compared exactly."""
    return dtype in UNIT_ROUNDOFF


def _fp8_table(exponent_bits: int, mantissa_bits: int, *, finite_only: bool) -> Array:
    bias = (1 << (exponent_bits - 1)) - 1
    table = np.empty(256)
    for code in range(256):
        sign = -1.0 if code & 0x80 else 1.0
        exponent = (code >> mantissa_bits) & ((1 << exponent_bits) - 1)
        mantissa = code & ((1 << mantissa_bits) - 1)
        top = (1 << exponent_bits) - 1
        if finite_only and (code & 0x7F) == 0x7F:
            table[code] = math.nan
        elif not finite_only and exponent == top:
            table[code] = math.nan if mantissa else sign * math.inf
        elif exponent == 0:
            table[code] = sign * mantissa * 2.0 ** (1 - bias - mantissa_bits)
        else:
            table[code] = sign * (1 + mantissa / 2**mantissa_bits) * 2.0 ** (exponent - bias)
    return table


_FP8 = {
    "float8_e4m3fn": _fp8_table(4, 3, finite_only=True),
    "float8_e5m2": _fp8_table(5, 2, finite_only=False),
}


def decode(raw: Array, dtype: DType) -> Array:
    """The values that `raw`, in `storage_dtype(dtype)`, stands for; floats come as floats.

    >>> decode(np.array([0x3F80], dtype="<u2"), "bfloat16").tolist()
    [1.0]
    """
    if dtype == "bfloat16":
        return (raw.astype(np.uint32) << 16).view(np.float32)
    if dtype in _FP8:
        return _FP8[dtype][raw]
    return raw
