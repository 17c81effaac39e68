"""Getting verdicts on the steps of one session: in the background, in turn, and never lost.

Whoever waits for a verdict may go away. A candidate that is with the judge then is judged to its
end, and one that still waits is withdrawn.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

from kernelwright.agents.limits import Refused, Turns
from kernelwright.core.candidate import Candidate, Proposal
from kernelwright.core.errors import KernelwrightError, StoreError
from kernelwright.core.evaluation import Fault
from kernelwright.generate.outside import GONE
from kernelwright.run.equipment import Equipment
from kernelwright.run.log import RunLog
from kernelwright.run.patience import GaveUp, patiently
from kernelwright.run.verdicts import evaluated, record_verdict

Progress = Callable[[float, str], Awaitable[None]]
Lend = Callable[[], AbstractAsyncContextManager[Equipment]]

MOST_IN_FLIGHT = 4
_WITHDRAWN = "It was withdrawn before it was judged."
_TELL_EVERY_S = 2.0


async def say_nothing(_seconds: float, _what: str) -> None:
    """The progress that nobody watches."""


async def watched(task: asyncio.Task[Any], progress: Progress, where: Callable[[], str]) -> None:
    """Wait for the end of `task`, and tell `progress` every now and then where it is."""
    started = time.monotonic()
    while not task.done():
        await asyncio.wait([task], timeout=_TELL_EVERY_S)
        if not task.done():
            await progress(time.monotonic() - started, where())


@dataclass
class _Job:
    """A step on its way to a verdict. `since` is when it got to the judge; None while it waits."""

    task: asyncio.Task[None]
    since: float | None = None


class Judging:
    """The verdicts of one run that are under way."""

    def __init__(self, log: RunLog, lend: Lend, turns: Turns):
        self._log = log
        self._lend = lend
        self._turns = turns
        self._jobs: dict[int, _Job] = {}
        self._closing = False

    @property
    def under_way(self) -> int:
        """How many wait or are judged."""
        return len(self._jobs)

    @property
    def carry(self) -> None:
        """Nothing need be carried: the judge answers."""

    def check_room(self, candidate: Candidate) -> None:  # noqa: ARG002
        """Whether one more may be begun, whichever it is.

        Raises:
            Refused: enough of this run are under way, or of all runs.
        """
        if len(self._jobs) >= MOST_IN_FLIGHT:
            raise Refused(
                f"{len(self._jobs)} attempts of this run are under way, and no more may be. Wait "
                "for one of them."
            )
        self._turns.check_room()

    def take_up(self) -> None:
        """Begin with what an earlier session, or a judge that broke, left without a verdict."""
        for step in self._log.state.unfinished:
            if step.number in self._jobs:
                continue
            if step.candidate is None:
                said = Proposal(step=step.number, plan=step.plan, reason=GONE)
                self._log.record("proposal", said)
            else:
                self.begin(step.number, step.candidate)

    def begin(self, number: int, candidate: Candidate) -> None:
        """Start on the way to a verdict."""
        job = _Job(asyncio.create_task(self._judge(number, candidate)))
        self._jobs[number] = job
        job.task.add_done_callback(lambda task: self._ended(number, task))

    async def wait(self, number: int, progress: Progress = say_nothing) -> None:
        """Wait for the end of a step that was begun; what `progress` is told is for a person.

        A caller that is cancelled withdraws the step, unless the judge has it already.

        Raises:
            StoreError: the log could not be written.
        """
        job = self._jobs.get(number)
        if job is None:
            return
        try:
            await watched(job.task, progress, lambda: self._where(job))
        except asyncio.CancelledError:
            self._withdraw(number, job)
            raise
        if not job.task.cancelled():
            job.task.result()

    async def close(self, grace_s: float) -> None:
        """Let those that wait be, for the next session, and wait for those that are judged."""
        self._closing = True
        jobs = list(self._jobs.values())
        for job in jobs:
            if job.since is None:
                job.task.cancel()
        if jobs:
            await asyncio.wait([job.task for job in jobs], timeout=grace_s)

    def _where(self, job: _Job) -> str:
        if job.since is None:
            others = self._turns.waiting - 1
            return f"waiting for the judge, as {others} more do" if others > 0 else "in preparation"
        return f"being judged for {time.monotonic() - job.since:.0f} s"

    def _withdraw(self, number: int, job: _Job) -> None:
        if job.since is not None or job.task.done():
            return
        job.task.cancel()
        step = self._log.state.steps[number]
        said = Proposal(
            step=number,
            plan=step.plan,
            candidate=step.candidate,
            reason=_WITHDRAWN,
            model_calls=step.proposal.model_calls if step.proposal else (),
        )
        self._log.record("proposal", said)

    def _ended(self, number: int, task: asyncio.Task[None]) -> None:
        self._jobs.pop(number, None)
        if task.cancelled() or task.exception() is not None:
            return  # what could not be written down now is left for the next session
        if not self._closing and not self._jobs and self._log.state.unfinished:
            self.take_up()  # a judge that broke took verdicts back

    async def _judge(self, number: int, candidate: Candidate) -> None:
        try:
            async with self._lend() as equipment, self._turns.taken():
                self._jobs[number].since = time.monotonic()
                evaluation = await patiently(
                    lambda: evaluated(self._log, equipment.evaluator, candidate),
                    self._log,
                    number,
                    equipment.retries,
                )
                record_verdict(self._log, "evaluation", number, evaluation)
        except GaveUp:
            return  # the fault is in the log
        except StoreError:
            raise
        except KernelwrightError as error:
            fault = Fault(where="ours", step=number, message=str(error), retryable=False)
            self._log.record("fault", fault)
