"""The reference of a delivered module that gives gradients: what runs whenever the kernel may not.

The text of this file is copied into ``best_module.py`` after that of `checks`; it imports nothing
else of Kernelwright.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from kernelwright.run.delivered.checks import Facts, leaves, weights_of


def in_direction(model: type[nn.Module], facts: Facts) -> type[nn.Module]:
    """`model`, or a class of it whose `forward` takes cotangents too and returns gradients.

    Like `torch.autograd.grad`, it gives tensors that know nothing of how they came about.
    """
    if facts["direction"] == "forward":
        return model

    class Differentiated(model):  # type: ignore[misc, valid-type]
        def forward(self, *values: Any) -> tuple[Tensor, ...]:
            count = len(values) - len(facts["cotangents"])
            given = [_leaf(value) for value in values[:count]]
            weights = [table[name] for table, name in weights_of(self)]
            wanted = _wanted(facts, [*given, *weights])
            with torch.enable_grad(), _learning(wanted):
                outputs = list(leaves(super().forward(*given)))
                found = torch.autograd.grad(
                    [output for output in outputs if output.requires_grad],
                    wanted,
                    grad_outputs=values[count:],
                    allow_unused=True,
                    materialize_grads=True,
                )
            both = facts["direction"] == "forward_backward"
            return (*(o.detach() for o in outputs if both), *found)

    return Differentiated


def in_calling_order(inputs: Sequence[Any], weights: Sequence[Any], facts: Facts) -> list[Any]:
    """The values of all of the problem's inputs: arguments, weights, cotangents."""
    count = len(inputs) - len(facts["cotangents"])
    return [*inputs[:count], *weights, *inputs[count:]]


def _leaf(value: Any) -> Any:
    """`value` as autograd sees it for the first time."""
    if not isinstance(value, Tensor):
        return value
    return value.detach().requires_grad_(value.is_floating_point())


def _wanted(facts: Facts, values: Sequence[Any]) -> list[Tensor]:
    """The tensors whose gradients were asked for, in that order."""
    at = {spec["name"]: position for position, spec in enumerate(facts["inputs"])}
    return [values[at[name]] for name in facts["gradients"].values()]


@contextmanager
def _learning(tensors: Sequence[Tensor]) -> Iterator[None]:
    """A parameter that was frozen since has a gradient all the same."""
    frozen = [tensor for tensor in tensors if not tensor.requires_grad]
    for tensor in frozen:
        tensor.requires_grad_(True)
    try:
        yield
    finally:
        for tensor in frozen:
            tensor.requires_grad_(False)
