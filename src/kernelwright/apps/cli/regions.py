"""`kernelwright regions`: what `optimize --regions` would cut a program into, without a search."""

from __future__ import annotations

from typing import Annotated

import typer

from kernelwright.apps.cli.problems import ORIGIN
from kernelwright.apps.cli.terminal import JSON_OPTION, emit, say, show
from kernelwright.core.errors import ProblemError, UsageError
from kernelwright.core.problem import Direction
from kernelwright.problems.reference import Reference
from kernelwright.report import text
from kernelwright.report.regions import region_table
from kernelwright.run.regions.finding import find_cut
from kernelwright.run.spec import device_of, load_spec

_DIRECTION = typer.Option(help="What to compute, instead of what the file says.")
_LANGUAGE = typer.Option(help="The language of the sketches. May be repeated.")


def command(
    problem: Annotated[str, ORIGIN],
    language: Annotated[list[str] | None, _LANGUAGE] = None,
    direction: Annotated[Direction | None, _DIRECTION] = None,
    as_json: Annotated[bool, JSON_OPTION] = False,
) -> int:
    """Show what a program would be cut into, and what would stay torch.

    Each region is a set of operators that a sketch drafts as a whole. Exits with 1 when there is
    none.
    """
    spec = load_spec(None, {"problem": problem, "languages": language or None})
    with Reference.open(problem, device=device_of(spec), direction=direction) as reference:
        say(f"Loading {problem} …")
        loaded = reference.load()
        try:
            cut = find_cut(loaded, reference.outline(), reference.trace_of, spec.languages)
        except ProblemError as error:
            raise UsageError(f"The problem cannot be cut into regions: {error}") from error
    table = region_table(cut, {})
    if as_json:
        emit(table)
    else:
        show(text.regions(table))
    return 0 if cut.regions else 1
