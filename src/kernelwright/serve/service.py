"""The service without its HTTP: a bounded queue, one thread that judges, and answers that stay.

A submission that was taken ends in exactly one answer: judged, refused, a fault of ours, or handed
back because the server was stopped. None is dropped, and a killed server goes on where it was.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future

from kernelwright.core import names
from kernelwright.core.errors import (
    FaultError,
    KernelwrightError,
    StoreError,
    UnknownName,
    UsageError,
)
from kernelwright.core.evaluation import Evaluation, Fault
from kernelwright.evaluate.batch import ProblemJudge, judge_many, read_candidate
from kernelwright.problems import suite
from kernelwright.serve.judges import Judges, OpenJudge, problem_key
from kernelwright.serve.ledger import Ledger, Task
from kernelwright.serve.records import FINAL, Answer, Health, State, Submission

_TOGETHER = 16  # of one problem and for one card, before another problem has its turn
_TRIES = 3
_ID_BYTES = 16  # not to be guessed: an id is all that is needed to read an answer
_DISK_PAUSE_S = 1.0
_STOPPED = "The server was stopped before it came to this. Submit it again."

_LOG = logging.getLogger(__name__)


class QueueFull(Exception):
    """There is no room; `retry_after_s` is when there may be."""

    def __init__(self, retry_after_s: int):
        super().__init__(retry_after_s)
        self.retry_after_s = retry_after_s


class Stopping(Exception):
    """The server is being stopped and takes nothing more."""


class Service:
    """Takes submissions, judges them in turn, and answers. Safe to use from any thread."""

    def __init__(
        self,
        ledger: Ledger,
        open_judge: OpenJudge,
        *,
        queue: int = 256,
        open_problems: int = 2,
        allow_problems: bool = False,
        cards: int = 1,
    ):
        """Go on with what `ledger` has not answered, and start to judge. A judge has `cards` to use
        at once."""
        self._together = cards * _TOGETHER
        self._ledger = ledger
        self._judges = Judges(open_judge, open_problems)
        self._limit = queue
        self._allow_problems = allow_problems
        self._changed = threading.Condition()
        self._queue: OrderedDict[str, Task] = OrderedDict((t.id, t) for t in ledger.unfinished())
        self._judging: dict[str, Task] = {}
        self._waiters: dict[str, Future[None]] = {one: Future() for one in self._queue}
        self._stopping = False
        self._each_s = 0.0
        self._thread = threading.Thread(target=self._work, name="judging", daemon=True)
        self._thread.start()

    def submit(self, submissions: Sequence[Submission]) -> list[str]:
        """Take all of `submissions`, or none; their ids, in order.

        Raises:
            UsageError: one asks for a problem or language that there is not, or may not.
            QueueFull: there is no room for all of them now.
            Stopping: the server is being stopped.
            StoreError: they could not be written down.
        """
        for submission in submissions:
            self._check(submission)
        tasks = [Task(secrets.token_urlsafe(_ID_BYTES), one) for one in submissions]
        with self._changed:
            if self._stopping:
                raise Stopping
            if len(self._queue) + len(tasks) > self._limit:
                raise QueueFull(max(1, min(60, round(self._each_s * len(self._queue) / 4))))
            self._ledger.add(tasks)
            for task in tasks:
                self._queue[task.id] = task
                self._waiters[task.id] = Future()
            self._changed.notify_all()
        return [task.id for task in tasks]

    def answer(self, submission_id: str) -> Answer | None:
        """Where a submission stands; None when there is none of this id."""
        found = self._ledger.answer(submission_id)
        if found is not None and found.state not in FINAL:
            with self._changed:
                if submission_id in self._judging:
                    return found.model_copy(update={"state": "judging"})
        return found

    def done(self, submission_id: str) -> Future[None] | None:
        """What is done when the answer is there; None when nobody works on it."""
        with self._changed:
            return self._waiters.get(submission_id)

    def health(self) -> Health:
        """Whether there is room."""
        with self._changed:
            waiting = len(self._queue) + len(self._judging)
            return Health(
                accepting=not self._stopping,
                waiting=waiting,
                room=max(0, self._limit - len(self._queue)),
            )

    def stop(self) -> None:
        """Take nothing more, finish the one under way, hand back what waits. Returns at once."""
        with self._changed:
            self._stopping = True
            waiting, self._queue = list(self._queue), OrderedDict()
            self._changed.notify_all()
        self._finish(waiting, "not_judged", _STOPPED)

    def close(self, grace_s: float = 30.0) -> None:
        """Stop, and wait `grace_s` for the one under way; if it is not done, hand it back too."""
        self.stop()
        self._thread.join(grace_s)
        with self._changed:
            left = list(self._judging)
        self._finish(left, "not_judged", _STOPPED)

    def _check(self, submission: Submission) -> None:
        if submission.problem_source is not None and not self._allow_problems:
            raise UsageError(
                "This server judges built-in problems only, since a problem's own code runs "
                "outside the sandbox. It must be started with --allow-problems to take others."
            )
        if submission.problem is not None:
            if not submission.problem.startswith(suite.PREFIX):
                raise UsageError(
                    f"A problem is called builtin:<name>, and not {submission.problem[:80]!r}."
                )
            suite.path(submission.problem.removeprefix(suite.PREFIX))
        if submission.language not in names.known("language"):
            raise UnknownName.of("language", submission.language, names.known("language"))

    def _work(self) -> None:
        try:
            while tasks := self._take():
                self._judge(tasks)
        finally:
            self._judges.close()

    def _take(self) -> list[Task]:
        """The next few submissions of one problem and effort; none when the server stops."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._stopping)
            tasks: list[Task] = []
            for task in self._queue.values():
                if len(tasks) < self._together and (not tasks or _alike(task, tasks[0])):
                    tasks.append(task)
            for task in tasks:
                del self._queue[task.id]
                self._judging[task.id] = task
            return tasks

    def _judge(self, tasks: list[Task]) -> None:
        """Every one of `tasks` gets its answer, whatever happens."""
        message = "It was left without a verdict."
        try:
            self._judge_together(tasks)
        except UsageError as error:
            self._finish(self._without_answer(tasks), "refused", str(error))
        except KernelwrightError as error:
            message = str(error)
        # A server outlives whatever breaks while it judges; what broke is in the answer.
        except Exception as error:
            message = f"Something in Kernelwright broke ({type(error).__name__}: {error})."
        left = self._without_answer(tasks)
        if left:
            self._finish(left, "fault", message)
            self._judges.drop(tasks[0].submission)

    def _judge_together(self, tasks: list[Task]) -> None:
        judge = self._opened(tasks[0].submission)
        candidates = (
            read_candidate(judge.problem, t.submission.candidate, t.submission.language)
            for t in tasks
        )
        verdicts = judge_many(judge, candidates, tasks[0].submission.effort)
        broke = False
        while not self._stopping:
            started = time.monotonic()
            index, found = next(verdicts, (0, None))
            if found is None:
                break
            self._give(tasks[index], found)
            broke |= isinstance(found, Fault) and found.retryable
            self._each_s += 0.2 * (time.monotonic() - started - self._each_s)
        self._finish(self._without_answer(tasks), "not_judged", _STOPPED)
        if broke:
            self._judges.drop(tasks[0].submission)

    def _opened(self, submission: Submission) -> ProblemJudge:
        for _ in range(_TRIES - 1):
            try:
                return self._judges.get(submission)
            except FaultError:
                time.sleep(0.5)
        return self._judges.get(submission)

    def _give(self, task: Task, found: Evaluation | Fault) -> None:
        if isinstance(found, Evaluation):
            self._finish([task.id], "judged", None, found)
        elif found.retryable:
            self._finish([task.id], "fault", found.message)
        else:
            self._finish([task.id], "refused", found.message)

    def _without_answer(self, tasks: list[Task]) -> list[str]:
        with self._changed:
            return [task.id for task in tasks if task.id in self._judging]

    def _finish(
        self,
        ids: Sequence[str],
        state: State,
        message: str | None,
        evaluation: Evaluation | None = None,
    ) -> None:
        """Write the answers down, then tell who waits for them.

        While the disk refuses, nothing is judged and nothing is lost: it is tried again until the
        server is stopped, and what is not written then is still queued for the next start.
        """
        while ids:
            try:
                self._ledger.finish(ids, state, message, evaluation)
                break
            except StoreError as error:
                _LOG.error("%s", error)
                if self._stopping:
                    break
                time.sleep(_DISK_PAUSE_S)
        with self._changed:
            waiters = [self._waiters.pop(one, None) for one in ids]
            for one in ids:
                self._judging.pop(one, None)
        for waiter in waiters:
            if waiter is not None:
                waiter.set_result(None)


def _alike(task: Task, first: Task) -> bool:
    return (
        problem_key(task.submission) == problem_key(first.submission)
        and task.submission.effort == first.submission.effort
    )
