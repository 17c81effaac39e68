"""Expressions as C++."""

from __future__ import annotations

from collections.abc import Sequence

from kernelwright.core.graph import Extent
from kernelwright.knowledge.sketches.cpp.calls import TYPES, call_text, number_text
from kernelwright.knowledge.sketches.expr import (
    NARROW,
    Call,
    Cast,
    Constant,
    Expr,
    Load,
    Position,
    Reduced,
    Scalar,
)
from kernelwright.knowledge.sketches.poly import Poly
from kernelwright.knowledge.sketches.site import NoSketch
from kernelwright.knowledge.sketches.text import Text, grouped


class CppText(Text):
    """The text of one C++ kernel."""

    def definition(self, expr: Expr, name: str, text: str) -> str:
        """A constant."""
        return f"const {TYPES[expr.dtype]} {name} = {text};"

    def value(self, expr: Expr, known: dict[int, str]) -> str:
        """`expr` as text; what is in `known` by its name."""
        if expr.number in known:
            return known[expr.number]
        type_name = TYPES[expr.dtype]
        match expr.form:
            case Constant(value=value):
                return self._constant(value, expr)
            case Scalar(name=name):
                return self.tensors[name]
            case Position(at=at):
                return self.index(at, known)
            case Load():
                return self._load(expr.form, expr, known)
            case Cast(arg=arg, through=narrow):
                inner = self.value(arg, known)
                inner = f"{TYPES[narrow]}({inner})" if narrow else inner
                return f"static_cast<{type_name}>({inner})"
            case Call(name=name, args=args):
                return self._call(name, args, expr, known)
            case Reduced(key=key):
                raise AssertionError(f"{key} is used before it is computed")

    def _constant(self, value: bool | int | float | Extent, expr: Expr) -> str:
        if not isinstance(value, Extent):
            return number_text(value, expr.dtype)
        base = self.poly(Poly.from_extent(value))
        if value.power == 1.0:
            return f"static_cast<{TYPES[expr.dtype]}>({base})"
        power = f"std::pow(static_cast<double>({base}), {value.power!r})"
        return f"static_cast<{TYPES[expr.dtype]}>({power})"

    def _load(self, load: Load, expr: Expr, known: dict[int, str]) -> str:
        element = f"{self.tensors[load.tensor]}[{self.index(load.at, known)}]"
        if self.stored[load.tensor] in NARROW:
            element = f"static_cast<float>({element})"
        if load.guard is None:
            return element
        zero = number_text(0, expr.dtype)
        return f"({grouped(self.value(load.guard, known))} ? {element} : {zero})"

    def _call(self, name: str, args: Sequence[Expr], expr: Expr, known: dict[int, str]) -> str:
        operands = [self.value(a, known) for a in args]
        # A question about floats (`isnan`) has the type of its operand, not of its answer.
        infix = "(" not in (call_text(name, ["0"] * 3, expr.dtype) or "(")
        texts = [grouped(o) for o in operands] if infix or name in ("isnan",) else operands
        if name in ("rsqrt", "isinf", "isfinite", "trunc_div"):
            texts = operands
        found = call_text(name, texts, expr.dtype)
        if found is None:
            raise NoSketch(f"No sketch in C++ covers the function {name}.")
        return found
