"""A loaded reference program: its weights, its inputs, and calling it.

For worker processes only: the file is somebody's code. `problems.loading` makes programs.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kernelwright.core.errors import ProblemError
from kernelwright.core.problem import Direction, Source
from kernelwright.problems.distributions import draw, generator
from kernelwright.problems.dtypes import is_plain
from kernelwright.problems.explaining import explained
from kernelwright.problems.gradients import Gradients


@dataclass(frozen=True, kw_only=True)
class Program:
    """A loaded file.

    `input_names` name the values of `make_inputs` in order: the arguments of `forward`, then the
    cotangents, if there are `gradients`. `weight_names` maps the name of each weight's `TensorSpec`
    to its key in ``model.state_dict()``, in that order. A tensor that the state_dict holds under
    two keys appears once. `init_inputs` are what `Model` was made with.
    """

    source: Source
    constants: Mapping[str, int]
    device: str
    module: ModuleType
    model: nn.Module
    init_inputs: tuple[Any, ...]
    input_names: tuple[str, ...]
    weight_names: Mapping[str, str]
    gradients: Gradients | None = None

    @property
    def direction(self) -> Direction:
        """What a call computes."""
        return self.gradients.direction if self.gradients else "forward"

    @property
    def cotangent_names(self) -> tuple[str, ...]:
        """The last of `input_names`: there is one cotangent for each differentiable output."""
        return tuple(self.gradients.cotangents) if self.gradients else ()

    @property
    def forward_only(self) -> Program:
        """The same program and model, without its gradients."""
        count = len(self.input_names) - len(self.cotangent_names)
        return replace(self, gradients=None, input_names=self.input_names[:count])

    def make_inputs(self, seed: int) -> list[Any]:
        """What the file's `get_inputs` gives when every generator starts at `seed`, and normal
        cotangents."""
        values = file_inputs(self.module, self.source, seed, self.device)
        if self.gradients is not None:
            for name, like in zip(self.gradients.cotangents, self.gradients.likes, strict=True):
                drawn = draw("normal", tuple(like.shape), like.dtype, generator(seed, name))
                values.append(drawn.to(self.device))
        return values

    def weights(self) -> dict[str, Tensor]:
        """The model's weights, by `TensorSpec` name; they share the model's memory."""
        state = self.model.state_dict()
        return {name: state[key] for name, key in self.weight_names.items()}

    def variables(self) -> dict[str, Tensor]:
        """As `weights`, but the tensors that the model itself holds, which autograd follows."""
        state = self.model.state_dict(keep_vars=True)
        return {name: state[key] for name, key in self.weight_names.items()}

    def set_weights(self, values: Mapping[str, Tensor]) -> None:
        """Copy `values`, by `TensorSpec` name and of any float dtype, into the model."""
        ours = self.weights()
        with torch.no_grad():
            for name, value in values.items():
                ours[name].copy_(value)

    def take(self, values: Mapping[str, Any]) -> list[Any]:
        """Set the weights that are among `values`, which are by name; give the inputs among them
        in the order and on the device in which a call wants them."""
        self.set_weights({n: v for n, v in values.items() if n in self.weight_names})
        inputs = [values[name] for name in self.input_names]
        return [v.to(self.device) if isinstance(v, Tensor) else v for v in inputs]

    def forward(self, values: Sequence[Any]) -> tuple[Tensor, ...]:
        """What `forward` gives, flattened, with autograd on or off as the caller has set it.

        Raises:
            ProblemError: it raised, or returned something else than tensors.
        """
        with explained(self.source, "Model.forward"):
            returned = self.model(*values)
        try:
            return flatten_outputs(returned)
        except ProblemError as error:
            raise ProblemError(f"{self.source.main_file}: {error}") from error

    def run(self, values: Sequence[Any]) -> tuple[Tensor, ...]:
        """One call on `values`, as `make_inputs` gives them; the results, flattened.

        Raises:
            ProblemError: it raised, or returned something else than tensors.
        """
        if self.gradients is None:
            with torch.no_grad():
                return self.forward(values)
        with explained(self.source, f"its {self.direction.replace('_', ' and ')} pass"):
            return self.prepare(values)()

    def prepare(
        self, values: Sequence[Any], model: Callable[..., Any] | None = None
    ) -> Callable[[], tuple[Tensor, ...]]:
        """The part of one call on `values` that a clock is to see, to be called once.

        Forward, and forward and backward together: all of it. Backward: what follows the forward
        pass, which runs here. `model` may be a compiled form of this program's. Gradients are
        switched on where they are needed, whatever the caller has set; nothing is kept afterwards.
        The weights must not be set in between. What the file raises comes through as it is.
        """
        called = self.model if model is None else model
        if self.gradients is None:
            return _without_gradients(called, values)
        return self.gradients.step(
            lambda *given: flatten_outputs(called(*given)), values, self.variables()
        )


def _without_gradients(
    model: Callable[..., Any], values: Sequence[Any]
) -> Callable[[], tuple[Tensor, ...]]:
    """A forward call without gradients. Switching them off is left to whoever has done so."""

    def plain() -> tuple[Tensor, ...]:
        returned = model(*values)
        return (returned,) if isinstance(returned, Tensor) else flatten_outputs(returned)

    return torch.no_grad()(plain) if torch.is_grad_enabled() else plain


def flatten_outputs(value: object) -> tuple[Tensor, ...]:
    """The tensors in what `forward` returned: a tensor, or tuples, lists and dicts of them.

    Raises:
        ProblemError: something else is in there, or nothing is.
    """
    found = tuple(_tensors(value))
    if not found:
        raise ProblemError(f"Model.forward returned {value!r:.80}, which holds no tensor.")
    return found


def _tensors(value: object) -> Iterator[Tensor]:
    match value:
        case Tensor() if is_plain(value):
            yield value
        case Tensor():
            raise ProblemError(
                f"Model.forward returned a {value.dtype} tensor; outputs are dense and real "
                "(torch.view_as_real makes a complex one real)."
            )
        case Mapping():
            for one in value.values():
                yield from _tensors(one)
        case list() | tuple():
            for one in value:
                yield from _tensors(one)
        case _:
            raise ProblemError(
                f"Model.forward returned a {type(value).__name__}; it must return a tensor, or "
                "a tuple, list or dict of tensors."
            )


def file_inputs(module: ModuleType, source: Source, seed: int, device: str) -> list[Any]:
    """What `get_inputs` of the `module` that `source` became gives, on `device`.

    Raises:
        ProblemError: it raised, or gave something that no kernel can be given.
    """
    seed_everything(seed)
    with explained(source, "get_inputs"), made_for(device):
        values = module.get_inputs()
    if not isinstance(values, list | tuple):
        raise ProblemError(
            f"{source.main_file}: get_inputs returned a {type(values).__name__}; "
            "it must return a list of the arguments of Model.forward."
        )
    return [_input(value, at, source, device) for at, value in enumerate(values)]


def _input(value: Any, at: int, source: Source, device: str) -> Any:
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, Tensor) and is_plain(value):
        return value.detach().to(device).contiguous()
    kind = f"{value.dtype} tensor" if isinstance(value, Tensor) else type(value).__name__
    raise ProblemError(
        f"{source.main_file}: value {at} of get_inputs is a {kind}. Inputs are dense real "
        "tensors or Python numbers; put anything else into get_init_inputs."
    )


def made_for(device: str) -> torch.device:
    """A context for somebody's code to make its tensors in: on the CPU, from where they are moved,
    so that they are the same for every device; or without values, on ``"meta"``."""
    return torch.device("meta" if device == "meta" else "cpu")


def seed_everything(seed: int) -> None:
    """Start every generator that a reference might use at `seed`."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def synchronize(device: str) -> None:
    """Wait until `device` has done what it was asked."""
    if device == "cuda":
        torch.cuda.synchronize()
