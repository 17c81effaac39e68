"""Reading folders of kernels. What is broken is named with what is wrong with it, and left out.

A library is a folder with a folder for each kernel:

    entry.json        what it is: language, entry point, tunables, what it computes, who wrote it
    kernel.cpp        the source, under the name that its language gives it
    problem.py        the reference that it was judged against
    graph.txt         the normal form of what that computes
    certificate.json  what was checked, where, with the samples
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from kernelwright.core.candidate import Candidate
from kernelwright.core.errors import UsageError
from kernelwright.core.problem import Problem, Source
from kernelwright.library.normal.form import NormalForm
from kernelwright.library.records import Certificate, Description

SHIPPED = Path(__file__).parent / "entries"
ENTRY, CERTIFICATE, PROBLEM, GRAPH = "entry.json", "certificate.json", "problem.py", "graph.txt"
_MAX_BYTES = 4 << 20


@dataclass(frozen=True, kw_only=True)
class Kernel:
    """One kernel of a library, as its folder has it."""

    folder: Path
    about: Description
    source: Source
    reference: Source
    form: NormalForm
    certificate: Certificate

    @property
    def name(self) -> str:
        """The name of its folder."""
        return self.about.name

    def candidate(self, problem: Problem, device: str | None = None) -> Candidate:
        """The kernel for its own problem, set as was best on `device`, or elsewhere."""
        return Candidate(
            problem_id=problem.id,
            language=self.about.language,
            source=self.source,
            lane=self.about.lane,
            build_options=self.about.build_options,
            tunables=self.about.tunables,
            settings=self.settings(device),
        )

    def settings(self, device: str | None) -> dict[str, int]:
        """The values that were best on `device`; where it is not known, on the first that was."""
        known = {t.device: t.settings for t in reversed(self.about.tuned)}
        first = self.about.tuned[0].settings if self.about.tuned else {}
        return dict(known.get(device or "", first))


@dataclass(frozen=True, kw_only=True)
class Broken:
    """A folder that is no kernel; `reason` is a sentence that names it."""

    folder: Path
    reason: str


class _Fault(Exception):
    """What is wrong with a folder, to be put behind its name."""


def folders_of(more: Iterable[str | Path] = ()) -> tuple[Path, ...]:
    """The libraries to look in: those that were given, then the one that ships.

    Raises:
        UsageError: one that was given is no folder.
    """
    given = tuple(Path(folder) for folder in more)
    for folder in given:
        if not folder.is_dir():
            raise UsageError(
                f"There is no library in {folder}: it is no folder. `kernelwright library add` "
                "makes one."
            )
    return (*given, SHIPPED)


def read_library(folders: Iterable[Path]) -> tuple[tuple[Kernel, ...], tuple[Broken, ...]]:
    """The kernels in `folders`, and what could not be read. Of one name, the first counts."""
    kernels: dict[str, Kernel] = {}
    broken: list[Broken] = []
    for library in folders:
        try:
            inside = sorted(p for p in library.iterdir() if p.is_dir() and p.name[0] not in "._")
        except OSError as error:
            broken.append(Broken(folder=library, reason=f"{library} cannot be read: {error}."))
            continue
        for folder in inside:
            try:
                kernels.setdefault(folder.name, read_kernel(folder))
            except UsageError as error:
                broken.append(Broken(folder=folder, reason=str(error)))
    return tuple(kernels.values()), tuple(broken)


def read_kernel(folder: Path) -> Kernel:
    """The kernel in `folder`.

    Raises:
        UsageError: a sentence that says what is missing, malformed or not as it was certified.
    """
    try:
        return _read(folder)
    except _Fault as fault:
        raise UsageError(f"The library's kernel {folder.name} is left out: {fault}.") from fault


def _read(folder: Path) -> Kernel:
    try:
        about = Description.model_validate_json(_text(folder, ENTRY))
    except ValidationError as error:
        raise _Fault(_first(ENTRY, error)) from error
    try:
        certificate = Certificate.model_validate_json(_text(folder, CERTIFICATE))
    except ValidationError as error:
        raise _Fault(_first(CERTIFICATE, error)) from error
    if about.name != folder.name:
        raise _Fault(f"{ENTRY} calls it {about.name}, its folder {folder.name}")
    texts = {name: _text(folder, name) for name in files_of(about)}
    _check_hashes({**texts, ENTRY: _text(folder, ENTRY)}, certificate.files)
    what = about.computes
    return Kernel(
        folder=folder,
        about=about,
        source=Source(
            files={name: texts[name] for name in about.files}, entry_point=about.entry_point
        ),
        reference=Source(files={PROBLEM: texts[PROBLEM]}, entry_point=what.reference),
        form=NormalForm(
            key=what.key,
            text=texts[GRAPH],
            tensors=what.tensors,
            outputs=what.outputs,
            axes=what.axes,
            constants=what.constants,
        ),
        certificate=certificate,
    )


def files_of(about: Description) -> tuple[str, ...]:
    """Every file that a certificate covers, but ``entry.json``."""
    return (*about.files, PROBLEM, GRAPH)


def hashed(text: str) -> str:
    """The hash of a file's text, as certificates have it."""
    return hashlib.sha256(text.encode()).hexdigest()


def _check_hashes(texts: Mapping[str, str], known: Mapping[str, str]) -> None:
    for name, text in texts.items():
        if name not in known:
            raise _Fault(f"its certificate says nothing of {name}")
        if known[name] != hashed(text):
            raise _Fault(
                f"{name} is not what was certified. Judge it again and add it anew, or put the "
                "file back"
            )


def _text(folder: Path, name: str) -> str:
    if Path(name).name != name:
        raise _Fault(f"{name!r} is no plain file name")
    path = folder / name
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise _Fault(f"{name} is larger than {_MAX_BYTES >> 20} MB")
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise _Fault(f"it has no {name}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise _Fault(f"{name} cannot be read ({error})") from error


def _first(name: str, error: ValidationError) -> str:
    fault = error.errors()[0]
    where = ".".join(str(part) for part in fault["loc"])
    return f"{name} is malformed ({where or 'all of it'}: {fault['msg']})"
