"""Wrong programs: an input left out, a reduction cut short, a constant or a precision off.

Each is the reference itself, run on other inputs or with one operator changed (`rewriting`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from kernelwright.core.problem import Problem
from kernelwright.problems.rewriting import (
    Change,
    LargerConstant,
    OneReduction,
    Survey,
    rewriting,
)
from kernelwright.problems.scene import Make, NotApplicable, Outputs, Scene
from kernelwright.problems.twins import Values

_FEWER_BITS = {
    torch.float64: torch.float32, torch.float32: torch.bfloat16,
    torch.float16: torch.float8_e4m3fn, torch.bfloat16: torch.float8_e4m3fn,
}  # fmt: skip
_NOT_THERE = {
    "a slice fewer": "the program reduces nothing",
    "wrong axis": "the program reduces nothing",
    "epsilon times 100": "the program has no constant below 0.01",
}


def program_mutants(problem: Problem, scene: Scene) -> Iterator[tuple[str, Make]]:
    """Every mutant of this kind, by name; `scene` shows what operators the program has."""
    yield "fewer bits", _fewer_bits
    for spec in problem.inputs:
        yield f"{spec.name} ignored", _ignored(spec.name)
        yield f"{spec.name} as zeros", _as_constant(spec.name, 0)
        yield f"{spec.name} as ones", _as_constant(spec.name, 1)
    survey = Survey()
    with rewriting(survey):
        scene.run(scene.answer.values)
    for way, title in (("shorter", "a slice fewer"), ("turned", "wrong axis")):
        for position, name in survey.longest:
            yield f"{title} in {name}", _reduced(position, way)
    for constant in sorted(survey.constants):
        yield f"epsilon {constant:.3g} times 100", _larger(constant)
    yield from _absent(survey)


def _absent(survey: Survey) -> Iterator[tuple[str, Make]]:
    """Entries that say why a mutant of the list is missing."""
    missing = [] if survey.reductions else ["a slice fewer", "wrong axis"]
    missing += [] if survey.constants else ["epsilon times 100"]
    for title in missing:
        yield title, _never(_NOT_THERE[title])


def _never(reason: str) -> Make:
    def make(_: Scene) -> Outputs:
        raise NotApplicable(reason)

    return make


def _fewer_bits(scene: Scene) -> Outputs:
    """The same program on operands rounded to the next narrower type."""
    if not any(o.is_floating_point() for o in scene.eager):
        raise NotApplicable("the output is not a float, and a rounded operand may leave it right")
    values: Values = {}
    changed = False
    for name, value in scene.answer.values.items():
        narrow = _FEWER_BITS.get(value.dtype) if isinstance(value, Tensor) else None
        values[name] = value if narrow is None else _rounded(value, narrow)
        changed |= narrow is not None
    if not changed:
        raise NotApplicable("no input is a float")
    return scene.run(values)


def _rounded(value: Tensor, narrow: torch.dtype) -> Tensor:
    largest = torch.finfo(narrow).max
    return value.clamp(-largest, largest).to(narrow).to(value.dtype)


def _ignored(name: str) -> Make:
    """The value that this input had in the other case stands in for it."""
    return lambda scene: _with(scene, name, scene.other_values[name])


def _as_constant(name: str, constant: int) -> Make:
    def make(scene: Scene) -> Outputs:
        value = scene.answer.values[name]
        if not isinstance(value, Tensor):
            return _with(scene, name, type(value)(constant))
        return _with(scene, name, torch.full_like(value, constant))

    return make


def _with(scene: Scene, name: str, value: object) -> Outputs:
    before = scene.answer.values[name]
    if _equal(before, value):
        raise NotApplicable(f"{name} is the same in every case")
    changed = {**scene.answer.values, name: value}
    outputs = scene.run(changed)
    if scene.passes(outputs) and not scene.has_effect(scene.run_exactly(changed)):
        raise NotApplicable(f"the result does not depend on {name}")
    return outputs


def _equal(a: object, b: object) -> bool:
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return torch.equal(a.double(), b.double())
    return a == b


def _reduced(position: int, way: str) -> Make:
    return _rewritten(lambda: OneReduction(position, way))


def _larger(constant: float) -> Make:
    return _rewritten(lambda: LargerConstant(constant))


def _rewritten(fresh: Callable[[], Change]) -> Make:
    """The program with the operator changed that ``fresh()`` changes."""

    def make(scene: Scene) -> Outputs:
        if not scene.can_be_rewritten:
            raise NotApplicable("its operators cannot be taken apart")
        change = fresh()
        with rewriting(change):
            outputs = scene.run(scene.answer.values)
        if change.refused is not None:
            raise NotApplicable(change.refused)
        if scene.passes(outputs) and not _has_effect(scene, fresh()):
            raise NotApplicable("it does not change the result")
        return outputs

    return make


def _has_effect(scene: Scene, change: Change) -> bool:
    with rewriting(change):
        outputs = scene.run_exactly(scene.answer.values)
    return scene.has_effect(outputs)
