"""Whether a kernel of the library computes what a problem asks for, and what then is what.

The graphs must have one key. What may differ is put in place of one another: names, the order of
tensors, sizes, and those constants that the kernel's text names.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from kernelwright.core.problem import Problem, TensorSpec
from kernelwright.knowledge.sketches.poly import ONE, Poly, axes_of, product
from kernelwright.library.normal.form import NormalForm
from kernelwright.library.shelf import Kernel

# Numbers that differ by less are spellings of one: 0.7978845608 and sqrt(2 / pi).
_SAME = 1e-8


@dataclass(frozen=True, kw_only=True)
class Fit:
    """How a kernel serves a problem: for each of its own names, what that is in the problem.

    `sizes` gives each of the kernel's axes as a size of the problem; `constants` has the values of
    those that its text names.
    """

    kernel: Kernel
    tensors: Mapping[str, str]
    outputs: Mapping[str, str]
    sizes: Mapping[str, Poly]
    constants: Mapping[str, float]


class NoFit(Exception):
    """The kernel does not serve the problem; the message says why."""


def fit(kernel: Kernel, problem: Problem, form: NormalForm) -> Fit:
    """How `kernel` serves `problem`, whose graph has the normal form `form`.

    Raises:
        NoFit: it does not.
    """
    if kernel.form.key != form.key or kernel.form.text != form.text:
        raise NoFit("It computes something else.")
    found = Fit(
        kernel=kernel,
        tensors=dict(zip(kernel.form.tensors, form.tensors, strict=True)),
        outputs=dict(zip(kernel.form.outputs, form.outputs, strict=True)),
        sizes=_sizes(kernel, problem, form),
        constants=_constants(kernel, form),
    )
    found = replace(found, tensors={**found.tensors, **_idle(found, problem)})
    _check_tensors(found, problem)
    return found


def _idle(found: Fit, problem: Problem) -> dict[str, str]:
    """What stands for the kernel's tensors that nothing is made of, such as a bias whose gradient
    is asked for: for each one of the problem's own of that kind. Which does not matter."""
    left = [s for s in problem.inputs if s.name not in found.tensors.values()]
    chosen: dict[str, str] = {}
    for spec in found.kernel.about.computes.inputs:
        if spec.name not in found.tensors:
            alike = next((s for s in left if _misfit(spec, s, found, problem) is None), None)
            if alike is not None:
                left.remove(alike)
                chosen[spec.name] = alike.name
    return chosen


def _constants(kernel: Kernel, form: NormalForm) -> dict[str, float]:
    """The values of the constants that the kernel names; all others must be equal."""
    named = {place: c.name for c in kernel.about.constants for place in c.at}
    values: dict[str, float] = {}
    for place, (own, asked) in enumerate(zip(kernel.form.constants, form.constants, strict=True)):
        name = named.get(place)
        if name is None and not math.isclose(own, asked, rel_tol=_SAME):
            raise NoFit(f"It has {own:g} where {asked:g} is asked for, and its text fixes that.")
        if name is not None and not math.isclose(
            values.setdefault(name, asked), asked, rel_tol=_SAME
        ):
            raise NoFit(
                f"Its constant {name} would have to be both {values[name]:g} and {asked:g}."
            )
    return values


def _sizes(kernel: Kernel, problem: Problem, form: NormalForm) -> dict[str, Poly]:
    """Each axis of the kernel as a size of the problem."""
    units: dict[str, Poly] = {}
    pairs = zip(kernel.form.axes, form.axes, strict=True)
    # Symbols of one axis say what it is; larger ones what is left.
    for own, theirs in sorted(pairs, key=lambda pair: len(pair[0])):
        units |= _shared_out(
            _in_order([u for u in own if u not in units], kernel.about.computes.sizes),
            _in_order(theirs, problem.axes),
            product([units[u] for u in own if u in units]),
        )
    sizes: dict[str, Poly] = {}
    for unit, size in sorted(units.items(), key=lambda item: len(axes_of(item[0]))):
        axis, _, part = unit.partition("/")
        if part in sizes:
            sizes[axis] = size * sizes[part]
        elif not part or part.isdigit():
            sizes[axis] = size * int(part or 1)
    for axis in kernel.about.computes.sizes:
        if axis not in sizes:
            raise NoFit(f"Nothing in the problem says what its size {axis} is.")
    return sizes


def _in_order(units: Sequence[str], axes: Sequence[str]) -> list[str]:
    """Units in the order in which a problem has their axes."""
    return sorted(units, key=lambda u: list(axes).index(u.partition("/")[0]))


def _shared_out(own: Sequence[str], theirs: Sequence[str], known: Poly) -> dict[str, Poly]:
    """A size of the problem given to axes of the kernel whose product it is, besides `known`.

    Only the product matters to what is computed; the last axes are kept apart as far as there are
    as many, since they are what a kernel goes along.
    """
    units = [Poly.of({(unit,): Fraction(1)}) for unit in theirs]
    whole = product(units)
    if known != ONE:
        left = whole / known
        if left is None or not left.whole:
            raise NoFit("One of its sizes would not be a whole number.")
        if not own and left != ONE:
            raise NoFit("Its sizes depend on each other in another way.")
        return dict.fromkeys(own, ONE) | ({own[0]: left} if own else {})
    if not own:
        raise NoFit("Its sizes depend on each other in another way.")
    first = len(units) - len(own) + 1
    parts = [product(units[:first]), *units[first:]] if first > 0 else units
    return dict(zip(own, [ONE] * (len(own) - len(parts)) + parts, strict=True))


def _check_tensors(found: Fit, problem: Problem) -> None:
    """Every tensor must be there, with as many elements, at all sizes that will be judged."""
    what = found.kernel.about.computes
    given = {s.name: s for s in problem.inputs}
    written = {s.name: s for s in problem.outputs}
    for own, names, specs in (
        (what.inputs, found.tensors, given),
        (what.written, found.outputs, written),
    ):
        for spec in own:
            if spec.name not in names:
                raise NoFit(f"Its {spec.name} is nothing in the problem.")
            why = _misfit(spec, specs[names[spec.name]], found, problem)
            if why is not None:
                raise NoFit(why)
    if set(found.outputs.values()) != set(written):
        raise NoFit("It does not write every output.")


def _misfit(spec: TensorSpec, other: TensorSpec, found: Fit, problem: Problem) -> str | None:
    """Why `other` of the problem cannot be the kernel's `spec`; None if it can."""
    if other.dtype != spec.dtype or (other.role == "scalar") != (spec.role == "scalar"):
        return f"Its {spec.name} is {spec.dtype}, and {other.name} {other.dtype}."
    for workload in problem.workloads:
        sizes = {axis: size.at(workload.axes) for axis, size in found.sizes.items()}
        if spec.elements(sizes) != other.elements(workload.axes):
            return f"Its {spec.name} has another number of elements."
    return None


def shape_of(spec: TensorSpec, sizes: Mapping[str, Poly]) -> tuple[Poly, ...]:
    """A kernel's tensor in sizes of the problem."""
    return tuple(sizes[d] if isinstance(d, str) else Poly.number(d) for d in spec.shape)
