"""`kernelwright report`: report.html and result.json, made again from a run's log."""

from __future__ import annotations

from typing import Annotated

from rich.text import Text

from kernelwright.apps.cli.runs import REPORT, RESULT, RunArgument, find, opened, write_reports
from kernelwright.apps.cli.terminal import JSON_OPTION, emit, say, show
from kernelwright.report import text


def command(run: RunArgument, as_json: Annotated[bool, JSON_OPTION] = False) -> None:
    """Write report.html and result.json of a run again.

    They are made from the run's log alone, so this also reads a run that was cut off.
    """
    folder = find(run)
    with opened(folder) as store:
        result = write_reports(folder, store)
    for name in (REPORT, RESULT):
        say(Text(f"wrote {folder.path / name}"))
    if as_json:
        emit(result)
    else:
        show(text.summary(result))
