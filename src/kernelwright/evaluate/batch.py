"""Many candidates for one judge: builds run ahead, verdicts come as they are ready.

What a batch gains is that others are built meanwhile, side by side; and where a judge has places
for that (on a GPU, see `evaluate.judge`), that several are verified at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any, Protocol

from kernelwright.core import names
from kernelwright.core.candidate import Candidate
from kernelwright.core.errors import (
    DeviceLost,
    FaultError,
    KernelwrightError,
    UsageError,
)
from kernelwright.core.evaluation import Effort, Evaluation, Fault
from kernelwright.core.problem import Problem, Source
from kernelwright.core.protocols import Language
from kernelwright.evaluate.building.gate import MACHINE
from kernelwright.languages.reading import candidate_from_text

RETRIES = 2
_WINDOW = 3 * MACHINE.places + 2
_PAUSE_S = 0.5


class Judging(Protocol):
    """What a batch needs of a judge."""

    @property
    def places(self) -> int:
        """How many candidates are worth asking about at once."""
        ...

    def ahead(self, candidate: Candidate) -> Future[Any] | None:
        """Start to build `candidate`; None when there is nothing to wait for."""
        ...

    def judge(self, candidate: Candidate, effort: Effort) -> Evaluation:
        """The verdict on `candidate`."""
        ...

    def refuse(self, candidate: Candidate, effort: Effort, evidence: str) -> Evaluation:
        """The verdict on a text that is no candidate."""
        ...


class ProblemJudge(Judging, Protocol):
    """A judge that knows its problem."""

    @property
    def problem(self) -> Problem:
        """What candidates are judged for."""
        ...


@dataclass(frozen=True)
class NoCandidate:
    """A text that cannot be a candidate for its problem, as what it would have been, and why."""

    candidate: Candidate
    evidence: str


@dataclass(frozen=True)
class _Started:
    """A candidate whose build was started."""

    index: int
    candidate: Candidate | NoCandidate
    build: Future[Any] | None

    @property
    def ready(self) -> bool:
        return self.build is None or self.build.done()


def read_candidate(problem: Problem, text: str, language: str) -> Candidate | NoCandidate:
    """The candidate that `text` is for `problem`; one that is none gets its verdict all the same.

    Raises:
        UnknownName: no language is called so.
    """
    opened: Language = names.load("language", language)()
    try:
        if text.encode("utf-8", "replace").decode() != text:
            raise UsageError("It holds half a character (a lone surrogate), which no file can.")
        return candidate_from_text(problem, text, language)
    except UsageError as error:
        file = opened.entry_point.partition("::")[0]
        storable = text.encode("utf-8", "replace").decode()
        would_be = Candidate(
            problem_id=problem.id,
            language=language,
            source=Source(files={file: storable}, entry_point=opened.entry_point),
            lane=opened.lane,
        )
        return NoCandidate(would_be, str(error))


def judge_many(
    judge: Judging,
    candidates: Iterable[Candidate | NoCandidate],
    effort: Effort,
    *,
    retries: int = RETRIES,
    pause_s: float = _PAUSE_S,
) -> Iterator[tuple[int, Evaluation | Fault]]:
    """The verdict on each of `candidates`, with its place among them, as they are ready.

    A failure of ours is tried again `retries` times and then comes as a `Fault`; it is never
    charged to the candidate and ends no batch. `candidates` is read a little ahead of the verdicts.

    What cannot be judged here at all, such as a language without its compiler, is a `Fault` too.
    """
    left, window = enumerate(candidates), max(_WINDOW, judge.places)
    started: list[_Started] = []
    asked: dict[Future[Evaluation | Fault], int] = {}
    with _executor(judge.places) as pool:
        while True:
            for index, candidate in left:
                started.append(_Started(index, candidate, _ahead(judge, candidate)))
                if len(started) + len(asked) >= window:
                    break
            while started and len(asked) < judge.places:
                chosen = _next(started)
                started.remove(chosen)
                verdict = pool.submit(_verdict, judge, chosen.candidate, effort, retries, pause_s)
                asked[verdict] = chosen.index
            if not asked:
                return
            for verdict in wait(asked, return_when=FIRST_COMPLETED).done:
                yield asked.pop(verdict), verdict.result()


class _AtOnce(Executor):
    """Does what it is given in the thread that gives it, which an interrupt then ends at once."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        found: Future[Any] = Future()
        found.set_result(fn(*args, **kwargs))
        return found


def _executor(places: int) -> Executor:
    return _AtOnce() if places == 1 else ThreadPoolExecutor(places, "kernelwright-judging")


def _ahead(judge: Judging, candidate: Candidate | NoCandidate) -> Future[Any] | None:
    if isinstance(candidate, NoCandidate):
        return None
    try:
        return judge.ahead(candidate)
    except KernelwrightError:
        return None  # what it is shows when the candidate is judged


def _next(started: list[_Started]) -> _Started:
    """The first whose build is over; waits for one when none is."""
    if not any(one.ready for one in started):
        wait([one.build for one in started if one.build is not None], return_when=FIRST_COMPLETED)
    return next(one for one in started if one.ready)


def _verdict(
    judge: Judging, candidate: Candidate | NoCandidate, effort: Effort, retries: int, pause_s: float
) -> Evaluation | Fault:
    if isinstance(candidate, NoCandidate):
        return judge.refuse(candidate.candidate, effort, candidate.evidence)
    for left in reversed(range(retries + 1)):
        try:
            return judge.judge(candidate, effort)
        except DeviceLost as error:
            # It was probed twice already.
            return Fault(where="device", step=None, message=str(error), retryable=True)
        except FaultError as error:
            if not left:
                return Fault(where=error.where, step=None, message=str(error), retryable=True)
            time.sleep(pause_s)
        except KernelwrightError as error:
            # This machine lacks something, or the language is none: another try changes nothing.
            return Fault(where="ours", step=None, message=str(error), retryable=False)
    raise ValueError(f"retries must not be negative, and is {retries}")
