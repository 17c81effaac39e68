"""A loaded program, and its gradients, as one flat function, to be exported or compiled.

It is run once on tensors without values, and what happened is written down: the result is a module
of plain operators, in which nothing is left of the modules of a program, or of autograd.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from kernelwright.problems.program import Program, flatten_outputs


@dataclass(frozen=True, kw_only=True)
class FlatStep:
    """A module that takes `tensors`, called `names`: the tensors among the inputs, the weights."""

    module: torch.fx.GraphModule
    tensors: tuple[Tensor, ...]
    names: tuple[str, ...]


def flat_step(
    program: Program, values: Sequence[Any], decompositions: Mapping[Any, Callable[..., Any]]
) -> FlatStep:
    """What a call of `program` on `values` computes; numbers among them are written into it.

    It is taken apart by `decompositions` here: an export would leave some of autograd's operators
    whole.

    Whatever an operator raises that cannot run without values comes through as it is.
    """
    gradients = program.gradients
    places = [at for at, value in enumerate(values) if isinstance(value, Tensor)]
    weights = program.variables()

    def step(*tensors: Tensor) -> tuple[Tensor, ...]:
        given = list(values)
        for at, tensor in zip(places, tensors, strict=False):
            given[at] = tensor
        named = dict(zip(weights, tensors[len(places) :], strict=True))
        keyed = {program.weight_names[name]: tensor for name, tensor in named.items()}

        def forward(*a: Any) -> tuple[Tensor, ...]:
            return flatten_outputs(torch.func.functional_call(program.model, keyed, a))

        return forward(*given) if gradients is None else gradients.step(forward, given, named)()

    learning = [weight.detach().requires_grad_(weight.requires_grad) for weight in weights.values()]
    tensors = (*(values[at] for at in places), *learning)
    module = make_fx(step, decomposition_table=dict(decompositions), tracing_mode="fake")(*tensors)
    module.graph.eliminate_dead_code()
    module.recompile()
    return FlatStep(
        module=module,
        tensors=tuple(tensor.detach() for tensor in tensors),
        names=(*(program.input_names[at] for at in places), *weights),
    )
