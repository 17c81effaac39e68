"""The corpora on disk: which programs there are, and what each declares about itself.

A program is a folder with its source (``candidate``, ``kernel`` or ``module`` with ``.cpp``,
``.cu`` or ``.py``) and a file that describes it: ``exploit.toml`` or ``honest.toml``. Nothing here
runs or imports a program.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Literal, TypeVar

from pydantic import Field, ValidationError, field_validator

from kernelwright.core.errors import UsageError
from kernelwright.core.evaluation import Effort
from kernelwright.core.record import Record
from kernelwright.corpora.catalogue import CLASSES
from kernelwright.corpora.verdicts import check_word
from kernelwright.evaluate.defences import ALL_ON

_STEMS = ("candidate", "kernel", "module")
_SUFFIXES = (".cpp", ".cu", ".py")
_HOME = Path(__file__).parent

Requirement = Literal["gpu", "cpu", "bubblewrap"]


class Description(Record):
    """What every program says about itself.

    `problem` is ``builtin:<name>`` or a path relative to the folder. `options` are build options.
    What requires a "cpu" works in the processor's memory, wherever other modules run.
    A `slow` program takes more than a few seconds to be judged.
    """

    problem: str
    language: Literal["cpp", "python", "triton", "cuda"]
    effort: Effort = "search"
    requires: Requirement | None = None
    slow: bool = False
    options: tuple[str, ...] = ()


class Exploit(Description):
    """A program that pretends.

    `must` are the verdicts that it may get, see `verdicts`; any other is an escape. With the
    defences `stopped_by` switched off it gets through, which a test shows.
    """

    catalogue: str = Field(alias="class")
    pretends: str = Field(min_length=10)
    must: tuple[str, ...] = Field(min_length=1)
    stopped_by: tuple[str, ...] = ()

    @field_validator("catalogue")
    @classmethod
    def _known_class(cls, name: str) -> str:
        if name not in CLASSES:
            raise ValueError(f"no class of the catalogue is called {name!r}")
        return name

    @field_validator("must")
    @classmethod
    def _known_verdicts(cls, words: tuple[str, ...]) -> tuple[str, ...]:
        for word in words:
            check_word(word)
        return words

    @field_validator("stopped_by")
    @classmethod
    def _known_defences(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if not hasattr(ALL_ON, name):
                raise ValueError(f"there is no defence called {name!r}")
        return names


class Honest(Description):
    """A right program; `pretext` is why a careless judge rejects it."""

    pretext: str = Field(min_length=10)


D = TypeVar("D", bound=Description)
Covariant = TypeVar("Covariant", bound=Description, covariant=True)


@dataclass(frozen=True, kw_only=True)
class Program(Generic[Covariant]):
    """One program of a corpus: its folder's name, its source, and its description.

    `origin` is what `Reference.open` takes: a built-in's name or a path.
    """

    name: str
    path: Path
    origin: str
    spec: Covariant


def exploits(folder: Path | None = None) -> tuple[Program[Exploit], ...]:
    """The exploit corpus below `folder`, by default the one that ships, in order of name.

    Raises:
        UsageError: it is not there, or one of its descriptions is broken.
    """
    return _programs(folder or _HOME / "exploits", "exploit.toml", Exploit)


def honest(folder: Path | None = None) -> tuple[Program[Honest], ...]:
    """The honest corpus; like `exploits`."""
    return _programs(folder or _HOME / "honest", "honest.toml", Honest)


def _programs(folder: Path, file: str, record: type[D]) -> tuple[Program[D], ...]:
    if not folder.is_dir():
        raise UsageError(
            f"The corpus {folder.name!r} is not installed: there is no folder {folder}. It ships "
            "with the wheel, and with a checkout as the folder tests."
        )
    root = folder.resolve()
    found = [_program(path, root, record) for path in sorted(root.rglob(file))]
    if not found:
        raise UsageError(f"There is no {file} anywhere in {folder}.")
    return tuple(found)


def _program(described: Path, root: Path, record: type[D]) -> Program[D]:
    spec = _read(described, record)
    folder = described.parent
    return Program(
        name=folder.name,
        path=_source(folder, described),
        origin=_origin(spec.problem, folder, root, described),
        spec=spec,
    )


def _read(described: Path, record: type[D]) -> D:
    """The description in a file.

    Raises:
        UsageError: it is no TOML, or says something that `record` does not know.
    """
    try:
        return record.model_validate(tomllib.loads(described.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{described} is not TOML: {error}.") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UsageError(f"{described}: {where}: {first['msg']}.") from error


def _source(folder: Path, described: Path) -> Path:
    present = [folder / (stem + suffix) for stem in _STEMS for suffix in _SUFFIXES]
    found = [path for path in present if path.is_file()]
    if len(found) != 1:
        raise UsageError(
            f"{described}: the folder must hold one of candidate, kernel or module with .cpp, .cu "
            f"or .py, and it holds {len(found)}."
        )
    return found[0]


def _origin(problem: str, folder: Path, root: Path, described: Path) -> str:
    if problem.startswith("builtin:"):
        return problem
    path = (folder / problem).resolve()
    if not path.is_relative_to(root) or not path.is_file():
        raise UsageError(f"{described}: the problem {problem!r} is no file of the corpus.")
    return str(path)
