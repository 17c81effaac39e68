"""A folder of candidates for many problems, judged in one go, with a file for each verdict.

    FOLDER/<problem>/kernel.cpp …      candidates, in any language that a file's name tells
    FOLDER/<problem>/problem.py        the problem; without it the folder is named as a built-in one
    FOLDER/batch.toml                  what else is to be said; see `Manifest`

Results go into ``FOLDER/results/<problem>/``, each as it comes and as a whole. What has one is not
judged again, so a batch that was cut off goes on where it was.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from kernelwright.core.candidate import Candidate
from kernelwright.core.errors import StoreError, UsageError
from kernelwright.core.evaluation import Effort, Evaluation, Fault
from kernelwright.core.problem import Direction, Problem, Source
from kernelwright.core.record import Record, content_id
from kernelwright.evaluate.batch import ProblemJudge, judge_many
from kernelwright.languages.reading import SUFFIXES, candidate_from_text, texts_in
from kernelwright.problems import suite

RESULTS, MANIFEST, PROBLEM = "results", "batch.toml", "problem.py"
FORMAT = 1


class ProblemEntry(Record):
    """What a manifest says of one folder: its problem, by a file's path from the batch's folder or
    as ``builtin:<name>``, and how to read what is in it."""

    problem: str | None = None
    direction: Direction | None = None
    language: str | None = None


class Manifest(Record):
    """The file ``batch.toml``. A search's verdict is quick, and a promotion's is whole."""

    effort: Effort = "search"
    problems: dict[str, ProblemEntry] = {}


class BatchResult(Record):
    """What became of one file: a verdict, or the reason why it is no candidate.

    `problem_key` is equal where the problem is the same; see `problem_key`.
    """

    format: int = FORMAT
    problem: str
    problem_key: str
    file: str
    effort: Effort
    candidate: Candidate | None = None
    evaluation: Evaluation | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Judged:
    """One file, and the result that was written for it; a `Fault` of ours leaves none."""

    path: Path
    found: BatchResult | Fault


# Opens the judge of a problem; see `evaluate.opening.open_judge`.
Opening = Callable[[str | Path | Source, Direction | None], AbstractContextManager[ProblemJudge]]


def problem_key(problem: Problem) -> str:
    """Equal for problems that ask for the same, whatever their names and where they are from."""
    asked = problem.model_dump(mode="json", exclude={"id", "title", "origin", "tags"})
    asked["reference"] = problem.reference.text
    return content_id(asked)


def read_manifest(folder: Path) -> Manifest:
    """What ``batch.toml`` says; the defaults where there is none.

    Raises:
        UsageError: it cannot be read, or says something else.
    """
    path = folder / MANIFEST
    try:
        return Manifest.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return Manifest()
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}.") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UsageError(f"{where!r} in {path} cannot be that: {first['msg']}.") from error


def judge_batch(folder: Path, opening: Opening) -> Iterator[Judged]:
    """Judge what has no result yet, problem by problem, and write each result as it comes.

    Raises:
        UsageError: the folder or the manifest is none, or a problem of it does not exist.
        StoreError: a result could not be written.
    """
    manifest = read_manifest(folder)
    for name in problem_folders(folder, manifest):
        todo = [f for f in _files(folder, name, manifest) if not f.result.is_file()]
        if not todo:
            continue
        entry = manifest.problems.get(name, ProblemEntry())
        with opening(origin_of(folder, name, entry), entry.direction) as judge:
            yield from _judge_one(judge, todo, manifest.effort)


def problem_folders(folder: Path, manifest: Manifest) -> list[str]:
    """The folders of problems, by name.

    Raises:
        UsageError: there is none, or the manifest names one that is not there.
    """
    try:
        found = sorted(p.name for p in folder.iterdir() if p.is_dir() and p.name != RESULTS)
    except OSError as error:
        raise UsageError(f"The folder {folder} cannot be read: {error.strerror}.") from error
    found = [name for name in found if not name.startswith(".")]
    if not found:
        raise UsageError(
            f"There is no folder of candidates in {folder}. Put them into {folder}/<problem>/."
        )
    if missing := sorted(set(manifest.problems) - set(found)):
        raise UsageError(f"{folder / MANIFEST} names {missing[0]!r}, and there is no such folder.")
    for name in found:
        suite.read_source(origin_of(folder, name, manifest.problems.get(name, ProblemEntry())))
    return found


def origin_of(folder: Path, name: str, entry: ProblemEntry) -> str:
    """Where the problem of the folder `name` is from."""
    if entry.problem is not None:
        builtin = entry.problem.startswith(suite.PREFIX)
        return entry.problem if builtin else str(folder / entry.problem)
    own = folder / name / PROBLEM
    return str(own) if own.is_file() else suite.PREFIX + name


def read_result(path: Path) -> BatchResult:
    """A result that was written before.

    Raises:
        UsageError: it is none, or of another version.
    """
    try:
        return BatchResult.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"The result {path} cannot be read: {error}.") from error
    except ValidationError as error:
        raise UsageError(
            f"{path} is no result of `kernelwright judge --batch` of this version."
        ) from error


@dataclass(frozen=True)
class _File:
    """A file with a candidate, as its text was when it was read, and where its result goes."""

    path: Path
    text: str
    beside: dict[str, str]
    language: str
    result: Path


def _files(folder: Path, name: str, manifest: Manifest) -> Iterator[_File]:
    entry = manifest.problems.get(name, ProblemEntry())
    for path in sorted((folder / name).iterdir()):
        if path.suffix not in SUFFIXES or path.name == PROBLEM or not path.is_file():
            continue
        text, beside, language = texts_in(path)
        language = entry.language or language
        key = content_id(text, beside, language, manifest.effort)
        result = folder / RESULTS / name / f"{path.name}.{key}.json"
        yield _File(path, text, beside, language, result)


def _judge_one(judge: ProblemJudge, todo: list[_File], effort: Effort) -> Iterator[Judged]:
    """The results of one problem's files, as they come."""
    key, read = problem_key(judge.problem), list[tuple[_File, Candidate]]()
    refused: list[Judged] = []

    def written(file: _File, **found: object) -> Judged:
        given = {"problem": judge.problem.id, "problem_key": key, "effort": effort}
        made = BatchResult.model_validate({**given, "file": file.path.name, **found})
        _write(file.result, made)
        return Judged(file.path, made)

    def candidates() -> Iterator[Candidate]:
        for file in todo:
            try:
                candidate = candidate_from_text(
                    judge.problem, file.text, file.language, beside=file.beside
                )
            except UsageError as error:
                refused.append(written(file, reason=str(error)))
                continue
            read.append((file, candidate))
            yield candidate

    for index, found in judge_many(judge, candidates(), effort):
        file, candidate = read[index]
        # Written before anything is said: whoever listens may stop here.
        if isinstance(found, Fault):
            one = Judged(file.path, found)
        else:
            one = written(file, candidate=candidate, evaluation=found)
        yield one
        yield from refused
        refused.clear()
    yield from refused


def _write(path: Path, result: BatchResult) -> None:
    """A whole file, or none."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("w", encoding="utf-8") as file:
            file.write(result.model_dump_json(indent=1) + "\n")
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        raise StoreError(f"The result {path} cannot be written: {error.strerror}.") from error
    finally:
        draft.unlink(missing_ok=True)
