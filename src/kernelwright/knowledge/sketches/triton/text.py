"""Expressions as Triton."""

from __future__ import annotations

import keyword
import re
from collections.abc import Callable, Sequence

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
from kernelwright.knowledge.sketches.index import Data, Index, Var, atoms
from kernelwright.knowledge.sketches.poly import Poly
from kernelwright.knowledge.sketches.site import NoSketch
from kernelwright.knowledge.sketches.text import Text, grouped
from kernelwright.knowledge.sketches.triton.calls import TYPES, call_text, number_text

# Names that a kernel's file has already; a tensor or size of that name gets an underscore.
_OTHERS = ("torch", "nn", "triton", "tl", "operator", "self", "Model", "ModelNew",
           "INDEX", "ROWS", "DEPTHS", "LANES", "PARTS", "QUERIES", "KEYS", "INNER",
           "HEAD")  # fmt: skip
_COMPARED = ("eq", "ne", "lt", "le", "gt", "ge")
_LONGEST_NAME = 32


class TritonText(Text):
    """The text of one Triton candidate.

    `masks` says, for each loop variable that is an axis of the tile at hand, which of its values
    exist; `inside` is the name of all of them together, `shape` is the tile's. `policy` is what a
    load asks of the caches.
    """

    division = "//"

    def __init__(self, problem: Problem, maker: Maker) -> None:
        super().__init__(problem, maker)
        names = {
            n: f"{n}_" if keyword.iskeyword(n) or n in _OTHERS else n for n in self.signature.names
        }
        self.tensors = {spec: names[n] for spec, n in self.tensors.items()}
        self.axes = {axis: names[n] for axis, n in self.axes.items()}
        self.sizes: dict[Poly, str] = {}
        # Tensors of partial results, which each launch makes for itself.
        self.partials: dict[str, None] = {}
        self.taken = {*names.values(), *_OTHERS}
        self.masks: dict[str, str] = {}
        self.inside = ""
        self.shape = ""
        self.policy: Callable[[Expr], str] = lambda _: ""

    def definition(self, expr: Expr, name: str, text: str) -> str:
        """An assignment."""
        del expr
        return f"{name} = {text}"

    def base(self, expr: Expr) -> str:
        """What is read has the name of its tensor."""
        return self.tensors[expr.form.tensor] if isinstance(expr.form, Load) else "v"

    # Sizes: what is more than an axis comes into the kernel as an argument, where Triton sees
    # whether 16 divides it (loads are then wide) and where no product can pass 32 bits unseen.

    def poly(self, size: Poly) -> str:
        """A size or stride: a number, an axis, or the name of what is worked out of some."""
        if size.constant is not None:
            return str(size.constant)
        if all(c < 0 for _, c in size.terms):
            return f"-{grouped(self.poly(size * -1))}"
        text = size.text(self.axes, self.division)
        if re.fullmatch(r"\w+( [+-] \d+)?", text):
            return text
        if size not in self.sizes:
            self.sizes[size] = self._size_name(text)
        return self.sizes[size]

    def _size_name(self, text: str) -> str:
        name = text.replace(" * ", "_")
        if len(name) > _LONGEST_NAME or not name.isidentifier():
            name = self.numbered("size")
        name = self.unique(name)
        self.taken.add(name)
        return name

    # Values.

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
                # A position counts in few bits, a value that is worked with in 64.
                text = self.index(at, known)
                return f"{grouped(text)}.to(tl.int64)" if self.varies(expr) else text
            case Load():
                return self._load(expr, expr.form, known)
            case Cast(arg=arg, through=through):
                return self._cast(expr, arg, through, known)
            case Call(name=name, args=args):
                return self._call(name, args, expr, known)
            case Reduced(key=key):
                raise AssertionError(f"{key} is used before it is computed")

    def varies(self, expr: Expr) -> bool:
        """Whether `expr` is a block of values, and not one value."""
        return any(v.name in self.masks for v in variables(self.maker, expr))

    def fills_tile(self, expr: Expr) -> bool:
        """Whether `expr` is a block of the tile's shape."""
        masks = {self.masks.get(v.name) for v in variables(self.maker, expr)}
        return set(self.masks.values()) <= masks

    def mask(self, varying: set[str]) -> str:
        """Where in the tile there is something that depends on the loop variables `varying`."""
        masks = list(dict.fromkeys(m for name, m in self.masks.items() if name in varying))
        every = list(dict.fromkeys(self.masks.values()))
        if len(masks) > 1 and masks == every and self.inside:
            return self.inside
        return " & ".join(masks)

    def variables_of(self, at: Index) -> set[str]:
        """The names of the loop variables that an index depends on."""
        found = {a.name for a in atoms(at) if isinstance(a, Var)}
        for atom in atoms(at):
            if isinstance(atom, Data):
                found |= {v.name for v in variables(self.maker, self.maker.behind(atom))}
        return found

    def full(self, value: str, dtype: str) -> str:
        """A tile of one value."""
        return f"tl.full({self.shape}, {value}, {dtype})"

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
            0.25: "tl.sqrt_rn(tl.sqrt_rn({0}))",
            -0.25: "1.0 / tl.sqrt_rn(tl.sqrt_rn({0}))",
        }
        if value.power not in roots:
            raise NoSketch(f"No sketch in Triton covers a size to the power of {value.power}.")
        return roots[value.power].format(found)

    def _cast(self, expr: Expr, arg: Expr, through: object, known: dict[int, str]) -> str:
        if isinstance(arg.form, Position) and arg.number not in known and self.varies(arg):
            return f"{grouped(self.index(arg.form.at, known))}.to({TYPES[expr.dtype]})"
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
        varying = self.variables_of(load.at)
        if load.guard is not None:
            # The address has the guard's axes too: a mask is never larger than what it is for.
            more = {v.name for v in variables(self.maker, load.guard)} - varying
            if more & set(self.masks):
                place += f" + {self.full('0', 'tl.int32')}"
                varying = set(self.masks)
        masks = [m for m in (self.mask(varying),) if m]
        if load.guard is not None:
            masks.append(grouped(self.value(load.guard, known)))
        # Triton casts no integer to a float of 8 bits.
        nothing = "0.0" if self.stored[load.tensor].startswith("float8") else "0"
        extra = f", mask={' & '.join(masks)}, other={nothing}" if masks else ""
        policy = self.policy(expr)
        if policy and self.mask(varying):
            extra += f', eviction_policy="{policy}"'
        found = f"tl.load({place}{extra})"
        dtype = self.stored[load.tensor]
        if dtype in NARROW:
            return f"{found}.to(tl.float32)"
        return f"({found} != 0)" if dtype == "bool" else found

    def _call(self, name: str, args: Sequence[Expr], expr: Expr, known: dict[int, str]) -> str:
        texts = [self._operand(name, a, known) for a in args]
        found = call_text(name, texts, expr.dtype)
        if found is None:
            raise NoSketch(f"No sketch in Triton covers the function {name}.")
        return found

    def _operand(self, call: str, arg: Expr, known: dict[int, str]) -> str:
        if call in _COMPARED and isinstance(arg.form, Position) and arg.number not in known:
            return self.index(arg.form.at, known)
        return self.value(arg, known)
