"""`kernelwright problems`: the built-in suite, and what any problem file amounts to."""

from __future__ import annotations

import ast
from typing import Annotated

import typer
from rich.text import Text

from kernelwright.apps.cli.terminal import JSON_OPTION, emit, group, say, show
from kernelwright.core import names
from kernelwright.core.errors import UsageError
from kernelwright.core.problem import Direction
from kernelwright.core.protocols import Language
from kernelwright.core.record import Record
from kernelwright.problems import suite
from kernelwright.problems.admission import Admission
from kernelwright.problems.reference import Reference
from kernelwright.report import text

command = group()

_DIRECTION = typer.Option(help="What to compute, instead of what the file says.")
ORIGIN = typer.Argument(help="A KernelBench file, or builtin:<name>.")


class Listed(Record):
    """A built-in problem: what to ask for it by, and what it computes."""

    name: str
    title: str


@command.command("list")
def list_problems(as_json: Annotated[bool, JSON_OPTION] = False) -> None:
    """List the built-in problems."""
    listed = [Listed(name=suite.PREFIX + name, title=_title(name)) for name in suite.names()]
    if as_json:
        emit(listed)
        return
    width = max((len(problem.name) for problem in listed), default=0)
    for problem in listed:
        show(Text(f"{problem.name:<{width}}  {problem.title}"))


@command.command("show")
def show_problem(
    problem: Annotated[str, ORIGIN],
    direction: Annotated[Direction | None, _DIRECTION] = None,
    guide: Annotated[
        str | None, typer.Option(help="Print how to write a candidate in this language instead.")
    ] = None,
    as_json: Annotated[bool, JSON_OPTION] = False,
) -> None:
    """Show a problem's tensors and workloads.

    They are derived by running its file, in a process of its own.
    """
    language: Language | None = names.load("language", guide)() if guide else None
    with Reference.open(problem, direction=direction) as reference:
        say(f"Loading {problem} …")
        loaded = reference.load()
    if language is not None:
        show(Text(language.guide(loaded), no_wrap=True, overflow="ignore"))
    elif as_json:
        # What the hidden workloads are, only the judge knows.
        visible = tuple(w for w in loaded.workloads if w.split != "hidden")
        emit(loaded.model_copy(update={"workloads": visible}))
    else:
        show(text.problem_facts(loaded))


@command.command("admit")
def admit_problems(
    problems: Annotated[list[str] | None, ORIGIN] = None,
    direction: Annotated[Direction | None, _DIRECTION] = None,
    every: Annotated[bool, typer.Option("--all", help="Admit every built-in problem.")] = False,
    seed: Annotated[int, typer.Option(help="Where the inputs are drawn from.", min=0)] = 0,
    as_json: Annotated[bool, JSON_OPTION] = False,
) -> int:
    """Say whether a wrong program would be noticed.

    Deliberately wrong programs are run on the inputs that the judge would draw.

    Exits with 1 when a problem's inputs cannot tell one of them apart.
    """
    origins = [suite.PREFIX + name for name in suite.names()] if every else problems or []
    if not origins:
        raise UsageError("Which problem? Give a file, builtin:<name>, or --all.")
    found = [_admit(origin, direction, seed, quiet=as_json) for origin in origins]
    if as_json:
        emit(found)
    return 0 if all(admission.admitted for admission in found) else 1


def _admit(origin: str, direction: Direction | None, seed: int, *, quiet: bool) -> Admission:
    with Reference.open(origin, direction=direction) as reference:
        say(f"Admitting {origin} …")
        reference.load()
        admission = reference.admit(seed)
    if not quiet:
        show(text.admission_table(admission))
    return admission


def _title(name: str) -> str:
    """The first line of the file's docstring."""
    said = ast.get_docstring(ast.parse(suite.source(name).text)) or ""
    return said.partition("\n")[0]
