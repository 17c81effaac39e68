"""Expressions as Triton."""

from __future__ import annotations

import keyword
from collections.abc import Sequence

from kernelwright.core.graph import Extent
from kernelwright.core.problem import Problem
from kernelwright.knowledge.sketches.expr import (
    NARROW,
    Call,
    Cast,
    Constant,
    Expr,
    Load,
    Maker,
    Position,
    Reduced,
    Scalar,
    variables,
)
from kernelwright.knowledge.sketches.poly import Poly
from kernelwright.knowledge.sketches.site import NoSketch
from kernelwright.knowledge.sketches.text import Text, grouped
from kernelwright.knowledge.sketches.triton.calls import TYPES, call_text, number_text

_OTHERS = ("torch", "nn", "triton", "tl", "operator", "self", "Model", "ModelNew")


class TritonText(Text):
    """The text of one Triton candidate. `mask` says which lanes of the loop at hand exist."""

    division = "//"

    def __init__(self, problem: Problem, maker: Maker) -> None:
        super().__init__(problem, maker)
        names = {
            n: f"{n}_" if keyword.iskeyword(n) or n in _OTHERS else n for n in self.signature.names
        }
        self.tensors = {spec: names[n] for spec, n in self.tensors.items()}
        self.axes = {axis: names[n] for axis, n in self.axes.items()}
        self.taken = {*names.values(), *_OTHERS}
        self.mask = ""

    def definition(self, expr: Expr, name: str, text: str) -> str:
        """An assignment."""
        del expr
        return f"{name} = {text}"

    def value(self, expr: Expr, known: dict[int, str]) -> str:
        """`expr` as text; what is in `known` by its name."""
        if expr.number in known:
            return known[expr.number]
        match expr.form:
            case Constant(value=value):
                return self._constant(value, expr)
            case Scalar(name=name):
                return self.tensors[name]
            case Position(at=at):
                return self.index(at, known)
            case Load():
                return self._load(expr, expr.form, known)
            case Cast(arg=arg, through=through):
                return self._cast(expr, arg, through, known)
            case Call(name=name, args=args):
                return self._call(name, args, expr, known)
            case Reduced(key=key):
                raise AssertionError(f"{key} is used before it is computed")

    def varies(self, expr: Expr) -> bool:
        """Whether `expr` is a block of values, one for each lane, and not one value."""
        return any(v.name in ("lane", "own") for v in variables(self.maker, expr))

    def _constant(self, value: bool | int | float | Extent, expr: Expr) -> str:
        if not isinstance(value, Extent):
            return number_text(value, expr.dtype)
        base = self.poly(Poly.from_extent(value))
        found = f"tl.full([], {base}, {TYPES[expr.dtype]})"
        roots = {
            1.0: "{0}",
            0.5: "tl.sqrt_rn({0})",
            -1.0: "1.0 / {0}",
            -0.5: "1.0 / tl.sqrt_rn({0})",
        }
        if value.power not in roots:
            raise NoSketch("No sketch in Triton covers a size to the power of a quarter.")
        return roots[value.power].format(found)

    def _cast(self, expr: Expr, arg: Expr, through: object, known: dict[int, str]) -> str:
        text = self.value(arg, known)
        if through is not None:
            narrow = next(t for d, t in TYPES.items() if d == through)
            return f"{grouped(text)}.to({narrow}).to(tl.float32)"
        if isinstance(arg.form, Position | Scalar) and not self.varies(arg):
            # A size may be a plain number in Triton's eyes, which has no `to`.
            return f"tl.full([], {text}, {TYPES[expr.dtype]})"
        return f"{grouped(text)}.to({TYPES[expr.dtype]})"

    def _load(self, expr: Expr, load: Load, known: dict[int, str]) -> str:
        place = f"{self.tensors[load.tensor]} + {self.index(load.at, known)}"
        masks = [self.mask] if self.mask and self.varies(expr) else []
        if load.guard is not None:
            masks.append(grouped(self.value(load.guard, known)))
        extra = f", mask={' & '.join(masks)}, other=0" if masks else ""
        found = f"tl.load({place}{extra})"
        dtype = self.stored[load.tensor]
        if dtype in NARROW:
            return f"{found}.to(tl.float32)"
        return f"({found} != 0)" if dtype == "bool" else found

    def _call(self, name: str, args: Sequence[Expr], expr: Expr, known: dict[int, str]) -> str:
        texts = [grouped(self.value(a, known)) for a in args]
        found = call_text(name, texts, expr.dtype)
        if found is None:
            raise NoSketch(f"No sketch in Triton covers the function {name}.")
        return found
