"""`kernelwright profile`: what limits a candidate, and what the compiler made of it."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated, Protocol

import typer
from rich.text import Text

from kernelwright.apps.cli.judging import device_for
from kernelwright.apps.cli.terminal import JSON_OPTION, emit, say, show
from kernelwright.core.candidate import Candidate
from kernelwright.core.cards import kind_of, only_card
from kernelwright.core.diagnosis import Diagnosis
from kernelwright.core.errors import Unavailable, UsageError
from kernelwright.core.evaluation import Evaluation, Isolation, Passed
from kernelwright.core.problem import Direction
from kernelwright.core.record import Record
from kernelwright.evaluate.batch import ProblemJudge
from kernelwright.evaluate.opening import open_judge
from kernelwright.evaluate.profile.counters import Counters
from kernelwright.evaluate.profile.disassembly import Facts
from kernelwright.evaluate.profile.nsight import NotCounted
from kernelwright.languages.reading import candidate_from_file
from kernelwright.problems.reference import Device
from kernelwright.problems.suite import read_source
from kernelwright.report import profile, text
from kernelwright.report.plain import visible
from kernelwright.report.result import Judged, judged
from kernelwright.run.profiling import profiled

_PROBLEM = typer.Argument(help="A KernelBench file, or builtin:<name>.")
_CANDIDATE = typer.Argument(help="A file (.cpp, .cu or .py).")
_LANGUAGE = typer.Option(help="Its language, when the file's name does not tell.")
_DIRECTION = typer.Option(help="What to compute, instead of what the file says.")
_DEVICE = typer.Option(
    metavar="cpu|cuda|cuda:N",
    help="Where it runs: a GPU for a .py or .cu file where there is one, else the CPU.",
)
_ISOLATION = typer.Option(help="Refuse to run with less isolation than this.")


class Profiled(Record):
    """What `profile --json` prints.

    `diagnosis` and `facts` are None when the candidate was not built. `verdict` is None when this
    machine can build it and not run it; then `not_judged` says why. `counters` are those of the
    GPU, None where they were not read.
    """

    verdict: Judged | None = None
    not_judged: str | None = None
    diagnosis: Diagnosis | None = None
    facts: Facts | None = None
    counters: Counters | None = None


class Profiler(ProblemJudge, Protocol):
    """What this command needs of a judge."""

    def facts(self, candidate: Candidate) -> Facts | None:
        """What the compiler made of `candidate`; None when it cannot be built."""
        ...

    def counters(self, candidate: Candidate) -> Counters | NotCounted | None:
        """What the device counts during one call of `candidate`; None where it is a CPU."""
        ...


def command(
    problem: Annotated[str, _PROBLEM],
    candidate: Annotated[Path, _CANDIDATE],
    language: Annotated[str | None, _LANGUAGE] = None,
    direction: Annotated[Direction | None, _DIRECTION] = None,
    device: Annotated[str | None, _DEVICE] = None,
    require_isolation: Annotated[Isolation, _ISOLATION] = "process",
    as_json: Annotated[bool, JSON_OPTION] = False,
) -> int:
    """Say what limits a candidate, and how far from the roofline it is.

    It is judged as a search does. On a GPU one call of it is made under Nsight Compute as well,
    where that is permitted. Exits with 1 when it does not pass, and shows what the compiler made of
    it all the same, if it was built.
    """
    if not candidate.is_file():
        raise UsageError(f"There is no file {candidate}; give a candidate's source.")
    # Read here too, before a process is started: a slip should cost nothing.
    read_source(problem)
    say(Text(f"Loading {visible(problem)} …"))
    kind = kind_of(device) if device else device_for([candidate])
    with only_card(device), _opened(problem, direction, kind, require_isolation) as judge:
        read = candidate_from_file(judge.problem, candidate, language)
        say(Text(f"Profiling {visible(str(candidate))} ({read.language}, {read.id}) …"))
        return profile_one(judge, read, as_json=as_json)


def _opened(
    problem: str, direction: Direction | None, device: Device, required: Isolation
) -> AbstractContextManager[Profiler]:
    return open_judge(problem, direction=direction, device=device, require_isolation=required)


def profile_one(judge: Profiler, candidate: Candidate, *, as_json: bool) -> int:
    """Print what is known about `candidate`; the exit code.

    Raises:
        Unavailable: it can be neither run nor built here.
    """
    evaluation, why = _judged(judge, candidate)
    passed = evaluation is not None and isinstance(evaluation.outcome, Passed)
    if evaluation is not None and passed and evaluation.environment.device != "cpu":
        say(Text("Reading the GPU's counters …"))
    seen = profiled(judge, candidate, evaluation)
    if as_json:
        emit(
            Profiled(
                verdict=judged(evaluation, judge.problem.id) if evaluation else None,
                not_judged=why,
                diagnosis=seen.diagnosis,
                facts=seen.facts,
                counters=seen.counters,
            )
        )
    else:
        _show(evaluation, why, seen.diagnosis, seen.facts)
        if seen.counters is not None:
            show(profile.launches(seen.counters))
    return 0 if passed else 1


def _judged(judge: Profiler, candidate: Candidate) -> tuple[Evaluation | None, str | None]:
    """The verdict, or why this machine cannot have one: its code may be looked at still."""
    try:
        return judge.judge(candidate, "search"), None
    except Unavailable as error:
        return None, str(error)


def _show(
    evaluation: Evaluation | None, why: str | None, diagnosis: Diagnosis | None, facts: Facts | None
) -> None:
    if evaluation is not None:
        show(text.short_verdict(evaluation))
    else:
        show(Text(f"not judged: {visible(why or '')}"))
    if diagnosis is not None:
        show(profile.diagnosed(diagnosis))
    if facts is not None:
        show(profile.found(facts))
