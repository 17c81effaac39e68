"""`kernelwright import`: verdicts that were reached elsewhere, taken into a run's log."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from kernelwright.apps.cli.runs import RunArgument, find
from kernelwright.apps.cli.terminal import JSON_OPTION, emit, show
from kernelwright.core.errors import UsageError
from kernelwright.evaluate.batches import RESULTS, read_result
from kernelwright.report.formats import counted
from kernelwright.run.importing import take_in
from kernelwright.run.log import RunLog
from kernelwright.store.sql import SqlStore

_RESULTS = typer.Argument(
    metavar="RESULT...", help="Results of `judge --batch`: files, or folders of them."
)


def command(
    run: RunArgument,
    results: Annotated[list[Path], _RESULTS],
    as_json: Annotated[bool, JSON_OPTION] = False,
) -> None:
    """Take the verdicts of a batch, judged elsewhere, into a run's log.

    They must be of the same problem and of this version of the judge. The same candidate is the
    same attempt, so that importing twice changes nothing; one that the run does not have is added.
    Results decide what is handed back: import only what your own judge wrote.
    """
    files = _files(results)
    read = [(str(path), read_result(path)) for path in files]
    folder = find(run)
    with folder.locked(), SqlStore.open(folder.log_path, folder.name) as store:
        found = take_in(RunLog(store), read)
    if as_json:
        emit(found)
        return
    parts = [f"{counted(len(found.judged), 'verdict')} taken in"]
    parts += [f"{len(found.new)} of new attempts"] if found.new else []
    parts += [f"{found.known} known already"] if found.known else []
    parts += [f"{found.no_candidate} of files that are no candidates"] * bool(found.no_candidate)
    show(Text(", ".join(parts) + "."))


def _files(given: list[Path]) -> list[Path]:
    found: list[Path] = []
    for path in given:
        if path.is_dir():
            inside = path / RESULTS if (path / RESULTS).is_dir() else path
            found += sorted(inside.rglob("*.json"))
        elif path.is_file():
            found.append(path)
        else:
            raise UsageError(f"There is no result {path}.")
    if not found:
        raise UsageError(f"There are no results in {', '.join(map(str, given))}.")
    return found
