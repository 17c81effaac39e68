"""The normal form of a traced program: what it computes, with the spelling and the names taken out.

Two programs have the same key if they compute the same thing the same way up to rounding: whatever
their tensors and axes are called, in whichever order they are given, however the operators were
spelled, at whatever sizes, and whatever numbers stand in them (an epsilon, a scale). The sizes and
the numbers are listed beside the key, so that one program's can be put in the place of another's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from kernelwright.core.graph import Graph
from kernelwright.core.problem import Problem
from kernelwright.core.record import Record
from kernelwright.knowledge.sketches.expr import Load, Reduced, Scalar
from kernelwright.knowledge.sketches.index import Var
from kernelwright.knowledge.sketches.poly import Monomial
from kernelwright.library.normal.canonical import canonical
from kernelwright.library.normal.converting import Converter
from kernelwright.library.normal.elements import Elements, NoForm, Store
from kernelwright.library.normal.symbols import Symbols
from kernelwright.library.normal.terms import AXIS, CONSTANT, OUTPUT, TENSOR

__all__ = ["NoForm", "NormalForm", "normal_form"]

# When what a text says changes, so does every key.
VERSION = 1


class NormalForm(Record):
    """What a program computes. `text` is for people to read; `key` is a hash of it.

    `tensors` (scalars among them), `outputs` and `constants` are in the order of the text, by the
    names and values that they have in the program. Each of `axes` is a size of the text: the units
    whose product it is (``dim``, or ``dim/2`` where halves of it are counted).
    """

    key: str
    text: str
    tensors: tuple[str, ...]
    outputs: tuple[str, ...]
    axes: tuple[tuple[str, ...], ...]
    constants: tuple[float, ...]


def normal_form(problem: Problem, graph: Graph) -> NormalForm:
    """The normal form of `graph`, which `problem` was traced to.

    Raises:
        NoForm: it has none: a size in it is not understood, or it is too deep.
    """
    scalars = {s.name: s.dtype for s in problem.inputs if s.role == "scalar"}
    elements = Elements(graph, scalars)
    stores = elements.stores([spec.name for spec in problem.outputs])
    converter = Converter(elements, Symbols(_counted(elements, stores)))
    try:
        written = [converter.store(store) for store in stores]
        given = [converter.tensor(name) for name in _inputs(elements, stores)]
        found = canonical([*written, *given, *converter.ranges()])
    except RecursionError as error:
        raise NoForm("The graph is too deep for a normal form.") from error
    return NormalForm(
        key=hashlib.sha256(f"{VERSION}\n{found.text}".encode()).hexdigest()[:32],
        text=found.text,
        tensors=tuple(t.name for t in found.leaves[TENSOR]),
        outputs=tuple(t.name for t in found.leaves[OUTPUT]),
        axes=tuple(converter.sizes[t.name] for t in found.leaves[AXIS]),
        constants=tuple(t.value or 0.0 for t in found.leaves[CONSTANT]),
    )


def _inputs(elements: Elements, stores: Iterable[Store]) -> Iterator[str]:
    """The inputs that the outputs depend on."""
    seen: set[str] = set()
    for expr in elements.wholes.everything(*(s.value for s in stores)):
        name = getattr(expr.form, "tensor", None) or getattr(expr.form, "name", None)
        if isinstance(expr.form, Load | Scalar) and name not in seen:
            seen.add(str(name))
            yield str(name)


def _counted(elements: Elements, stores: Iterable[Store]) -> Iterator[Monomial]:
    """The products of axes that a loop of the program goes up to."""
    values = [s.value for s in stores]
    extents = [
        variable.extent
        for expr in elements.wholes.everything(*values)
        if isinstance(expr.form, Reduced)
        for variable in elements.wholes.known[expr.form.key].bound
    ]
    for at in (*elements.wholes.all_indices(*values), *(s.at for s in stores)):
        extents += [atom.extent for atom, _ in at.terms if isinstance(atom, Var)]
    for extent in extents:
        if len(extent.terms) == 1 and extent.whole:
            yield extent.terms[0][0]
