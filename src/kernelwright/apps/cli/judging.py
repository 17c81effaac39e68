"""Judging files in front of a person or a program: one verdict, or a line for each of many."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from rich.text import Text

from kernelwright.apps.cli.terminal import emit, emit_line, say, show
from kernelwright.core import names
from kernelwright.core.candidate import Candidate
from kernelwright.core.errors import UsageError
from kernelwright.core.evaluation import Effort, Evaluation, Fault, Isolation, Passed
from kernelwright.core.problem import Direction, Problem
from kernelwright.core.record import Record
from kernelwright.evaluate.batch import ProblemJudge, judge_many
from kernelwright.evaluate.opening import open_judge, open_judges
from kernelwright.languages.machine import cuda_devices
from kernelwright.languages.reading import SUFFIXES, candidate_from_file
from kernelwright.problems.reference import Device
from kernelwright.report import text
from kernelwright.report.formats import counted
from kernelwright.report.plain import visible
from kernelwright.report.result import Judged, judged

_NAMED = 5


def device_for(files: Sequence[Path]) -> Device:
    """Where candidates in these files are judged, when nobody says: on a GPU if all can run there
    and there is one."""
    able = all(path.suffix in (".py", ".cu") for path in files)
    return "cuda" if able and cuda_devices() > 0 else "cpu"


class OpenJudge(Protocol):
    """Opens a judge, or several as one; see `evaluate.opening.open_judges`."""

    def __call__(
        self,
        origin: str,
        *,
        direction: Direction | None,
        device: Device,
        require_isolation: Isolation,
        most: int,
    ) -> AbstractContextManager[ProblemJudge]:
        """The judge of `origin` on `most` GPUs at most, closed when the block is left."""
        ...


class JudgedFile(Judged):
    """One line of `judge --json` on several files: the verdict, and the file that it is on."""

    file: str


class FileNotJudged(Record):
    """The line of a file without a verdict: it cannot be read, or the judge itself failed."""

    file: str
    outcome: Literal["not_judged"] = "not_judged"
    reason: str


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is judged, and how."""

    problem: str
    language: str | None
    direction: Direction | None = None
    effort: Effort
    device: Device
    require_isolation: Isolation


def judge_one(asked: Asked, path: Path, *, as_json: bool) -> int:
    """Print the verdict on the file at `path`; the exit code."""
    say(Text(f"Loading {visible(asked.problem)} …"))
    with open_judge(
        asked.problem,
        direction=asked.direction,
        device=asked.device,
        require_isolation=asked.require_isolation,
    ) as judge:
        candidate = candidate_from_file(judge.problem, path, asked.language)
        say(Text(f"Judging {visible(str(path))} ({candidate.language}, {candidate.id}) …"))
        evaluation = judge.judge(candidate, asked.effort)
        if as_json:
            emit(judged(evaluation, judge.problem.id))
        else:
            show(text.verdict(evaluation))
    return 0 if isinstance(evaluation.outcome, Passed) else 1


def judge_several(
    asked: Asked, paths: Sequence[Path], *, as_json: bool, opening: OpenJudge = open_judges
) -> int:
    """Print a line for each of `paths` as its verdict comes, and a summary; the exit code."""
    say(Text(f"Loading {visible(asked.problem)} …"))
    started, seen = time.monotonic(), Counter[str]()
    with opening(
        asked.problem,
        direction=asked.direction,
        device=asked.device,
        require_isolation=asked.require_isolation,
        most=len(paths),
    ) as judge:
        lines = _Lines(judge.problem, as_json=as_json)
        reading = _Reading(asked, judge.problem, paths, lines)
        for index, found in judge_many(judge, reading, asked.effort):
            lines.verdict(reading.files[index], found)
        seen = lines.seen
    took = time.monotonic() - started
    parts = [f"{count} {kind.replace('_', ' ')}" for kind, count in sorted(seen.items())]
    say(f"{counted(len(paths), 'file')}: {', '.join(parts)}, in {took:.1f} s.")
    return 0 if seen.keys() == {"passed"} else 1


class _Lines:
    """Prints one line for each file, and counts what they say."""

    def __init__(self, problem: Problem, *, as_json: bool):
        self.seen: Counter[str] = Counter()
        self._problem = problem
        self._as_json = as_json

    def verdict(self, path: Path, found: Evaluation | Fault) -> None:
        if isinstance(found, Fault):
            self.without(path, found.message)
            return
        said = judged(found, self._problem.id)
        line = JudgedFile(file=_name(path), **dict(said))
        speedup = text.speedup_of(found)
        self._print(line, f"{speedup} against the best baseline" if speedup else said.reason)

    def without(self, path: Path, reason: str) -> None:
        self._print(FileNotJudged(file=_name(path), reason=reason), reason)

    def _print(self, line: JudgedFile | FileNotJudged, what: str) -> None:
        self.seen[line.outcome] += 1
        if self._as_json:
            emit_line(line)
            return
        word = line.outcome.replace("_", " ")
        show(Text(f"{visible(line.file)}: {word}: {visible(what)}"))


def _name(path: Path) -> str:
    """The path as text; a name that is no UTF-8 has marks where it is not."""
    return os.fsencode(path).decode("utf-8", "replace")


class _Reading:
    """The candidates in files, read when the judge gets to them. `files` are those that could
    be, in the same order; the line of another is printed at once."""

    def __init__(self, asked: Asked, problem: Problem, paths: Sequence[Path], lines: _Lines):
        self.files: list[Path] = []
        self._asked = asked
        self._problem = problem
        self._paths = paths
        self._lines = lines

    def __iter__(self) -> Iterator[Candidate]:
        for path in self._paths:
            try:
                candidate = candidate_from_file(self._problem, path, self._asked.language)
            except UsageError as error:
                self._lines.without(path, str(error))
                continue
            self.files.append(path)
            yield candidate


def candidate_files(given: Sequence[Path], language: str | None) -> list[Path]:
    """The files that `given` names: each file once, and of a folder those in a language we know.

    What is left out is said.

    Raises:
        UsageError: one is not there, or a folder holds no candidate.
    """
    found: dict[Path, Path] = {}
    for path in given:
        for file in _in_folder(path, language) if path.is_dir() else [path]:
            if not file.is_file():
                raise UsageError(f"There is no file {file}; give a candidate's source or a folder.")
            if file.resolve() in found:
                say(Text(f"{visible(str(file))} is given twice and judged once."))
            found.setdefault(file.resolve(), file)
    return list(found.values())


def _in_folder(folder: Path, language: str | None) -> list[Path]:
    suffixes = SUFFIXES
    if language is not None:
        usual = names.load("language", language)().entry_point.partition("::")[0]
        suffixes = frozenset({Path(usual).suffix})
    try:
        files = sorted(path for path in folder.iterdir() if path.is_file())
    except OSError as error:
        raise UsageError(f"The folder {folder} cannot be read: {error.strerror}.") from error
    chosen = [path for path in files if path.suffix in suffixes]
    if not chosen:
        raise UsageError(
            f"There is no candidate in {folder}: no file that ends with "
            f"{', '.join(sorted(suffixes))}."
        )
    left = [visible(path.name) for path in files if path.suffix not in suffixes]
    if left:
        more = f" and {len(left) - _NAMED} more" if len(left) > _NAMED else ""
        say(Text(f"Left out, in no language that we know: {', '.join(left[:_NAMED])}{more}."))
    return chosen
