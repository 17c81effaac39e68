"""`kernelwright judge`: the verdict on one candidate that is already written."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from kernelwright.apps.cli.terminal import JSON_OPTION, emit, say, show
from kernelwright.core.errors import UsageError
from kernelwright.core.evaluation import Effort, Evaluation, Isolation, Passed
from kernelwright.evaluate.judge import Judge
from kernelwright.languages.machine import cuda_devices
from kernelwright.languages.reading import candidate_from_file
from kernelwright.problems.reference import Device, Reference
from kernelwright.report import text
from kernelwright.report.result import judged


def command(
    problem: Annotated[str, typer.Argument(help="A KernelBench file, or builtin:<name>.")],
    candidate: Annotated[Path, typer.Argument(help="The candidate's file: .cpp, .cu or .py.")],
    language: Annotated[
        str | None, typer.Option(help="Its language, when the file's name does not tell.")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Judge as a search does: fewer checks, faster timing.")
    ] = False,
    device: Annotated[
        Literal["cpu", "cuda"] | None,
        typer.Option(help="Where it runs: a GPU for .py files where there is one, else the CPU."),
    ] = None,
    require_isolation: Annotated[
        Isolation, typer.Option(help="Refuse to run with less isolation than this.")
    ] = "process",
    as_json: Annotated[bool, JSON_OPTION] = False,
) -> int:
    """Say whether one candidate is right and how fast it is.

    Exits with 0 when it passed and with 1 when it did not.
    """
    if not candidate.is_file():
        raise UsageError(f"There is no file {candidate}; give the path of a candidate's source.")
    effort: Effort = "search" if quick else "promotion"
    gpu = candidate.suffix == ".py" and cuda_devices() > 0
    where = device or ("cuda" if gpu else "cpu")
    name, evaluation = _evaluate(problem, candidate, language, effort, require_isolation, where)
    if as_json:
        emit(judged(evaluation, name))
    else:
        show(text.verdict(evaluation))
    return 0 if isinstance(evaluation.outcome, Passed) else 1


def _evaluate(
    origin: str,
    path: Path,
    language: str | None,
    effort: Effort,
    isolation: Isolation,
    device: Device,
) -> tuple[str, Evaluation]:
    """The problem's id and the verdict."""
    with Reference.open(origin, device=device) as reference:
        say(f"Loading {origin} …")
        problem = reference.load()
        made = candidate_from_file(problem, path, language)
        say(f"Judging {path} ({made.language}, {made.id}) …")
        with Judge(problem, reference, device=device, require_isolation=isolation) as judge:
            return problem.id, judge.judge(made, effort)
