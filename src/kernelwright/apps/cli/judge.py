"""`kernelwright judge`: the verdict on candidates that are already written."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kernelwright.apps.cli.batch import judge_folder
from kernelwright.apps.cli.judging import (
    Asked,
    candidate_files,
    device_for,
    judge_one,
    judge_several,
)
from kernelwright.apps.cli.self_check import run_self_check
from kernelwright.apps.cli.terminal import JSON_OPTION
from kernelwright.core.cards import kind_of, only_card
from kernelwright.core.errors import UsageError
from kernelwright.core.evaluation import Isolation
from kernelwright.core.problem import Direction
from kernelwright.corpora.self_check import Corpus
from kernelwright.languages.machine import cuda_devices
from kernelwright.problems.suite import read_source

_PROBLEM = typer.Argument(help="A KernelBench file, or builtin:<name>.")
_CANDIDATES = typer.Argument(
    metavar="CANDIDATE...", help="Files (.cpp, .cu or .py), or folders of them."
)
_LANGUAGE = typer.Option(help="Their language, when a file's name does not tell.")
_QUICK = typer.Option("--quick", help="Judge as a search does: fewer checks, faster timing.")
_DIRECTION = typer.Option(help="What to compute, instead of what the file says.")
_DEVICE = typer.Option(
    metavar="cpu|cuda|cuda:N",
    help="Where they run: on GPUs when all are .py or .cu files and there is one, else the CPU.",
)
_ISOLATION = typer.Option(help="Refuse to run with less isolation than this.")
_SELF_CHECK = typer.Option(
    "--self-check",
    help="Try the judge itself: its corpora of exploits and of odd but honest kernels.",
)
_BATCH = typer.Option(
    help="A folder with a folder of candidates for each problem: judge them all, with a result "
    "for each in DIR/results."
)
_ONLY = typer.Option(help="With --self-check: a class such as A2, or a part of a name.")
_CORPUS = typer.Option(help="With --self-check: one of the two corpora alone.")


def command(
    problem: Annotated[str | None, _PROBLEM] = None,
    candidates: Annotated[list[Path] | None, _CANDIDATES] = None,
    language: Annotated[str | None, _LANGUAGE] = None,
    quick: Annotated[bool, _QUICK] = False,
    direction: Annotated[Direction | None, _DIRECTION] = None,
    device: Annotated[str | None, _DEVICE] = None,
    require_isolation: Annotated[Isolation, _ISOLATION] = "process",
    as_json: Annotated[bool, JSON_OPTION] = False,
    self_check: Annotated[bool, _SELF_CHECK] = False,
    only: Annotated[str, _ONLY] = "",
    corpus: Annotated[Corpus, _CORPUS] = "both",
    batch: Annotated[Path | None, _BATCH] = None,
) -> int:
    """Say whether candidates are right and how fast they are.

    Several files, or a folder, get a line each as they are ready, and with --json a JSON value on
    each line, with the file's name. Exits with 0 when all passed and with 1 when one did not.

    With --batch DIR the candidates of many problems are judged in one go, those in DIR/softmax for
    builtin:softmax or for DIR/softmax/problem.py; what has a result is not judged again, and
    `kernelwright import` takes the results into a run. It exits with 0 when every file has one.
    """
    _check_flags(self_check, problem, only=only, corpus=corpus)
    if batch is not None:
        _check_batch_alone(problem, self_check or quick or language or direction)
    kind = kind_of(device) if device else None
    with only_card(device):
        if batch is not None:
            return judge_folder(
                batch,
                device=kind or ("cuda" if cuda_devices() else "cpu"),
                require_isolation=require_isolation,
                as_json=as_json,
            )
        if self_check:
            return run_self_check(
                only=only,
                corpus=corpus,
                device=kind or "cpu",
                require_isolation=require_isolation,
                as_json=as_json,
            )
        if problem is None or not candidates:
            raise UsageError(
                "Which problem and candidate? Give builtin:<name> or a file, then files."
            )
        files = candidate_files(candidates, language)
        # Read here too, before a process is started: a slip should cost nothing.
        read_source(problem)
        asked = Asked(
            problem=problem,
            language=language,
            direction=direction,
            effort="search" if quick else "promotion",
            device=kind or device_for(files),
            require_isolation=require_isolation,
        )
        if len(candidates) == 1 and files == candidates:
            return judge_one(asked, files[0], as_json=as_json)
        return judge_several(asked, files, as_json=as_json)


def _check_batch_alone(problem: str | None, others: object) -> None:
    """Refuse what a folder says by itself."""
    if problem is not None or others:
        raise UsageError(
            "--batch judges a folder as its batch.toml says. Leave out the problem, the "
            "candidates, --self-check, --quick, --language and --direction."
        )


def _check_flags(self_check: bool, problem: str | None, *, only: str, corpus: Corpus) -> None:
    """Refuse what would otherwise be passed over in silence."""
    if self_check and problem is not None:
        raise UsageError(
            "--self-check judges the programs of its own corpora. Leave the problem and the "
            "candidates out, or leave --self-check out to judge them."
        )
    if not self_check and (only or corpus != "both"):
        raise UsageError("--only and --corpus choose among the corpora. Add --self-check.")
