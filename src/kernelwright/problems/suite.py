"""The built-in problems by name, and reading reference files in general. No torch.

Each problem is a file in `problems.builtin`, in the format that users write. Its module constants
are the sizes for a CPU; `GPU_SIZES` in it are those for a GPU.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Literal

from kernelwright.core.errors import ProblemError, UnknownName
from kernelwright.core.problem import Source
from kernelwright.problems.constants import text_with_constants
from kernelwright.problems.naming import workloads_file

PREFIX = "builtin:"
Sizes = Literal["cpu", "gpu"]

_FOLDER = Path(__file__).parent / "builtin"
_MAX_BYTES = 1 << 20
_CLASS = "Model"


def names() -> list[str]:
    """Every built-in problem, sorted."""
    return sorted(p.stem for p in _FOLDER.glob("*.py") if not p.stem.startswith("_"))


def path(name: str) -> Path:
    """The file of the built-in problem `name`.

    Raises:
        UnknownName: there is none.
    """
    if name not in names():
        raise UnknownName.of("built-in problem", name, names())
    return _FOLDER / f"{name}.py"


def source(name: str, *, sizes: Sizes = "cpu") -> Source:
    """The text of the built-in problem `name`, with the sizes for a CPU or for a GPU.

    Raises:
        UnknownName: there is none.
    """
    file = path(name)
    text = file.read_text(encoding="utf-8")
    if sizes == "gpu":
        text = text_with_constants(text, _gpu_sizes(text))
    return Source(files={file.name: text}, entry_point=f"{file.name}::{_CLASS}")


def named(problem: str) -> str:
    """Where `problem` is read: a built-in one may be called by its bare name.

    >>> named("softmax"), named("model.py")
    ('builtin:softmax', 'model.py')
    """
    return PREFIX + problem if problem in names() else problem


def read_source(origin: str | Path | Source, *, sizes: Sizes = "cpu") -> tuple[Source, str]:
    """A reference by path, ``builtin:<name>`` or as it is, and where it came from in words.

    Raises:
        UnknownName: no built-in problem has this name.
        ProblemError: the file cannot be read, or is no Python text.
    """
    if isinstance(origin, Source):
        return origin, origin.main_file
    if isinstance(origin, str) and origin.startswith(PREFIX):
        return source(origin.removeprefix(PREFIX), sizes=sizes), origin
    file = Path(origin)
    texts = {file.name: _read(file)}
    beside = file.with_name(workloads_file(file.name))
    if beside.is_file():
        texts[beside.name] = _read(beside)
    return Source(files=texts, entry_point=f"{file.name}::{_CLASS}"), str(origin)


def _read(file: Path) -> str:
    try:
        if file.is_dir():
            raise ProblemError(f"{file} is a folder. Give the Python file of one problem.")
        if file.stat().st_size > _MAX_BYTES:
            raise ProblemError(f"{file} is larger than 1 MB, so it is not a reference file.")
        return file.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ProblemError(
            f"There is no file {file}. Give the path of a reference file, or builtin:<name>."
        ) from error
    except UnicodeDecodeError as error:
        raise ProblemError(f"{file} is not UTF-8 text, so it is not a Python file.") from error
    except OSError as error:
        raise ProblemError(f"{file} cannot be read: {error.strerror}.") from error


def _gpu_sizes(text: str) -> dict[str, int]:
    for stmt in ast.parse(text).body:
        match stmt:
            case ast.Assign(targets=[ast.Name(id="GPU_SIZES")], value=value):
                found: dict[str, int] = ast.literal_eval(value)
                return found
    return {}
