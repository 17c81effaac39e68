"""Wrong outputs that need no run of the program: constants, leftovers, inputs, shuffled elements.

With several outputs, each is made wrong by itself while the others stay right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from kernelwright.core.problem import Problem
from kernelwright.problems.scene import Make, NotApplicable, Outputs, Scene

_WIDEST_TILE = 32

# What one output is made into, from the scene and the output's position.
_Wrong = Callable[[Scene, int], Tensor]


def output_mutants(problem: Problem) -> Iterator[tuple[str, Make]]:
    """Every mutant of this kind, by name."""
    names = [spec.name for spec in problem.outputs]
    for at, name in enumerate(names):
        said = f" in {name}" if len(names) > 1 else ""
        for title, wrong in _WRONG.items():
            yield title + said, _in_place_of(at, wrong)
        for spec in problem.inputs:
            if spec.role == "input":
                yield f"passthrough of {spec.name}{said}", _in_place_of(at, _passthrough(spec.name))


def _in_place_of(at: int, wrong: _Wrong) -> Make:
    def make(scene: Scene) -> Outputs:
        made = wrong(scene, at)
        return tuple(made if i == at else right for i, right in enumerate(scene.eager))

    return make


def _zeros(scene: Scene, at: int) -> Tensor:
    return torch.zeros_like(scene.eager[at])


def _mean(scene: Scene, at: int) -> Tensor:
    right = scene.eager[at]
    if right.numel() <= 1:
        raise NotApplicable("the output has one element, which is its own mean")
    return torch.full_like(right, right.double().mean().item())


def _stale(scene: Scene, at: int) -> Tensor:
    return scene.previous[at]


def _another_seed(scene: Scene, at: int) -> Tensor:
    return scene.other_outputs[at]


def _last_row_stale(scene: Scene, at: int) -> Tensor:
    return _stale_end(scene, at, rows=1, columns=None)


def _last_column_stale(scene: Scene, at: int) -> Tensor:
    if scene.eager[at].dim() < 2:
        raise NotApplicable("the output has no columns")
    return _stale_end(scene, at, rows=None, columns=1)


def _last_tile_stale(scene: Scene, at: int) -> Tensor:
    return _stale_end(scene, at, rows=_WIDEST_TILE, columns=_WIDEST_TILE)


def _stale_end(scene: Scene, at: int, *, rows: int | None, columns: int | None) -> Tensor:
    """The right output, but its last rows, columns, or both are from another case."""
    right = scene.eager[at].clone()
    if right.dim() == 0 or right.numel() < 2:
        raise NotApplicable("the output has no rows")
    where: list[slice] = [slice(None)] * right.dim()
    for axis, most in ((0, rows), (right.dim() - 1, columns)):
        if most is not None and right.shape[axis] > 1:
            where[axis] = slice(-min(most, -(-right.shape[axis] // 4)), None)
    right[tuple(where)] = scene.other_outputs[at][tuple(where)]
    return right


def _rows_shifted(scene: Scene, at: int) -> Tensor:
    right = scene.eager[at]
    if right.dim() == 0 or right.shape[0] < 2:
        raise NotApplicable("the output has no rows")
    return right.roll(1, 0)


def _transposed(scene: Scene, at: int) -> Tensor:
    right = scene.eager[at]
    if right.dim() < 2 or min(right.shape[-2:]) < 2:
        raise NotApplicable("the output has no two axes to swap")
    return right.mT.reshape(right.shape)


def _passthrough(name: str) -> _Wrong:
    def wrong(scene: Scene, at: int) -> Tensor:
        value, right = scene.answer.values[name], scene.eager[at]
        if not isinstance(value, Tensor) or (value.shape, value.dtype) != (
            right.shape,
            right.dtype,
        ):
            raise NotApplicable(f"the output has not the shape and type of {name}")
        return value

    return wrong


_WRONG: dict[str, _Wrong] = {
    "zeros": _zeros,
    "mean": _mean,
    "stale": _stale,
    "another seed": _another_seed,
    "last row stale": _last_row_stale,
    "last column stale": _last_column_stale,
    "last tile stale": _last_tile_stale,
    "rows shifted": _rows_shifted,
    "transposed": _transposed,
}
