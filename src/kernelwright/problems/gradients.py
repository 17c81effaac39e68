"""Gradients of a reference: which tensors have one, what they are called, how they come about.

For worker processes only, like `problems.program`, which is the way in. A gradient is
what PyTorch's autograd gives for the cotangents of the outputs, as `backward` leaves it: in memory
of its own, and zeros where an output does not depend on the tensor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from kernelwright.core.errors import ProblemError
from kernelwright.core.problem import Direction
from kernelwright.problems.naming import distinct

_NOTHING_WANTED = (
    "there is nothing to differentiate: no input is a floating-point tensor, and there is no "
    "parameter that requires grad. Ask for the forward direction."
)
_NOTHING_DIFFERENTIABLE = (
    "none of its outputs can be differentiated: they are integers, or were computed without a "
    "gradient (detach, torch.no_grad, rounding). Ask for the forward direction."
)

Outputs = tuple[Tensor, ...]
Forward = Callable[..., Outputs]


@dataclass(frozen=True, kw_only=True)
class Gradients:
    """The names and places of a program's cotangents and gradients.

    `outputs` name what `forward` returns. `cotangents` map the name of each cotangent to the output
    that it belongs to, of which `likes` has the shape and type. `inputs` map the name of a gradient
    to the argument of `forward` that it is of, `weights` to the `TensorSpec` name of the weight.
    """

    direction: Direction
    outputs: tuple[str, ...]
    cotangents: Mapping[str, int]
    likes: tuple[Tensor, ...]
    inputs: Mapping[str, int]
    weights: Mapping[str, str]

    @property
    def names(self) -> tuple[str, ...]:
        """What a call gives, in order."""
        forward = self.outputs if self.direction == "forward_backward" else ()
        return (*forward, *self.inputs, *self.weights)

    def sources(self, input_names: Sequence[str]) -> dict[str, str]:
        """The name of each gradient, and of the tensor that it is of; `input_names` are those of
        the arguments of `forward`."""
        return {name: input_names[at] for name, at in self.inputs.items()} | dict(self.weights)

    def step(
        self, forward: Forward, values: Sequence[Any], weights: Mapping[str, Tensor]
    ) -> Callable[[], Outputs]:
        """The part of one call that the direction is about; it may be called once.

        `values` are the arguments of `forward`, then the cotangents; `weights` are the parameters
        by `TensorSpec` name. For backward `forward` runs here, and the part is what follows.
        """
        count = len(values) - len(self.cotangents)
        given, cotangents = leaves(values[:count]), tuple(values[count:])
        wanted = [given[at] for at in self.inputs.values()]
        wanted += [weights[name] for name in self.weights.values()]
        used = {_memory(v) for v in (*values, *weights.values()) if isinstance(v, Tensor)}

        def gradients(outputs: Outputs) -> Outputs:
            found = torch.autograd.grad(
                [outputs[at] for at in self.cotangents.values()],
                wanted,
                grad_outputs=cotangents,
                allow_unused=True,
                materialize_grads=True,
            )
            return _in_own_memory(found, used)

        if self.direction == "backward":
            with torch.enable_grad():
                held = [forward(*given)]
            # Popped, so that nothing keeps the graph alive after the call.
            return lambda: gradients(held.pop())

        def both() -> Outputs:
            with torch.enable_grad():
                outputs = forward(*given)
            found = gradients(outputs)
            return (*(output.detach() for output in outputs), *found)

        return both


def leaves(values: Sequence[Any]) -> list[Any]:
    """`values` as autograd sees them for the first time; floating-point tensors want gradients."""
    return [
        v.detach().requires_grad_(v.is_floating_point()) if isinstance(v, Tensor) else v
        for v in values
    ]


def _memory(tensor: Tensor) -> int:
    """Two tensors with the same number share memory."""
    number: int = tensor.untyped_storage()._cdata
    return number


def _in_own_memory(found: Sequence[Tensor], used: set[int]) -> Outputs:
    """`found` as it is, but for gradients that share memory with something else, or with
    themselves: the gradient of a sum is one number seen many times."""
    taken, owned = set(used), []
    for gradient in found:
        if not gradient.is_contiguous() or _memory(gradient) in taken:
            gradient = gradient.clone(memory_format=torch.contiguous_format)
        taken.add(_memory(gradient))
        owned.append(gradient)
    return tuple(owned)


def find_gradients(
    direction: Direction,
    file: str,
    input_names: Sequence[str],
    given: Sequence[Any],
    weights: Mapping[str, Tensor],
    outputs: Sequence[Tensor],
) -> Gradients:
    """What has a gradient, given one forward call on `leaves` that were `given`.

    Raises:
        ProblemError: there is nothing to differentiate, or nothing that can be differentiated.
    """
    inputs = [at for at, v in enumerate(given) if isinstance(v, Tensor) and v.requires_grad]
    learned = [name for name, weight in weights.items() if weight.requires_grad]
    if not inputs and not learned:
        raise ProblemError(f"{file}: {_NOTHING_WANTED}")
    differentiable = [at for at, output in enumerate(outputs) if output.requires_grad]
    if not differentiable:
        raise ProblemError(f"{file}: {_NOTHING_DIFFERENTIABLE}")
    taken = [*input_names, *weights]
    named = distinct(output_names(len(outputs)), taken=taken)
    cotangents = distinct([f"grad_{named[at]}" for at in differentiable], taken=taken + named)
    taken += named + cotangents
    gradients = distinct(
        [*(f"grad_{input_names[at]}" for at in inputs), *(f"grad_{n}" for n in learned)],
        taken=taken,
    )
    return Gradients(
        direction=direction,
        outputs=tuple(named),
        cotangents=dict(zip(cotangents, differentiable, strict=True)),
        likes=tuple(outputs[at].detach().to("meta") for at in differentiable),
        inputs=dict(zip(gradients, inputs, strict=False)),
        weights=dict(zip(gradients[len(inputs) :], learned, strict=True)),
    )


def output_names(count: int) -> list[str]:
    """What `count` outputs of `forward` are called."""
    return ["out"] if count == 1 else [f"out{at}" for at in range(count)]
