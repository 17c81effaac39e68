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
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kernelwright.core.errors import ProblemError
from kernelwright.core.problem import DType, Source
from kernelwright.core.record import content_id
from kernelwright.problems.constants import with_constants
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
_NO_CUDA = ("no nvidia driver", "not compiled with cuda", "no cuda gpus", "cuda is not available",
            "cuda driver", "cuda error", "deserialize object on a cuda device")  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Program:
    """A loaded file.

    `input_names` name the values of `make_inputs` in order; `weight_names` maps the name of each
    weight's `TensorSpec` to its key in ``model.state_dict()``, in that order. A tensor that the
    state_dict holds under two keys appears once. `init_inputs` are what `Model` was made with.
    """

    source: Source
    constants: Mapping[str, int]
    device: str
    module: ModuleType
    model: nn.Module
    init_inputs: tuple[Any, ...]
    input_names: tuple[str, ...]
    weight_names: Mapping[str, str]

    def make_inputs(self, seed: int) -> list[Any]:
        """What the file's `get_inputs` gives when every generator starts at `seed`."""
        return _make_inputs(self.module, self.source, seed, self.device)

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

    def run(self, inputs: Sequence[Any]) -> tuple[Tensor, ...]:
        """One forward call without gradients; the outputs, flattened.

        Raises:
            ProblemError: it raised, or returned something else than tensors.
        """
        with explained(self.source, "Model.forward"), torch.no_grad():
            returned = self.model(*inputs)
        try:
            return flatten_outputs(returned)
        except ProblemError as error:
            raise ProblemError(f"{self.source.main_file}: {error}") from error


def load_program(source: Source, constants: Mapping[str, int], *, device: str = "cpu") -> Program:
    """Load `source` with module-level integer `constants` replaced, and build its `Model`.

    The model is built from a fixed seed and then moved to `device`, so it is the same in every
    process. On the device ``"meta"`` tensors have shapes and no values.

    Raises:
        ProblemError: a sentence saying what in the file is missing, broken or unsupported.
    """
    with _context(device):
        module = _execute(source, constants)
        init_inputs, model = _build(module, source)
    model = model.to(device) if device not in ("cpu", "meta") else model
    names = _input_names(model, _make_inputs(module, source, _BUILD_SEED, device), source)
    return Program(
        source=source,
        constants=dict(constants),
        device=device,
        module=module,
        model=model,
        init_inputs=init_inputs,
        input_names=tuple(names),
        weight_names=_weight_names(model, names, source),
    )


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


@contextmanager
def explained(source: Source, doing: str) -> Iterator[None]:
    """Turn what the file raises into a `ProblemError` that names the file, line and step.

    This is the boundary to somebody's code, which may raise anything.
    """
    try:
        yield
    except ProblemError:
        raise
    except (Exception, SystemExit) as error:
        raise ProblemError(_explanation(source, doing, error)) from error


def _explanation(source: Source, doing: str, error: BaseException) -> str:
    name = source.main_file
    file = _file_name(source)
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == file]
    where = f"{name} line {lines[-1]}" if lines else name
    text = " ".join(str(error).split())[:400]
    if isinstance(error, SystemExit):
        return f"{where}: {doing} ends the process (SystemExit {text}). Remove the exit."
    if any(sign in text.lower() for sign in _NO_CUDA):
        return (
            f"{where}: {doing} needs a CUDA device, and the reference runs on the CPU here. "
            f"Remove .cuda() and device='cuda' from {name}; tensors are moved for you. ({text})"
        )
    if isinstance(error, ModuleNotFoundError):
        return (
            f"{where}: {doing} needs the module {error.name!r}, which cannot be imported. "
            f"Install it in this environment, or put its code into {name}."
        )
    if isinstance(error, MemoryError) or "can't allocate memory" in text:
        return f"{where}: {doing} needs more memory than there is. Make its sizes smaller. ({text})"
    return f"{where}: {doing} raised {type(error).__name__}: {text}"


def _file_name(source: Source) -> str:
    """A name that no real file has, so that tracebacks and `inspect` find this text."""
    return f"<reference {content_id(source.text)}>/{source.main_file}"


def _context(device: str) -> Any:
    return torch.device("meta" if device == "meta" else "cpu")


def _execute(source: Source, constants: Mapping[str, int]) -> ModuleType:
    file = _file_name(source)
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
