"""Attempts that wait for a judge which nobody here can ask: a folder to carry to it.

There `kernelwright judge --batch` judges what is in it, and here `kernelwright import` brings the
verdicts to the attempts that wait for them.
"""

from __future__ import annotations

import json

from kernelwright.agents.judging import Progress, say_nothing
from kernelwright.agents.limits import Refused
from kernelwright.core.candidate import Candidate
from kernelwright.core.problem import Problem
from kernelwright.core.run import RunSpec
from kernelwright.evaluate.batches import MANIFEST
from kernelwright.problems.suite import PREFIX
from kernelwright.run.folder import RunFolder
from kernelwright.run.log import RunLog

FOLDER = "batch"
_SUFFIX = {"cpp": ".cpp", "cuda": ".cu"}  # of all others, .py


class Carried:
    """The verdicts of a run that somebody carries to it. In the place of `judging.Judging`.

    What is in the folder follows from the log, so a session that was cut off loses nothing of it.
    """

    under_way = 0

    def __init__(self, folder: RunFolder, log: RunLog, spec: RunSpec, problem: Problem):
        self._folder = folder
        self._log = log
        self._spec = spec
        self._problem = problem

    @property
    def carry(self) -> str:
        """How an attempt gets its verdict, as a sentence."""
        return (
            f"Carry {self._folder.path / FOLDER} to the judge's machine, run `kernelwright judge "
            f"--batch DIR` there, and `kernelwright import {self._folder.path} DIR/results` with "
            "what comes back."
        )

    def check_room(self, candidate: Candidate) -> None:
        """Whether `candidate` may be begun.

        Raises:
            Refused: it is more than one file, for which a batch has no place.
        """
        if len(candidate.source.files) > 1:
            raise Refused("A candidate that is judged in a batch is one file. Put all into one.")

    def take_up(self) -> None:
        """Put aside what waits and is not in the folder.

        Raises:
            StoreError: a file could not be written.
        """
        for step in self._log.state.unfinished:
            if step.candidate is not None:
                self.begin(step.number, step.candidate)

    def begin(self, number: int, candidate: Candidate) -> None:  # noqa: ARG002
        """Put `candidate` into the folder, which has one of its own for each language.

        Raises:
            StoreError: a file could not be written.
        """
        if not self._spec.problem.startswith(PREFIX):
            source = self._problem.reference
            self._folder.write(f"{FOLDER}/{source.main_file}", source.text)
        self._folder.write(f"{FOLDER}/{MANIFEST}", self._manifest())
        name = f"{candidate.id[:16]}{_SUFFIX.get(candidate.language, '.py')}"
        self._folder.write(f"{FOLDER}/{candidate.language}/{name}", candidate.source.text)

    async def wait(self, number: int, progress: Progress = say_nothing) -> None:
        """Nothing comes while a session waits."""

    async def close(self, grace_s: float) -> None:
        """Nothing is under way."""

    def _manifest(self) -> str:
        """What is in the folder: a folder for each language, all for the run's problem."""
        spec = self._spec
        own = not spec.problem.startswith(PREFIX)
        origin = self._problem.reference.main_file if own else spec.problem
        used = {s.candidate.language for s in self._log.state.steps.values() if s.candidate}
        lines = ['effort = "search"  # or "promotion": what ./promote wants of the best']
        for language in sorted(used):
            lines += ["", f"[problems.{language}]", f"problem = {json.dumps(origin)}"]
            lines += [f'language = "{language}"']
            lines += [f'direction = "{spec.direction}"'] if spec.direction else []
        return "\n".join(lines) + "\n"
