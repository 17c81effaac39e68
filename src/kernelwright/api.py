"""The judge in Python: `judge` for one candidate, `Judge` for many for the same problem.

What `kernelwright.judge` and `kernelwright.Judge` are; they are loaded when first used.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from kernelwright.core import names
from kernelwright.core.candidate import Candidate
from kernelwright.core.errors import FaultError, Unavailable, UsageError
from kernelwright.core.evaluation import Effort, Evaluation, Fault, Isolation
from kernelwright.core.problem import Direction, Problem, Source
from kernelwright.core.statistics import score
from kernelwright.evaluate.batch import NoCandidate, judge_many, read_candidate
from kernelwright.evaluate.opening import open_judges
from kernelwright.languages.reading import candidate_from_file
from kernelwright.problems.reference import Device

__all__ = ["Evaluation", "Fault", "Judge", "judge", "speedup"]


class Judge:
    """The judge of one problem, with its language and effort. A context manager.

    `problem` is a KernelBench file's path, ``builtin:<name>`` or a `Source`; its code runs in a
    process that is trusted. `direction` goes before what it says. A candidate is text, or a `Path`
    to read it from. Opening takes seconds and the first verdict with timing some more; what is open
    is used by every candidate.
    """

    def __init__(
        self,
        problem: str | Path | Source,
        *,
        language: str = "cpp",
        effort: Effort = "search",
        direction: Direction | None = None,
        device: Device = "cpu",
        require_isolation: Isolation = "process",
        gpus: int = 1,
    ):
        """Start the processes. On "cuda" up to `gpus` of the GPUs that this process may use get a
        judge each, which share the work of `many`.

        Raises:
            UsageError: the file can be no problem, or this machine lacks something.
            FaultError: our own failure.
        """
        names.load("language", language)
        self._language = language
        self._effort = effort
        with ExitStack() as stack:
            self._judge = stack.enter_context(
                open_judges(
                    problem,
                    direction=direction,
                    device=device,
                    require_isolation=require_isolation,
                    most=gpus,
                )
            )
            self._stack = stack.pop_all()
        self._closed = False

    @property
    def problem(self) -> Problem:
        """The tensors, sizes and workloads that candidates are judged on."""
        return self._judge.problem

    def judge(self, candidate: str | Path) -> Evaluation:
        """The verdict on one candidate, whatever is wrong with it.

        Raises:
            UsageError: a file that cannot be read, or a language that this machine lacks.
            FaultError: our own failure, twice more tried; the candidate is not to blame.
        """
        ((_, found),) = self.many([candidate])
        if isinstance(found, Fault):
            raise (FaultError if found.retryable else Unavailable)(found.message)
        return found

    def many(self, candidates: Iterable[str | Path]) -> Iterator[tuple[int, Evaluation | Fault]]:
        """Each verdict as it is ready, with its candidate's place: others are built meanwhile. Our
        own failure is a `Fault` in its place.

        Raises:
            UsageError: the judge is closed; or, in its turn, a file cannot be read.
        """
        if self._closed:
            raise UsageError("This judge is closed. Open another with `kernelwright.Judge(...)`.")
        read = (self._read(candidate) for candidate in candidates)
        return judge_many(self._judge, read, self._effort)

    def close(self) -> None:
        """End the processes. Safe to call twice."""
        self._closed = True
        self._stack.close()

    def _read(self, candidate: str | Path) -> Candidate | NoCandidate:
        if isinstance(candidate, Path):
            return candidate_from_file(self.problem, candidate, self._language)
        return read_candidate(self.problem, candidate, self._language)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def judge(
    problem: str | Path | Source,
    candidate: str | Path,
    language: str = "cpp",
    effort: Effort = "search",
    *,
    direction: Direction | None = None,
    device: Device = "cpu",
    require_isolation: Isolation = "process",
) -> Evaluation:
    """The verdict on one candidate; see `Judge`, which is faster for the next one.

    Raises:
        UsageError: the problem or the machine does not allow it.
        FaultError: our own failure; the candidate is not to blame.
    """
    with Judge(
        problem,
        language=language,
        effort=effort,
        direction=direction,
        device=device,
        require_isolation=require_isolation,
    ) as opened:
        return opened.judge(candidate)


def speedup(evaluation: Evaluation) -> float | None:
    """How many times faster than the fastest baseline, as a median; None unless it passed and was
    timed."""
    return score(evaluation.outcome)
