"""Carrying out a run in front of a person: progress, the report, and the sentence at the end."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.text import Text

from kernelwright.apps.cli.approving import ask_on
from kernelwright.apps.cli.progress import Progress
from kernelwright.apps.cli.runs import REPORT, RESULT, opened, write_reports
from kernelwright.apps.cli.terminal import emit, say, show, talk
from kernelwright.core.run import Answer, Event
from kernelwright.report import text
from kernelwright.run.approval import Ask, Question
from kernelwright.run.log import Observer
from kernelwright.run.optimize import RunResult


def carry_out(
    job: Callable[[Observer, Ask], RunResult],
    *,
    past: Sequence[Event] = (),
    quiet: bool,
    as_json: bool,
) -> int:
    """Run `job`, write the reports, say what was found and where it is; the exit code.

    `job` is given what watches the run, and what asks at the terminal. `past` are the events of a
    run that is resumed.
    """
    with Progress(talk(), quiet=quiet, past=past) as progress:

        def ask(question: Question) -> Answer:
            with progress.aside():
                return ask_on(talk(), question)

        ended = job(progress.watch, ask)
    with opened(ended.folder) as store:
        result = write_reports(ended.folder, store)
    if as_json:
        emit(result)
    else:
        show(text.summary(result))
    if not quiet:
        files = [*ended.delivered, ended.folder.path / REPORT, ended.folder.path / RESULT]
        say(Text("\n".join(str(path) for path in files)))
    return 0 if result.faster else 1
