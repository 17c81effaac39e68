"""The judges that a server has open, one for each problem; the one not used for longest goes first.

An open judge holds its cases and the processes of its baselines: one or two GB.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack

from kernelwright.core.problem import Source
from kernelwright.evaluate.batch import ProblemJudge
from kernelwright.serve.records import Submission

_FILE = "problem.py"


OpenJudge = Callable[[str | Source], AbstractContextManager[ProblemJudge]]


class Judges:
    """At most `limit` open judges. Used from one thread; a context manager."""

    def __init__(self, open_judge: OpenJudge, limit: int):
        self._open_judge = open_judge
        self._limit = limit
        self._open: OrderedDict[str, tuple[ProblemJudge, ExitStack]] = OrderedDict()

    def get(self, submission: Submission) -> ProblemJudge:
        """The judge of the submission's problem, opened when it is not.

        Raises:
            KernelwrightError: as `evaluate.opening.open_judge`.
        """
        key = problem_key(submission)
        if key not in self._open:
            while len(self._open) >= self._limit:
                self._close(next(iter(self._open)))
            stack = ExitStack()
            self._open[key] = stack.enter_context(self._open_judge(_origin(submission))), stack
        self._open.move_to_end(key)
        return self._open[key][0]

    def drop(self, submission: Submission) -> None:
        """Close the judge of the submission's problem, after which the next one starts afresh."""
        if problem_key(submission) in self._open:
            self._close(problem_key(submission))

    def close(self) -> None:
        """Close all."""
        for key in list(self._open):
            self._close(key)

    def _close(self, key: str) -> None:
        _, stack = self._open.pop(key)
        stack.close()


def problem_key(submission: Submission) -> str:
    """Equal for submissions of one problem."""
    if submission.problem is not None:
        return submission.problem
    return f"source:{submission.problem_source}"


def _origin(submission: Submission) -> str | Source:
    if submission.problem is not None:
        return submission.problem
    text = submission.problem_source or ""
    return Source(files={_FILE: text}, entry_point=f"{_FILE}::Model")
