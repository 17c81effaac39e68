"""`kernelwright ablate`: what each accepted edit of a run's best candidate is worth."""

from __future__ import annotations

from typing import Annotated

import typer

from kernelwright.agents.elsewhere import equip
from kernelwright.apps.cli.progress import Progress
from kernelwright.apps.cli.runs import RunArgument, find, opened, write_reports
from kernelwright.apps.cli.terminal import JSON_OPTION, emit, show, talk
from kernelwright.report import text
from kernelwright.run.ablation import ablate
from kernelwright.run.edits import MOST_EDITS

_MOST = typer.Option(min=1, help="Undo at most so many edits.")


def command(
    run: RunArgument,
    most: Annotated[int, _MOST] = MOST_EDITS,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress.")] = False,
    as_json: Annotated[bool, JSON_OPTION] = False,
) -> None:
    """Undo each accepted edit of a run's best candidate alone, judge what is left, and say what the
    edit was worth.

    An edit is a hunk of the difference from the draft that the candidate descends from, or a tuned
    setting. The run must have ended. What was judged is in its log, so this goes on where it was
    broken off; report.html and result.json are written again.
    """
    folder = find(run)
    with opened(folder) as store:
        past = store.records()
    with Progress(talk(), quiet=quiet, past=past) as progress:
        ablate(folder.path, observer=progress.watch, equip=equip, most=most)
    with opened(folder) as store:
        result = write_reports(folder, store)
    if as_json:
        emit(result)
    elif result.ablation is not None:
        show(text.ablation(result.ablation))
