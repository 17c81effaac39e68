"""Expressions and indices as text, with names for what is used more than once.

What the languages share; each one's `Text` says what a value is in its own words.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Container, Iterable, Sequence

from kernelwright.core.graph import Extent
from kernelwright.core.problem import Problem
from kernelwright.knowledge.sketches.expr import (
    Constant,
    Expr,
    Maker,
    Position,
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
)
from kernelwright.knowledge.sketches.poly import ONE, Poly
from kernelwright.languages.signature import Signature, signature

_SIMPLE = re.compile(r"\d[\d.]*(e[-+]?\d+)?|[\w.:]+(\([\w.:, ]*\)|\[[\w .:*+]*\])?")
_CALLED = re.compile(r"[\w.:]*\(")


def grouped(text: str) -> str:
    """`text` as an operand: in parentheses unless it is one word, call or element."""
    return text if _SIMPLE.fullmatch(text) or _is_call(text) else f"({text})"


def _is_call(text: str) -> bool:
    """Whether `text` ends where the first parenthesis in it is closed."""
    if _CALLED.match(text) is None:
        return False
    depth = 0
    for place, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if letter == ")" and depth == 0:
            return place == len(text) - 1
    return False


class Text(ABC):
    """One kernel's text while it is being made: its names, and the text of what it computes."""

    division = "/"

    def __init__(self, problem: Problem, maker: Maker) -> None:
        self.maker = maker
        self.signature: Signature = signature(problem)
        self.taken = set(self.signature.names)
        given = [p for p in self.signature.inputs + self.signature.outputs if p.spec]
        self.tensors = {p.spec.name: p.name for p in given if p.spec}
        self.stored = {p.spec.name: p.spec.dtype for p in given if p.spec}
        sizes = zip(problem.axes, self.signature.sizes, strict=True)
        self.axes = {axis: parameter.name for axis, parameter in sizes}
        self.vars: dict[str, str] = {}
        self._counts: Counter[str] = Counter()

    @abstractmethod
    def value(self, expr: Expr, known: dict[int, str]) -> str:
        """`expr` as text; what is in `known` by its name."""

    @abstractmethod
    def definition(self, expr: Expr, name: str, text: str) -> str:
        """The line that calls the value `text` of `expr` by `name`."""

    def base(self, expr: Expr) -> str:
        """What a name of `expr` begins with; anything but "v" asks for a name in any case."""
        del expr
        return "v"

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
        return size.text(self.axes, self.division)

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
                return f"{grouped(self.index(of, known))} {self.division} {grouped(self.poly(by))}"
            case Remainder(of=of, by=by):
                return f"{grouped(self.index(of, known))} % {grouped(self.poly(by))}"
            case Data():
                return grouped(self.value(self.maker.behind(atom), known))

    def define(
        self,
        roots: Iterable[Expr],
        known: dict[int, str],
        *,
        name_roots: bool = False,
        later: Container[int] = (),
    ) -> list[str]:
        """Definitions of what `roots` need more than once; `known` learns the names.

        With `name_roots` the roots get names too, unless they are plain already, and so does what
        is needed once here and again `later`.
        """
        roots = list(roots)
        order = walk(self.maker, roots, known)
        uses = Counter(p.number for e in order for p in parts(self.maker, e))
        for root in roots:
            uses[root.number] += 2 if name_roots else 1
        lines = []
        for expr in order:
            again = uses[expr.number] > 1 or expr.number in later
            base = self.base(expr)
            if (base == "v" and not again) or self._plain(expr):
                continue
            text, name = self.value(expr, known), self.numbered(base)
            lines.append(self.definition(expr, name, text))
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


def invariant(
    maker: Maker, roots: Sequence[Expr], inner: set[str], known: dict[int, str]
) -> list[Expr]:
    """The largest parts of `roots` that the loops `inner` do not change, where they are work."""
    order = walk(maker, roots, known)
    changing = {e.number for e in order if any(v.name in inner for v in variables(maker, e))}
    found: dict[int, Expr] = {}
    for expr in [*order]:
        below = parts(maker, expr) if expr.number in changing else ()
        for part in below:
            if part.number not in changing and part.number not in known:
                found[part.number] = part
    for root in roots:
        if root.number not in changing and root.number not in known:
            found[root.number] = root
    return [
        e for e in found.values() if not isinstance(e.form, Scalar | Position) and not _literal(e)
    ]


def _literal(expr: Expr) -> bool:
    return isinstance(expr.form, Constant) and not isinstance(expr.form.value, Extent)
