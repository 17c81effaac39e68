"""Kernelwright turns a PyTorch program into a faster kernel that can be believed."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kernelwright.api import Evaluation, Fault, Judge, judge, speedup

__version__ = "0.1.0"
__all__ = ["Evaluation", "Fault", "Judge", "judge", "speedup"]


def __getattr__(name: str) -> Any:
    """The Python interface, loaded when first used, so that importing the package stays fast."""
    if name in __all__:
        return getattr(importlib.import_module("kernelwright.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
