"""Attempts that wait for a judge which nobody here can ask: a folder to carry to it.

There `kernelwright judge --batch` judges what is in it, and here `kernelwright import` brings the
verdicts to the attempts that wait for them.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from kernelwright.agents.limits import Refused
from kernelwright.core.candidate import Candidate
from kernelwright.core.errors import StoreError
from kernelwright.core.problem import Problem
from kernelwright.core.run import RunSpec
from kernelwright.evaluate.batches import MANIFEST
from kernelwright.problems.suite import PREFIX
from kernelwright.run.folder import RunFolder

FOLDER = "batch"
_SUFFIX = {"cpp": ".cpp", "cuda": ".cu"}  # of all others, .py


def put_aside(folder: RunFolder, spec: RunSpec, problem: Problem, candidate: Candidate) -> Path:
    """Write `candidate` into the batch of the run, which has a folder for each language; the path
    of its file.

    Raises:
        StoreError: a file could not be written.
    """
    batch = folder.path / FOLDER
    name = f"{candidate.id[:16]}{_SUFFIX.get(candidate.language, '.py')}"
    path = batch / candidate.language / name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not spec.problem.startswith(PREFIX):
            _write(batch / problem.reference.main_file, problem.reference.text)
        _write(batch / MANIFEST, _manifest(batch, spec, problem))
        _write(path, candidate.source.text)
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror}.") from error
    return path


def check_can_wait(candidate: Candidate) -> None:
    """Refuse what a batch has no place for.

    Raises:
        Refused: it is more than one file.
    """
    if len(candidate.source.files) > 1:
        raise Refused("A candidate that is judged in a batch is one file. Put all into one.")


def _manifest(batch: Path, spec: RunSpec, problem: Problem) -> str:
    """What is in the batch: folders that are there, each for the run's problem."""
    own = not spec.problem.startswith(PREFIX)
    origin = problem.reference.main_file if own else spec.problem
    lines = ['effort = "search"  # or "promotion": what ./promote wants of the best']
    for language in sorted(p.name for p in batch.iterdir() if p.name in spec.languages):
        lines += ["", f"[problems.{language}]", f"problem = {json.dumps(origin)}"]
        lines += [f'language = "{language}"']
        lines += [f'direction = "{spec.direction}"'] if spec.direction else []
    return "\n".join(lines) + "\n"


def _write(path: Path, text: str) -> None:
    """A whole file, or none."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(text, encoding="utf-8", newline="\n")
    draft.replace(path)
