"""A judge on another machine: `kernelwright serve` there, or nobody who can be asked.

The problem is loaded here too, for its guide and its sketches. What is written is judged there.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager

from kernelwright.core.candidate import Candidate
from kernelwright.core.errors import BuildRefused, SpecError, UsageError, WorkerError
from kernelwright.core.evaluation import Effort, Evaluation
from kernelwright.core.problem import Problem, Source
from kernelwright.core.protocols import Evaluator
from kernelwright.core.run import RunSpec
from kernelwright.evaluate.judge import EVALUATOR
from kernelwright.languages.tunables import settled_text
from kernelwright.problems.reference import Reference
from kernelwright.problems.suite import PREFIX, read_source
from kernelwright.run import equipment
from kernelwright.run.equipment import Equipment, furnished, library_of, same_problem
from kernelwright.run.memory import runs_in
from kernelwright.run.spec import BATCH, device_of
from kernelwright.serve.client import Client
from kernelwright.serve.records import Submission

# Not that of a server of ours: who talks to our server need not know the judge's token.
TOKEN_VARIABLE = "KERNELWRIGHT_JUDGE_TOKEN"
_PATIENCE_S = 600.0


class Elsewhere:
    """The judge behind a client. Implements `core.protocols.Evaluator`.

    A service takes one file. The settings of tunables are written into its text.
    """

    def __init__(self, client: Client, problem: Problem, origin: str, device: str):
        """`origin` is where the problem is from: a built-in one is asked for by its name, as long
        as that means the same here, and another one by its text."""
        self._client = client
        self._device = device
        self._asked = {"problem_source": problem.reference.text}
        if origin.startswith(PREFIX):
            known, _ = read_source(origin, sizes="gpu" if device == "cuda" else "cpu")
            if known.text == problem.reference.text:
                self._asked = {"problem": origin}

    async def evaluate(self, candidate: Candidate, effort: Effort) -> Evaluation:
        """The verdict on `candidate`.

        Raises:
            UsageError: the service refuses it, or is another version or on another device.
            FaultError: it cannot be reached, or broke.
        """
        if len(candidate.source.files) > 1:
            raise UsageError(
                "The judge is on another machine, and takes one file. Put all into one, or judge "
                "here."
            )
        try:
            text = settled_text(candidate) if candidate.tunables else candidate.source.text
        except BuildRefused as refused:
            raise UsageError(str(refused)) from refused
        submission = Submission.model_validate(
            {**self._asked, "candidate": text, "language": candidate.language, "effort": effort}
        )
        answer = await asyncio.to_thread(self._client.evaluate, submission)
        if answer.state == "refused":
            raise UsageError(f"The judge refuses it: {answer.message}")
        if answer.evaluation is None:
            raise WorkerError(f"The judge gave no verdict: {answer.message}")
        self._check(answer.evaluation)
        # There it has its settings as defaults, and so another id.
        return answer.evaluation.model_copy(update={"candidate_id": candidate.id})

    def _check(self, evaluation: Evaluation) -> None:
        if evaluation.evaluator != EVALUATOR:
            raise UsageError(
                f"The judge is of version {evaluation.evaluator}, and this is {EVALUATOR}. Use the "
                "same version of Kernelwright on both sides."
            )
        if evaluation.environment.kind != self._device:
            raise UsageError(
                f"The judge runs candidates on {evaluation.environment.device}, and this run is "
                f"for {self._device}. Start it with --device {self._device}."
            )


class Nobody:
    """The judge where verdicts are carried to the run. Implements `core.protocols.Evaluator`."""

    async def evaluate(self, candidate: Candidate, effort: Effort) -> Evaluation:
        """None can be had here.

        Raises:
            UsageError: always; what to do is said.
        """
        raise UsageError(
            f"A {effort} of candidate {candidate.id[:16]} is needed, and this run has none yet. "
            f'Judge it on the other machine with effort = "{effort}" in batch.toml, and bring the '
            "result by `kernelwright import`."
        )


@contextmanager
def equip(spec: RunSpec, origin: str | Source, known: Problem | None = None) -> Iterator[Equipment]:
    """The parts for `spec`, wherever its judge is. See `run.equipment.Equip`.

    The token of a judge elsewhere is in the environment, as `TOKEN_VARIABLE`.

    Raises:
        UsageError: the problem, or this machine, does not allow it.
    """
    if spec.judge is None:
        with equipment.equip(spec, origin, known) as here:
            yield here
        return
    device = device_of(spec)
    library = library_of(spec)
    runs_in(spec.memory)  # before anything is started
    source, _ = read_source(origin, sizes="gpu" if device == "cuda" else "cpu")
    with Reference.open(source, device="cpu", direction=spec.direction) as reference:
        problem = same_problem(reference.load(), known)
        _check_direction(spec, problem)
        judge = _judge_of(spec, spec.judge, problem, device)
        yield furnished(spec, problem, reference, judge, library)


def _judge_of(spec: RunSpec, judge: str, problem: Problem, device: str) -> Evaluator:
    if judge == BATCH:
        return Nobody()
    client = Client(judge, token=os.environ.get(TOKEN_VARIABLE), patience_s=_PATIENCE_S)
    return Elsewhere(client, problem, spec.problem, device)


def _check_direction(spec: RunSpec, problem: Problem) -> None:
    """A service judges what a file says by itself; a batch's manifest says the direction."""
    said = spec.direction is None or f'"{spec.direction}"' in problem.reference.text
    if spec.judge != BATCH and not said:
        raise SpecError(
            "A judge elsewhere judges what the problem's file says. Write "
            f'DIRECTION = "{spec.direction}" into it, instead of --direction.'
        )
