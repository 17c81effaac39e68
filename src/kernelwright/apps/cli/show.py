"""`kernelwright show`: a run in the terminal, or one of its attempts in full."""

from __future__ import annotations

from typing import Annotated

import typer

from kernelwright.apps.cli.runs import RunArgument, find, opened, result_in
from kernelwright.apps.cli.terminal import JSON_OPTION, emit, show
from kernelwright.core.errors import UsageError
from kernelwright.report import text
from kernelwright.report.attempts import Overview, detail, rows
from kernelwright.report.story import Story
from kernelwright.store.fold import Step


def command(
    run: RunArgument,
    attempt: Annotated[int | None, typer.Argument(help="The number of one attempt.")] = None,
    as_json: Annotated[bool, JSON_OPTION] = False,
) -> None:
    """Print a run, or one of its attempts with its source."""
    folder = find(run)
    with opened(folder) as store:
        story = Story.of(store.records())
    if attempt is None:
        result = result_in(folder, story)
        if as_json:
            emit(Overview(result=result, attempts=rows(story)))
        else:
            show(text.summary(result))
            show(text.attempts_table(story))
        return
    step = _step(story, attempt)
    if as_json:
        emit(detail(story, step))
    else:
        show(text.attempt(story, step))


def _step(story: Story, number: int) -> Step:
    step = story.state.steps.get(number)
    if step is None:
        there = f"1 to {story.steps[-1].number}" if story.steps else "none yet"
        raise UsageError(f"This run has no attempt {number}; it has {there}.")
    return step
