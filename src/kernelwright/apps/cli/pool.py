"""`kernelwright pool`: all that the sketches have for some problems, judged once and kept, so that
strategies can be compared in seconds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from kernelwright.apps.cli.terminal import say
from kernelwright.compare.pool import SUFFIX, Pool
from kernelwright.compare.recording import Recorded, head_of, record
from kernelwright.core.cards import only_card
from kernelwright.core.errors import KernelwrightError, UsageError
from kernelwright.core.evaluation import Fault
from kernelwright.core.problem import Problem
from kernelwright.core.run import RunSpec
from kernelwright.core.statistics import score
from kernelwright.evaluate.environment import environment
from kernelwright.evaluate.judge import Judge
from kernelwright.knowledge.sketches.drafts import Covered, NotCovered
from kernelwright.problems import suite
from kernelwright.problems.reference import Reference
from kernelwright.report.formats import counted, times
from kernelwright.report.plain import visible
from kernelwright.run.sketching import Sketches
from kernelwright.run.spec import SKETCH, device_of, load_spec

_PROBLEMS = typer.Argument(help="KernelBench files, or names of built-in problems.")
_TO = typer.Option(help="The folder of the pools; a file for each problem.")
_LANGUAGE = typer.Option(help="What to write in; may be repeated.")
_SETTINGS = typer.Option(min=1, help="At most so many settings of each text.")
_DEVICE = typer.Option(help="auto, cpu, cuda, or one of several GPUs as cuda:N.")


def command(
    problems: Annotated[list[str], _PROBLEMS],
    to: Annotated[Path, _TO] = Path("pools"),
    language: Annotated[list[str] | None, _LANGUAGE] = None,
    settings: Annotated[int, _SETTINGS] = 24,
    device: Annotated[str | None, _DEVICE] = None,
) -> int:
    """Judge everything that the sketches have for some problems, and keep the verdicts.

    `kernelwright compare --pool FOLDER` plays searches from them. What was judged is not judged
    again, so a recording that was stopped goes on. Exits with 1 when a pool is not whole.
    """
    origins = [suite.read_source(suite.named(problem))[1] for problem in problems]
    whole = True
    for origin in origins:
        given = {
            "problem": origin, "writers": (SKETCH,), "languages": language or None, "device": device
        }  # fmt: skip
        name = Path(origin.removeprefix(suite.PREFIX)).stem
        try:
            whole &= _record(name, load_spec(None, given), to, settings)
        except KernelwrightError as error:
            if len(origins) == 1:
                raise
            say(Text(f"{visible(name)}: {visible(str(error))}", style="red"))
            whole = False
    return 0 if whole else 1


def _record(name: str, spec: RunSpec, folder: Path, most: int) -> bool:
    """Record one pool; whether it is whole."""
    path, device = folder / f"{name}{SUFFIX}", device_of(spec)
    say(Text(f"Loading {visible(spec.problem)} …"))
    with only_card(spec.device), Reference.open(spec.problem, device=device) as reference:
        problem = reference.load()
        drafts = _drafts(problem, reference, spec.languages)

        @contextmanager
        def opening() -> Iterator[Judge]:
            isolation = spec.require_isolation
            with Judge(problem, reference, device=device, require_isolation=isolation) as judge:
                yield judge

        head = head_of(spec.problem, problem, drafts, environment(device), most)
        for one in record(path, head, opening):
            say(Text(f"{visible(name)}: {_line(one)}"))
    pool = Pool.read(path)
    missing = len(pool.unseen) or len(pool.contenders)
    say(Text(f"{path}: {counted(missing, 'candidate')} got no verdict." if missing else str(path)))
    return not missing


def _drafts(problem: Problem, reference: Reference, languages: Sequence[str]) -> list[Covered]:
    sketches = Sketches(problem, reference.trace)
    found = [sketches(language) for language in languages]
    covered = [each for each in found if isinstance(each, Covered)]
    if not covered:
        reasons = [each.reason for each in found if isinstance(each, NotCovered)]
        raise UsageError(f"No sketch fits {problem.id}: {' '.join(reasons)}")
    return covered


def _line(one: Recorded) -> str:
    values = " ".join(f"{name}={value}" for name, value in one.candidate.values.items())
    if isinstance(one.found, Fault):
        came = visible(one.found.message)
    else:
        speedup = score(one.found.outcome)
        came = times(speedup) if speedup else one.found.outcome.kind.replace("_", " ")
    again = " again" if one.kind == "again" else ""
    return f"{came}{again} with {values or 'nothing to set'}; {one.left} to go"
