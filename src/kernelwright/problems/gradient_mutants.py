"""Wrong gradients: left out, of the wrong sign, added to what was there, or not summed.

For problems with a direction, besides what `wrong_outputs` and `wrong_programs` do to every one:
those already take each cotangent for zeros and for ones, and each gradient by itself for zeros.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from kernelwright.core.problem import Problem
from kernelwright.problems.scene import Make, NotApplicable, Outputs, Scene


def gradient_mutants(problem: Problem) -> Iterator[tuple[str, Make]]:
    """Every mutant of this kind, by name; none for a forward problem."""
    at = {spec.name: position for position, spec in enumerate(problem.outputs)}
    places = {name: at[name] for name in problem.gradients}
    if not places:
        return
    yield "no gradients", _without(tuple(places.values()))
    for name, place in places.items():
        if len(places) > 1:
            yield f"{name} alone", _without(tuple(p for p in places.values() if p != place))
        yield f"sign of {name} flipped", _flipped(place)
        yield f"{name} added to what was there", _accumulated(place)
        yield f"{name} not summed", _of_rows(problem, place, slice(0, 1))
        yield f"{name} a row short", _of_rows(problem, place, slice(0, -1))
    yield "cotangents without their signs", _unsigned(tuple(problem.cotangents))


def _without(places: tuple[int, ...]) -> Make:
    def make(scene: Scene) -> Outputs:
        if not any(scene.eager[at].any() for at in places):
            raise NotApplicable("these gradients are zeros")
        return tuple(torch.zeros_like(o) if at in places else o for at, o in enumerate(scene.eager))

    return make


def _replaced(scene: Scene, place: int, wrong: Tensor) -> Outputs:
    right = scene.eager[place]
    if torch.equal(right.double(), wrong.double()):
        raise NotApplicable("this leaves the gradient as it is")
    return tuple(wrong if at == place else o for at, o in enumerate(scene.eager))


def _flipped(place: int) -> Make:
    return lambda scene: _replaced(scene, place, -scene.eager[place])


def _accumulated(place: int) -> Make:
    return lambda scene: _replaced(scene, place, scene.eager[place] + scene.previous[place])


def _of_rows(problem: Problem, place: int, kept: slice) -> Make:
    """The gradient as some rows of the cotangents give it: a sum over the rows that is missing, or
    that ends too early."""

    def make(scene: Scene) -> Outputs:
        values = dict(scene.answer.values)
        for name in problem.cotangents:
            whole = values[name]
            if whole.dim() and whole.shape[0] > 1:
                values[name] = torch.zeros_like(whole)
                values[name][kept] = whole[kept]
        wrong = scene.run(values)[place]
        if wrong.dim() and any(
            wrong.shape[0] == len(values[name]) for name in problem.cotangents if values[name].dim()
        ):
            raise NotApplicable("the gradient has rows of its own, over which nothing is summed")
        return _replaced(scene, place, wrong)

    return make


def _unsigned(names: tuple[str, ...]) -> Make:
    def make(scene: Scene) -> Outputs:
        values = scene.answer.values
        return scene.run({**values, **{name: values[name].abs() for name in names}})

    return make
