"""From a reference file to a `Program`: running the file, and naming its inputs and weights.

For worker processes only: the file is somebody's code. `problems.reference` is the way in from
everywhere else. What a problem's inputs and weights are called is decided here, once.
"""

from __future__ import annotations

import ast
import inspect
import linecache
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from kernelwright.core.errors import ProblemError
from kernelwright.core.problem import Direction, Source
from kernelwright.core.record import content_id
from kernelwright.problems.constants import with_constants
from kernelwright.problems.directions import direction_of
from kernelwright.problems.dtypes import is_plain
from kernelwright.problems.explaining import explained, file_name
from kernelwright.problems.gradients import find_gradients, leaves
from kernelwright.problems.naming import distinct
from kernelwright.problems.program import Program, file_inputs, made_for, seed_everything

_BUILD_SEED = 0
_FORMAT = "A reference file has a class Model and functions get_inputs and get_init_inputs."


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
    with made_for(device):
        module = _execute(source, constants)
        init_inputs, model = _build(module, source)
    model = model.to(device) if device not in ("cpu", "meta") else model
    values = file_inputs(module, source, _BUILD_SEED, device)
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


def _input_names(model: nn.Module, inputs: Sequence[Any], source: Source) -> list[str]:
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


def _weight_names(model: nn.Module, inputs: Sequence[str], source: Source) -> dict[str, str]:
    keys, seen = [], set()
    for key, value in model.state_dict(keep_vars=True).items():
        if not isinstance(value, Tensor):
            continue
        if not is_plain(value):
            raise ProblemError(
                f"{source.main_file}: the weight {key} is a {value.dtype} tensor; weights are "
                "dense and real."
            )
        if id(value) not in seen:
            keys.append(key)
        seen.add(id(value))
    return dict(zip(distinct(keys, taken=inputs, suffix="_param"), keys, strict=True))


def _differentiated(program: Program, direction: Direction, values: Sequence[Any]) -> Program:
    """`program` with the gradients of what `forward` gives for `values`."""
    with explained(program.source, "Model.forward"):
        given = leaves(values)
    with torch.enable_grad():
        outputs = program.forward(given)
    found = find_gradients(
        direction,
        program.source.main_file,
        program.input_names,
        given,
        program.variables(),
        outputs,
    )
    return replace(program, gradients=found, input_names=(*program.input_names, *found.cotangents))
