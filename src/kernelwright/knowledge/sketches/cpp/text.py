"""Expressions and indices as C++, with names for what is used more than once."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from kernelwright.core.graph import Extent
from kernelwright.core.problem import Problem
from kernelwright.knowledge.sketches.cpp.calls import TYPES, call_text, number_text
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
    parts,
    variables,
    walk,
)
from kernelwright.knowledge.sketches.index import (
    Atom,
    Data,
    Index,
    Quotient,
    Remainder,
    Var,
    index,
)
from kernelwright.knowledge.sketches.poly import ONE, Poly
from kernelwright.knowledge.sketches.site import NoSketch
from kernelwright.languages.signature import Signature, signature

_SIMPLE = re.compile(r"[\w.:]+(\([\w.:, ]*\)|\[[\w .:*+]*\])?")


def grouped(text: str) -> str:
    """`text` as an operand: in parentheses unless it is one word, call or element."""
    return text if _SIMPLE.fullmatch(text) else f"({text})"


class Text:
    """One kernel's text while it is being made: its names, and the text of what it computes."""

    def __init__(self, problem: Problem, maker: Maker) -> None:
        self.maker = maker
        self.signature: Signature = signature(problem)
        self.taken = set(self.signature.names)
        self.tensors = {
            p.spec.name: p.name for p in self.signature.inputs + self.signature.outputs if p.spec
        }
        self.stored = {
            p.spec.name: p.spec.dtype
            for p in self.signature.inputs + self.signature.outputs
            if p.spec
        }
        sizes = zip(problem.axes, self.signature.sizes, strict=True)
        self.axes = {axis: parameter.name for axis, parameter in sizes}
        self.vars: dict[str, str] = {}
        self._counts: Counter[str] = Counter()

    def unique(self, wanted: str) -> str:
        """`wanted`, or it with an underscore where a parameter has that name."""
        while wanted in self.taken:
            wanted += "_"
        return wanted

    def numbered(self, base: str) -> str:
        """A new name: `base` and a number."""
        while True:
            name = f"{base}{self._counts[base]}"
            self._counts[base] += 1
            if name not in self.taken:
                return name

    def poly(self, size: Poly) -> str:
        """A size or stride."""
        return size.text(self.axes)

    def index(self, of: Index, known: dict[int, str] | None = None) -> str:
        """A position, as a sum."""
        found = [self._term(a, c, known or {}) for a, c in of.terms]
        if of.constant.terms or not found:
            found.append(self.poly(of.constant))
        return " + ".join(found).replace("+ -", "- ")

    def _term(self, atom: Atom, coefficient: Poly, known: dict[int, str]) -> str:
        text = self._atom(atom, known)
        if coefficient == ONE:
            return text
        if coefficient.constant == -1:
            return f"-{grouped(text)}"
        return f"{grouped(text)} * {grouped(self.poly(coefficient))}"

    def _atom(self, atom: Atom, known: dict[int, str]) -> str:
        match atom:
            case Var(name=name):
                return self.vars[name]
            case Quotient(of=of, by=by):
                return f"{grouped(self.index(of, known))} / {grouped(self.poly(by))}"
            case Remainder(of=of, by=by):
                return f"{grouped(self.index(of, known))} % {grouped(self.poly(by))}"
            case Data():
                return grouped(self.value(self.maker.behind(atom), known))

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
            case Cast(arg=arg, through=None):
                return f"static_cast<{type_name}>({self.value(arg, known)})"
            case Cast(arg=arg, through=narrow):
                return f"static_cast<float>({TYPES[narrow]}({self.value(arg, known)}))"
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

    def define(
        self, roots: Iterable[Expr], known: dict[int, str], *, name_roots: bool = False
    ) -> list[str]:
        """Definitions of what `roots` need more than once; `known` learns the names.

        With `name_roots` the roots get names too, unless they are plain already.
        """
        roots = list(roots)
        order = walk(self.maker, roots, known)
        uses = Counter(p.number for e in order for p in parts(self.maker, e))
        uses.update({r.number: 2 if name_roots else 1 for r in roots})
        lines = []
        for expr in order:
            if uses[expr.number] < 2 or self._plain(expr):
                continue
            text, name = self.value(expr, known), self.numbered("v")
            lines.append(f"const {TYPES[expr.dtype]} {name} = {text};")
            known[expr.number] = name
        return lines

    def _plain(self, expr: Expr) -> bool:
        """Whether `expr` is no work to write twice."""
        match expr.form:
            case Constant(value=value):
                return not isinstance(value, Extent)
            case Scalar():
                return True
            case Position(at=at):
                return len(at.terms) <= 1
            case _:
                return False


def invariant(maker: Maker, roots: Sequence[Expr], inner: set[str], known: dict[int, str]) -> list[Expr]:
    """The largest parts of `roots` that the loops `inner` do not change, where they are work."""
    order = walk(maker, roots, known)
    changing = {
        e.number for e in order if any(v.name in inner for v in variables(maker, e))
    }
    found: dict[int, Expr] = {}
    for expr in [*order]:
        below = parts(maker, expr) if expr.number in changing else ()
        for part in below:
            if part.number not in changing and part.number not in known:
                found[part.number] = part
    for root in roots:
        if root.number not in changing and root.number not in known:
            found[root.number] = root
    return [e for e in found.values() if not isinstance(e.form, Scalar | Position) and not _literal(e)]


def _literal(expr: Expr) -> bool:
    return isinstance(expr.form, Constant) and not isinstance(expr.form.value, Extent)
