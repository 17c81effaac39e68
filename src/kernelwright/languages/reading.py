"""From a file or a reply to a candidate: which language, where it starts, what may be tuned.

Text is searched here, and never run or compiled.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from kernelwright.core import names
from kernelwright.core.candidate import Candidate
from kernelwright.core.errors import UsageError
from kernelwright.core.problem import Problem, Source
from kernelwright.core.protocols import Language
from kernelwright.languages.signature import signature
from kernelwright.languages.sources import MAX_BYTES, MAX_FILES
from kernelwright.languages.tunables import parse_tunables

_SUFFIXES = {".cpp": "cpp", ".cc": "cpp", ".cxx": "cpp", ".cu": "cuda"}
SUFFIXES = frozenset({*_SUFFIXES, ".py"})  # of files that say which language they are in
_NEIGHBOURS = frozenset({".cpp", ".cu", ".cuh", ".h", ".hpp", ".py"})
# Each of these takes time in proportion to a text's length, whatever the text.
_COMMENT = re.compile(r"//[^\n]*|/\*.*?(?:\*/|\Z)", re.DOTALL)
_DECLARED = re.compile(r'extern\s*"C"\s+(?:__host__\s+)?void\s+(\w+)\s*\(')
_UNTUNED = ("python", "torch_extension")
_EXTENSION = re.compile(r"^[^#\n]*\bcpp_extension\b", re.MULTILINE)
_TRITON = re.compile(r"^[ \t]*(?:import|from)[ \t]+triton\b", re.MULTILINE)
_FILE_NAME = re.compile(r"(?<![\w.-])[\w-][\w.-]*\.\w+")


def candidate_from_text(
    problem: Problem,
    text: str,
    language: str,
    *,
    file: str | None = None,
    beside: Mapping[str, str] | None = None,
) -> Candidate:
    """The candidate that `text` is. `file` is its name, by default the language's usual one;
    `beside` are further files that it uses.

    Raises:
        UnknownName: no language is called so.
        UsageError: there is no such entry point in it, or a tunable's declaration is malformed.
    """
    opened: Language = names.load("language", language)()
    usual_file, _, usual = opened.entry_point.partition("::")
    file = file or usual_file
    if opened.lane == "native":
        name = _native_entry(problem, text, usual)
    elif _binds(text, usual):
        name = usual
    else:
        raise UsageError(f"{file} has no class {usual}. Define `class {usual}(nn.Module):`.")
    return Candidate(
        problem_id=problem.id,
        language=language,
        source=Source(files={**(beside or {}), file: text}, entry_point=f"{file}::{name}"),
        lane=opened.lane,
        tunables=() if language in _UNTUNED else parse_tunables(text),
    )


def texts_in(path: Path) -> tuple[str, dict[str, str], str]:
    """The text of a candidate's file, those of the files beside it that it names, and its language
    by the file's name.

    Raises:
        UsageError: the file cannot be read, is too large, or does not say its language.
    """
    text = _read(path)
    return text, _beside(path, text), _language_of(path, text)


def candidate_from_file(problem: Problem, path: Path, language: str | None = None) -> Candidate:
    """The candidate in the file at `path`, with the files beside it that its text names.

    Without `language` the suffix decides: ``.cpp`` is C++, ``.cu`` CUDA, and ``.py`` Triton when it
    imports triton, a torch extension when it uses `torch.utils.cpp_extension`, else plain Python.

    Raises:
        UsageError: the file cannot be read, is too large, or is no candidate.
    """
    text = _read(path)
    language = language or _language_of(path, text)
    # A plain module finds the files beside it by their names, so it keeps its own.
    file = path.name if language == "python" else None
    return candidate_from_text(problem, text, language, file=file, beside=_beside(path, text))


def _native_entry(problem: Problem, text: str, usual: str) -> str:
    """The function's name: the usual one, or the only one that is declared ``extern "C"``."""
    code = _COMMENT.sub(" ", text)
    if re.search(rf"\bvoid\s+{usual}\s*\(", code):
        return usual
    declared = sorted(set(_DECLARED.findall(code)))
    if len(declared) == 1:
        return str(declared[0])
    wanted = signature(problem).declaration(usual)
    if declared:
        raise UsageError(
            f"Which function is the candidate: {', '.join(declared[:5])}? "
            f"Call it {usual}: `{wanted}`."
        )
    raise UsageError(f"There is no function {usual}. Define `{wanted}`.")


def _binds(text: str, name: str) -> bool:
    """Whether Python `text` seems to define or import `name`."""
    binding = re.compile(rf"[ \t]*(?:class[ \t]+{name}\b|{name}[ \t]*=)")
    used = re.compile(rf"\b{name}\b")
    return any(
        binding.match(line) or ("import" in line and used.search(line))
        for line in text.splitlines()
    )


def _read(path: Path) -> str:
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise UsageError(f"{path} has {size:,} bytes; a candidate has at most {MAX_BYTES:,}.")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"The candidate {path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"The candidate {path} is not UTF-8 text ({error.reason}).") from error
    if not text.strip():
        raise UsageError(f"The candidate {path} is empty.")
    return text


def _language_of(path: Path, text: str) -> str:
    if path.suffix == ".py":
        if _EXTENSION.search(text):
            return "torch_extension"
        return "triton" if _TRITON.search(text) else "python"
    if path.suffix not in _SUFFIXES:
        raise UsageError(
            f"{path.name} does not say which language it is in. Name it with .cpp, .cu or .py at "
            "its end, or give the language."
        )
    return _SUFFIXES[path.suffix]


def _beside(path: Path, text: str) -> dict[str, str]:
    """The source files in the same folder whose whole names appear in `text`."""
    named = {
        found
        for found in _FILE_NAME.findall(text)
        if Path(found).suffix in _NEIGHBOURS and found != path.name
    }
    present = sorted(name for name in named if path.with_name(name).is_file())
    return {name: _read(path.with_name(name)) for name in present[: MAX_FILES - 1]}
