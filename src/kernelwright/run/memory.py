"""What other runs tried: their logs as passages, one for each change that taught something.

A change is an attempt that was made from one other, in the same language. It taught something where
it is surely faster or slower than what it came from, or broke it, or mended it. Nothing is read
before somebody asks.
"""

from __future__ import annotations

import difflib
import math
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from kernelwright.core.candidate import Candidate
from kernelwright.core.errors import StoreError, UsageError
from kernelwright.core.evaluation import Evaluation, Passed
from kernelwright.core.problem import Problem
from kernelwright.core.protocols import Passage
from kernelwright.core.run import Attempt
from kernelwright.core.statistics import Estimate, by_way_of_baseline
from kernelwright.generate.features import features
from kernelwright.generate.feedback import diagnosis, limits
from kernelwright.generate.looking_up import Task
from kernelwright.run.folder import RunFolder
from kernelwright.store.fold import RunState, fold
from kernelwright.store.sql import FILE_NAME, SqlStore

# Of one run so many changes are told, those of the largest effect.
MOST_OF_A_RUN = 8
_LONGEST_DIFF = 2500
_LONGEST_SAID = 600
_MOST_LINES = 3000  # difflib's time grows with their square
# To break or to mend a kernel counts as much as to make it so many times as fast.
_BROKEN = 2.0


def runs_in(folders: Iterable[str | Path]) -> tuple[RunFolder, ...]:
    """The runs in `folders`, each of which is a run's folder or holds such, in the order of their
    names.

    Raises:
        UsageError: there is no run in one of them.
    """
    found: dict[Path, RunFolder] = {}
    for folder in map(Path, folders):
        inside = [folder, *sorted(folder.iterdir())] if folder.is_dir() else []
        runs = [path for path in inside if (path / FILE_NAME).is_file()]
        if not runs:
            raise UsageError(
                f"There is no run in {folder} to remember: neither it nor a folder in it holds a "
                f"file {FILE_NAME}."
            )
        found |= {path.resolve(): RunFolder(path) for path in runs}
    return tuple(found.values())


@dataclass(frozen=True, kw_only=True)
class Change:
    """An attempt, and the one that it was made from. `ratio` is how many times as fast it is, None
    where one of them did not pass or was not timed."""

    before: Evaluation
    after: Evaluation
    old: Candidate
    new: Candidate
    attempt: Attempt
    ratio: Estimate | None

    @property
    def effect(self) -> float:
        """How much it changed, whichever way."""
        return abs(math.log(self.ratio.median if self.ratio else _BROKEN))


class Memory:
    """What was tried in `runs`, as a source of passages. A run whose problem is `left_out` is not
    told of, nor one that has not ended or that cannot be read. Safe to use from any thread."""

    def __init__(
        self,
        runs: Sequence[RunFolder],
        left_out: Callable[[Problem], bool] = lambda _problem: False,
    ) -> None:
        self._runs = runs
        self._left_out = left_out
        self._lock = threading.Lock()
        self._known: tuple[tuple[str, Passage], ...] | None = None

    def __call__(self, task: Task) -> Iterator[Passage]:
        """The changes that were tried in the task's language."""
        with self._lock:
            if self._known is None:
                self._known = tuple(self._read())
        yield from (passage for language, passage in self._known if language == task.language.name)

    def _read(self) -> Iterator[tuple[str, Passage]]:
        for run in self._runs:
            state = _state_of(run)
            # One that goes on, such as this very run, would say more each time it is asked.
            if state is None or state.problem is None or state.finish is None:
                continue
            if not self._left_out(state.problem):
                told = sorted(changes(state), key=lambda change: -change.effect)[:MOST_OF_A_RUN]
                for change in told:
                    yield change.new.language, _passage(change, state.problem, run.name)


def changes(state: RunState) -> Iterator[Change]:
    """Those in a run that taught something, in the order in which they were tried."""
    history = state.history
    for attempt in history.attempts:
        if attempt.plan.kind == "tune" or len(attempt.plan.parents) != 1:
            continue
        parent = history.attempt_of(attempt.plan.parents[0])
        change = _change(parent, attempt) if parent else None
        if change is not None and _taught(change):
            yield change


def _change(parent: Attempt, attempt: Attempt) -> Change | None:
    old, new, before, after = (
        parent.candidate, attempt.candidate, parent.evaluation, attempt.evaluation,
    )  # fmt: skip
    if not (old and new and before and after):
        return None
    if old.language != new.language or old.source.text == new.source.text:
        return None
    ratio = None
    if isinstance(before.outcome, Passed) and isinstance(after.outcome, Passed):
        ratio = by_way_of_baseline(after.outcome.measurements, before.outcome.measurements)
    return Change(before=before, after=after, old=old, new=new, attempt=attempt, ratio=ratio)


def _taught(change: Change) -> bool:
    if change.ratio is not None:
        return change.ratio.verdict in ("FASTER", "SLOWER")
    passed = [isinstance(e.outcome, Passed) for e in (change.before, change.after)]
    return passed[0] != passed[1]


def _passage(change: Change, problem: Problem, run: str) -> Passage:
    action = change.attempt.plan.action
    asked = f", asked for: {action}" if action else ""
    where = change.after.environment
    text = [
        f"The problem: {features(problem)}",
        f"In {change.new.language} on {where.cpu if where.device == 'cpu' else where.device}.",
        f"Before: {_said(change.before, problem)}",
        f"The change{asked}:\n{_diff(change.old, change.new)}",
        f"What came of it: {_came(change, problem)}",
    ]
    return Passage(
        source=f"past attempts, run {run}",
        title=f"{' '.join(problem.title.split())[:100]}: {_headline(change)}",
        text="\n\n".join(text),
    )


def _headline(change: Change) -> str:
    if change.ratio is not None:
        low, high = change.ratio.ci_low, change.ratio.ci_high
        return f"{change.ratio.median:.3g} times as fast ({low:.3g} to {high:.3g})"
    kind = change.after.outcome.kind.replace("_", " ")
    return "mended" if kind == "passed" else f"broken, {kind}"


def _came(change: Change, problem: Problem) -> str:
    if change.ratio is not None:
        return f"{_headline(change)} as before. {_said(change.after, problem)}"
    return _said(change.after, problem)


def _said(evaluation: Evaluation, problem: Problem) -> str:
    """What limited it where it passed, else what was wrong, as a writer was told."""
    outcome = evaluation.outcome
    if isinstance(outcome, Passed):
        said = "\n".join(limits(outcome.profile)) if outcome.profile else ""
        return said[:_LONGEST_SAID] or "it is right."
    return diagnosis(evaluation, problem)[:_LONGEST_SAID]


def _diff(old: Candidate, new: Candidate) -> str:
    before, after = old.source.text.splitlines(), new.source.text.splitlines()
    if max(len(before), len(after)) > _MOST_LINES:
        return "[too long to compare]"
    text = "\n".join(list(difflib.unified_diff(before, after, lineterm="", n=2))[2:])
    if len(text) <= _LONGEST_DIFF:
        return text
    return f"{text[:_LONGEST_DIFF].rpartition(chr(10))[0]}\n[… the rest of the change …]"


def _state_of(run: RunFolder) -> RunState | None:
    try:
        with SqlStore.open(run.log_path, run.name, writable=False) as store:
            return fold(store.records())
    except (StoreError, UsageError):
        return None
