"""Element types, torch's and ours, and a tensor as the bytes that the judge keeps of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from kernelwright.core.formats import Array, storage_dtype
from kernelwright.core.problem import DType

DTYPES: dict[torch.dtype, DType] = {
    torch.float64: "float64", torch.float32: "float32", torch.float16: "float16",
    torch.bfloat16: "bfloat16", torch.float8_e4m3fn: "float8_e4m3fn",
    torch.float8_e5m2: "float8_e5m2", torch.int64: "int64", torch.int32: "int32",
    torch.int16: "int16", torch.int8: "int8", torch.uint8: "uint8", torch.bool: "bool",
}  # fmt: skip
TORCH_DTYPES: dict[DType, torch.dtype] = {ours: theirs for theirs, ours in DTYPES.items()}


def is_plain(value: Tensor) -> bool:
    """Whether a tensor is dense and real, of a type that problems may have."""
    return value.dtype in DTYPES and value.layout == torch.strided


def raw(value: Any) -> Array:
    """A tensor or Python number as it is stored: flat, in `core.formats.storage_dtype`."""
    if isinstance(value, bool):
        return np.array([value], storage_dtype("bool"))
    if isinstance(value, int | float):
        return np.array([value], storage_dtype("int64" if isinstance(value, int) else "float64"))
    flat: Tensor = value.detach().cpu().contiguous().reshape(-1)
    if flat.dtype == torch.bfloat16:
        flat = flat.view(torch.uint16)
    elif flat.dtype in (torch.bool, torch.float8_e4m3fn, torch.float8_e5m2):
        flat = flat.view(torch.uint8)
    stored: Array = flat.numpy()
    return stored
