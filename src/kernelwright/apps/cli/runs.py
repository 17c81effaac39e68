"""Runs by the name or path that a person gives, and writing what is made from their logs."""

from __future__ import annotations

import itertools
import os
import re
from pathlib import Path, PurePath
from typing import Annotated

import typer

from kernelwright.core.candidate import Candidate
from kernelwright.core.errors import UsageError
from kernelwright.core.protocols import Store
from kernelwright.report import html
from kernelwright.report.result import Result, result_of
from kernelwright.report.sentence import name as problem_name
from kernelwright.report.story import Story
from kernelwright.run.folder import RUNS, RunFolder
from kernelwright.store.sql import SqlStore

REPORT, RESULT = "report.html", "result.json"

RunArgument = Annotated[str, typer.Argument(help="A run's folder, or its name in runs/.")]


def find(run: str) -> RunFolder:
    """The folder of the run that is meant.

    Raises:
        UsageError: there is no run.
    """
    path = Path(run)
    if path.is_file():
        path = path.parent
    elif not path.exists() and (RUNS / run).is_dir():
        path = RUNS / run
    return RunFolder.existing(path)


def chosen_folder(origin: str, name: str | None, out: Path | None) -> Path:
    """Where a new run goes: as asked, else ``runs/<problem>-<first free number>``.

    Raises:
        UsageError: both were asked for, the name is none, or nothing can be written there.
    """
    if name is not None and out is not None:
        raise UsageError("Give --name or --out, not both: each says where the run goes.")
    if name is not None and (name in ("", ".", "..") or PurePath(name).name != name):
        raise UsageError(f"{name!r} is no name for a run; use --out for a path.")
    path = out or RUNS / (name or _first_free(problem_name(origin)))
    _check_writable(path)
    return path


def _first_free(stem: str) -> str:
    stem = re.sub(r"[^A-Za-z0-9_.-]+", "_", stem).strip("._-") or "run"
    return next(
        name for name in (f"{stem}-{n}" for n in itertools.count(1)) if not (RUNS / name).exists()
    )


def _check_writable(path: Path) -> None:
    """Refuse early, before anything is loaded, what the run would refuse late."""
    nearest = next(p for p in (path, *path.absolute().parents) if p.exists())
    if not nearest.is_dir():
        raise UsageError(f"{nearest} is a file, so there can be no folder {path}.")
    if not os.access(nearest, os.W_OK):
        raise UsageError(f"{nearest} may not be written; choose another folder with --out.")


def opened(folder: RunFolder) -> SqlStore:
    """The run's log, for reading; the folder may be read-only."""
    return SqlStore.open(folder.log_path, folder.name, writable=False)


def result_in(folder: RunFolder, story: Story) -> Result:
    """The result of the run in `folder`, naming the file of the best candidate if it is there."""
    return result_of(story, path=_delivered(folder, story))


def write_reports(folder: RunFolder, store: Store) -> Result:
    """Write ``result.json`` and ``report.html`` from the log, and return the result.

    Raises:
        UsageError: the run has nothing to tell yet.
        StoreError: the log is damaged, or the files cannot be written.
    """
    story = Story.of(store.records())
    result = result_in(folder, story)
    folder.write(RESULT, result.model_dump_json(indent=2) + "\n")
    folder.write(REPORT, html.render(story, result, store.get))
    return result


def _delivered(folder: RunFolder, story: Story) -> str | None:
    step = story.best_step
    if step is None or step.candidate is None:
        return None
    name = best_file(step.candidate)
    return name if (folder.path / name).is_file() else None


def best_file(candidate: Candidate) -> str:
    """What the best candidate's file is called: ``best.cpp``."""
    return f"best{PurePath(candidate.source.main_file).suffix}"
