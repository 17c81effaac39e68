"""Which inputs a gradient depends on, seen by changing them part by part.

That of a sum depends on no element that was summed, and none needs a bias that was added. For
worker processes only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from kernelwright.core.problem import Problem
from kernelwright.problems.drawing import draw_values
from kernelwright.problems.program import Program
from kernelwright.problems.twins import Twins, Values

# Neighbours are changed together, in so many parts of a tensor.
_PARTS = 16


def depended_on(of: Callable[[Mapping[str, int]], Twins], problem: Problem) -> tuple[str, ...]:
    """The names of the tensors, weights among them, each part of which decides something of what
    comes out. It is seen at the smallest workload; `of` gives the programs under its constants."""
    workload = min(problem.workloads, key=problem.traffic_bytes)
    twins = of(workload.constants)
    values, others = (draw_values(twins, problem.inputs, workload, "file", seed) for seed in (0, 1))
    program = twins.eager
    usual = _outputs(program, values)
    return tuple(
        spec.name
        for spec in problem.inputs
        if spec.role != "scalar" and _matters(program, values, others, spec.name, usual)
    )


def _matters(
    program: Program, values: Values, others: Values, name: str, usual: Sequence[Tensor]
) -> bool:
    """Whether each part of the tensor `name` matters, which is taken from `others`."""
    whole = values[name].reshape(-1)
    for part in torch.arange(whole.numel()).tensor_split(min(_PARTS, whole.numel())):
        changed = whole.clone()
        changed[part] = others[name].reshape(-1)[part].to(changed.dtype)
        found = _outputs(program, {**values, name: changed.view_as(values[name])})
        if all(map(_same, usual, found)):
            return False
    return True


def _same(one: Tensor, other: Tensor) -> bool:
    return torch.equal(one.nan_to_num(), other.nan_to_num())


def _outputs(program: Program, values: Values) -> list[Tensor]:
    return [output.detach().cpu() for output in program.run(program.take(values))]
