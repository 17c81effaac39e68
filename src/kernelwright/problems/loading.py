"""Running a reference file in this process: its model, inputs, weights and outputs.

For worker processes only: the file is somebody's code. `problems.reference` is the way in from
everywhere else. What a problem's inputs and weights are called is decided here, once.
"""

from __future__ import annotations

import ast
import inspect
import linecache
import random
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kernelwright.core.errors import ProblemError
from kernelwright.core.problem import Direction, DType, Source
from kernelwright.core.record import content_id
from kernelwright.problems.constants import with_constants
from kernelwright.problems.directions import direction_of
from kernelwright.problems.distributions import draw, generator
from kernelwright.problems.explaining import explained, file_name
from kernelwright.problems.gradients import Gradients, find_gradients, leaves
from kernelwright.problems.naming import distinct

DTYPES: dict[torch.dtype, DType] = {
    torch.float64: "float64", torch.float32: "float32", torch.float16: "float16",
    torch.bfloat16: "bfloat16", torch.float8_e4m3fn: "float8_e4m3fn",
    torch.float8_e5m2: "float8_e5m2", torch.int64: "int64", torch.int32: "int32",
    torch.int16: "int16", torch.int8: "int8", torch.uint8: "uint8", torch.bool: "bool",
}  # fmt: skip
TORCH_DTYPES: dict[DType, torch.dtype] = {ours: theirs for theirs, ours in DTYPES.items()}

_BUILD_SEED = 0
_FORMAT = "A reference file has a class Model and functions get_inputs and get_init_inputs."


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
        values = _make_inputs(self.module, self.source, seed, self.device)
        for name, like in zip(self.cotangent_names, self._likes, strict=True):
            drawn = draw("normal", tuple(like.shape), like.dtype, generator(seed, name))
            values.append(drawn.to(self.device))
        return values

    @property
    def _likes(self) -> tuple[Tensor, ...]:
        return self.gradients.likes if self.gradients else ()

    def weights(self) -> dict[str, Tensor]:
        """The model's weights, by `TensorSpec` name; they share the model's memory."""
        state = self.model.state_dict()
        return {name: state[key] for name, key in self.weight_names.items()}

    def set_weights(self, values: Mapping[str, Tensor]) -> None:
        """Copy `values`, by `TensorSpec` name and of any float dtype, into the model."""
        ours = self.weights()
        with torch.no_grad():
            for name, value in values.items():
                ours[name].copy_(value)

    def run(self, values: Sequence[Any]) -> tuple[Tensor, ...]:
        """One call on `values`, as `make_inputs` gives them; the results, flattened.

        Raises:
            ProblemError: it raised, or returned something else than tensors.
        """
        if self.gradients is None:
            with torch.no_grad():
                return _called(self.source, self.model, values)
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
            return _forward(called, values)
        weights = self.model.state_dict(keep_vars=True)
        named = {name: weights[key] for name, key in self.weight_names.items()}
        return self.gradients.step(lambda *given: flatten_outputs(called(*given)), values, named)


def _forward(model: Callable[..., Any], values: Sequence[Any]) -> Callable[[], tuple[Tensor, ...]]:
    """A forward call without gradients. Switching them off is left to whoever has done so."""

    def plain() -> tuple[Tensor, ...]:
        returned = model(*values)
        return (returned,) if isinstance(returned, Tensor) else flatten_outputs(returned)

    return torch.no_grad()(plain) if torch.is_grad_enabled() else plain


def _called(source: Source, model: nn.Module, values: Sequence[Any]) -> tuple[Tensor, ...]:
    with explained(source, "Model.forward"):
        returned = model(*values)
    try:
        return flatten_outputs(returned)
    except ProblemError as error:
        raise ProblemError(f"{source.main_file}: {error}") from error


def load_program(
    source: Source,
    constants: Mapping[str, int],
    *,
    device: str = "cpu",
    direction: Direction | None = None,
) -> Program:
    """Load `source` with module-level integer `constants` replaced, and build its `Model`.

    The model is built from a fixed seed and then moved to `device`, so it is the same in every
    process. On the device ``"meta"`` tensors have shapes and no values. With no `direction`, the
    file says what a call computes; where that are gradients, `forward` is called once to see which.

    Raises:
        ProblemError: a sentence saying what in the file is missing, broken or unsupported.
    """
    asked = direction_of(source, direction)
    with _context(device):
        module = _execute(source, constants)
        init_inputs, model = _build(module, source)
    model = model.to(device) if device not in ("cpu", "meta") else model
    values = _make_inputs(module, source, _BUILD_SEED, device)
    names = _input_names(model, values, source)
    program = Program(
        source=source,
        constants=dict(constants),
        device=device,
        module=module,
        model=model,
        init_inputs=init_inputs,
        input_names=tuple(names),
        weight_names=_weight_names(model, names, source),
    )
    return program if asked == "forward" else _differentiated(program, asked, values)


def _differentiated(program: Program, direction: Direction, values: Sequence[Any]) -> Program:
    """`program` with the gradients of what `forward` gives for `values`."""
    source, state = program.source, program.model.state_dict(keep_vars=True)
    with explained(source, "Model.forward"):
        given = leaves(values)
    with torch.enable_grad():
        outputs = _called(source, program.model, given)
    found = find_gradients(
        direction,
        source.main_file,
        program.input_names,
        given,
        {name: state[key] for name, key in program.weight_names.items()},
        outputs,
    )
    return replace(program, gradients=found, input_names=(*program.input_names, *found.cotangents))


def flatten_outputs(value: object) -> tuple[Tensor, ...]:
    """The tensors in what `forward` returned: a tensor, or tuples, lists and dicts of them.

    Raises:
        ProblemError: something else is in there, or nothing is.
    """
    found = tuple(_tensors(value))
    if not found:
        raise ProblemError(f"Model.forward returned {value!r:.80}, which holds no tensor.")
    return found


def seed_everything(seed: int) -> None:
    """Start every generator that a reference might use at `seed`."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def synchronize(device: str) -> None:
    """Wait until `device` has done what it was asked."""
    if device == "cuda":
        torch.cuda.synchronize()


def _context(device: str) -> Any:
    return torch.device("meta" if device == "meta" else "cpu")


def _execute(source: Source, constants: Mapping[str, int]) -> ModuleType:
    file = file_name(source)
    linecache.cache[file] = (len(source.text), None, source.text.splitlines(True), file)
    try:
        tree = with_constants(ast.parse(source.text, filename=file), constants)
        code = compile(tree, file, "exec")
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None) or 1
        message = getattr(error, "msg", str(error))
        raise ProblemError(f"{source.main_file} line {line}: syntax error: {message}.") from error
    module = ModuleType("kernelwright_reference_" + content_id(source.text, dict(constants)))
    module.__file__ = file
    # Dataclasses and pickling in the file look their module up by name.
    sys.modules[module.__name__] = module
    seed_everything(_BUILD_SEED)
    with explained(source, "importing it"):
        exec(code, module.__dict__)
    return module


def _build(module: ModuleType, source: Source) -> tuple[tuple[Any, ...], nn.Module]:
    for name in (source.name, "get_inputs", "get_init_inputs"):
        if not callable(getattr(module, name, None)):
            raise ProblemError(f"{source.main_file} has no {name}. {_FORMAT}")
    seed_everything(_BUILD_SEED)
    with explained(source, "get_init_inputs"):
        init_inputs = module.get_init_inputs()
    if not isinstance(init_inputs, list | tuple):
        raise ProblemError(
            f"{source.main_file}: get_init_inputs returned a {type(init_inputs).__name__}; "
            "it must return a list of the arguments of Model."
        )
    seed_everything(_BUILD_SEED)
    with explained(source, f"{source.name}(*get_init_inputs())"):
        model = getattr(module, source.name)(*init_inputs)
    if not isinstance(model, nn.Module):
        raise ProblemError(f"{source.main_file}: {source.name} is not a torch.nn.Module.")
    return tuple(init_inputs), model


def _make_inputs(module: ModuleType, source: Source, seed: int, device: str) -> list[Any]:
    seed_everything(seed)
    with explained(source, "get_inputs"), _context(device):
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
    if isinstance(value, Tensor) and value.layout == torch.strided and value.dtype in DTYPES:
        return value.detach().to(device).contiguous()
    kind = f"{value.dtype} tensor" if isinstance(value, Tensor) else type(value).__name__
    raise ProblemError(
        f"{source.main_file}: value {at} of get_inputs is a {kind}. Inputs are dense real "
        "tensors or Python numbers; put anything else into get_init_inputs."
    )


def _input_names(model: nn.Module, inputs: list[Any], source: Source) -> list[str]:
    signature = inspect.signature(model.forward)
    try:
        bound = signature.bind(*inputs)
    except TypeError as error:
        raise ProblemError(
            f"{source.main_file}: get_inputs gives {len(inputs)} values, which do not fit "
            f"forward{signature}: {error}."
        ) from error
    wanted: list[str] = []
    for name, value in bound.arguments.items():
        several = signature.parameters[name].kind is inspect.Parameter.VAR_POSITIONAL
        wanted += [f"{name}{i}" for i in range(len(value))] if several else [name]
    return distinct(wanted)


def _weight_names(model: nn.Module, inputs: list[str], source: Source) -> dict[str, str]:
    keys, seen = [], set()
    for key, value in model.state_dict(keep_vars=True).items():
        if not isinstance(value, Tensor):
            continue
        if value.dtype not in DTYPES or value.layout != torch.strided:
            raise ProblemError(
                f"{source.main_file}: the weight {key} is a {value.dtype} tensor; weights are "
                "dense and real."
            )
        if id(value) not in seen:
            keys.append(key)
        seen.add(id(value))
    return dict(zip(distinct(keys, taken=inputs, suffix="_param"), keys, strict=True))


def _tensors(value: object) -> Iterator[Tensor]:
    match value:
        case Tensor():
            if value.dtype not in DTYPES or value.layout != torch.strided:
                raise ProblemError(
                    f"Model.forward returned a {value.dtype} tensor; outputs are dense and real "
                    "(torch.view_as_real makes a complex one real)."
                )
            yield value
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
