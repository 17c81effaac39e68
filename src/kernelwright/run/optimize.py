"""The whole job: from settings to a verified kernel in a folder, and on from where it stopped."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import kernelwright
from kernelwright.core import names
from kernelwright.core.errors import SpecError, UsageError
from kernelwright.core.evaluation import Evaluation, Fault, Passed
from kernelwright.core.protocols import Strategy, Writer
from kernelwright.core.run import Budget, RunSpec, Told
from kernelwright.core.statistics import versus_best
from kernelwright.run.approval import Ask, check_can_ask
from kernelwright.run.equipment import Equip, Equipment, drafters, equip
from kernelwright.run.folder import RUNS, RunFolder
from kernelwright.run.handing_back import hand_back
from kernelwright.run.hints import HINTS_FILE, read_hints
from kernelwright.run.log import Observer, RunLog, ignore
from kernelwright.run.loop import Search
from kernelwright.run.promotion import promote
from kernelwright.run.spec import completed, to_toml
from kernelwright.run.verdicts import evaluation_of
from kernelwright.search.drafting import Drafter
from kernelwright.store.fold import RunState, Step
from kernelwright.store.sql import SqlStore

SPEC = "spec.toml"


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What a search is made of. `drafters` says who drafts, without those that were dropped."""

    writers: Mapping[str, Writer]
    drafters: Callable[[frozenset[str]], tuple[Drafter, ...]]
    budget: Budget


# Done when the problem is known and before the search; None leaves the search as it is.
Before = Callable[[RunLog, RunFolder, RunSpec, Equipment], Parts | None]


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """What a run has come to. `delivered` are the files written for its best candidate."""

    folder: RunFolder
    state: RunState
    delivered: tuple[Path, ...] = ()

    @property
    def best(self) -> Step | None:
        """The step whose candidate is handed back; None when none passed."""
        finish = self.state.finish
        return self.state.steps[finish.step] if finish and finish.step is not None else None

    @property
    def evaluation(self) -> Evaluation | None:
        """What the result rests on: the promotion, or the search's own when there was none."""
        return evaluation_of(self.state, self.best.number) if self.best else None

    @property
    def outcome(
        self,
    ) -> Literal["faster", "nothing_better", "not_timed", "nothing_passed", "not_approved"]:
        """Whether there is something better than the best baseline: its interval is above 1."""
        if self.best is None and self.state.approvals:
            return "not_approved"
        if self.evaluation is None or not isinstance(self.evaluation.outcome, Passed):
            return "nothing_passed"
        found = versus_best(self.evaluation.outcome.measurements)
        if found is None:
            return "not_timed"
        return "faster" if found[1].ci_low > 1 else "nothing_better"


def optimize(
    spec: RunSpec,
    *,
    folder: Path | None = None,
    observer: Observer = ignore,
    equip: Equip = equip,
    ask: Ask | None = None,
    before: Before | None = None,
) -> RunResult:
    """Search for a faster kernel, and write what was found into a new folder.

    The folder is `folder`, or a new one in ``runs/`` named after the problem. Its file ``hints.md``
    is read before each plan, for writers that read hints. `observer` is called with each event as
    it is written. `ask` is asked before a candidate is handed back; the settings then say
    `approve`. `before` does what comes before the search, and says what is searched with.

    Raises:
        UsageError: what was asked for cannot be done; nothing was spent.
        StoreError: the log or a file could not be written; what was is safe, and `resume` goes on.
    """
    spec = completed(spec.model_copy(update={"approve": spec.approve or ask is not None}))
    check_can_ask(spec, ask)
    _check_regions(spec, before)
    with equip(spec, spec.problem, None) as equipment:
        stem = equipment.problem.id
        made = RunFolder.claim(folder) if folder else RunFolder.create(RUNS, stem)
        with made.locked(), SqlStore.open(made.log_path, made.name) as store:
            log = RunLog(store, observer=observer)
            started = {"spec": spec.model_dump(mode="json"), "name": made.name}
            log.record("started", {**started, "version": kernelwright.__version__})
            made.write(SPEC, to_toml(spec))
            return _carry_out(log, made, spec, equipment, ask, before)


def resume(
    path: Path,
    *,
    observer: Observer = ignore,
    equip: Equip = equip,
    ask: Ask | None = None,
    before: Before | None = None,
) -> RunResult:
    """Go on with the run in `path` from wherever its log ends.

    At most the attempts in flight are done again, and nothing that was judged is judged twice. A
    run that had ended by itself is only delivered again. `ask` is asked what was not answered yet,
    if the run's settings say `approve`.

    Raises:
        UsageError: there is no run, or another process is at it.
        StoreError: the log is damaged or cannot be written.
    """
    folder = RunFolder.existing(path)
    with folder.locked(), SqlStore.open(folder.log_path, folder.name) as store:
        log = RunLog(store, observer=observer)
        spec, problem = log.state.spec, log.state.problem
        if spec is None:
            raise UsageError(
                f"The run in {path} was stopped before it began. Delete the folder and start anew."
            )
        spec = completed(spec)
        check_can_ask(spec, ask)
        _check_regions(spec, before)
        with equip(spec, problem.reference if problem else spec.problem, problem) as equipment:
            log.record("resumed", {"version": kernelwright.__version__})
            return _carry_out(log, folder, spec, equipment, ask if spec.approve else None, before)


def _check_regions(spec: RunSpec, before: Before | None) -> None:
    if spec.regions and before is None:
        raise SpecError(
            "This search takes a program as a whole. Leave `regions` out of its settings, or use "
            "`kernelwright optimize --regions`."
        )


def _carry_out(
    log: RunLog,
    folder: RunFolder,
    spec: RunSpec,
    equipment: Equipment,
    ask: Ask | None,
    before: Before | None,
) -> RunResult:
    if log.state.problem is None:
        log.record("problem", equipment.problem)
        for message in equipment.remarks:
            log.record("fault", Fault(where="store", step=None, message=message, retryable=False))
    if log.state.admission is None:
        log.record("admission", equipment.admit())
    found = before(log, folder, spec, equipment) if before else None
    parts = found or _usual(log, folder, spec, equipment)
    work = _search_and_hand_back(log, folder, spec, equipment, ask, parts)
    reason, number, delivered = asyncio.run(work)
    told = [Told(name=x.name, claim=x.claim, effect=x.effect) for x in equipment.heeded()]
    if told:
        log.record("lessons", {"told": [one.model_dump(mode="json") for one in told]})
    log.record("finished", {"reason": reason, "step": number})
    return RunResult(folder=folder, state=log.state, delivered=delivered)


def _usual(log: RunLog, folder: RunFolder, spec: RunSpec, equipment: Equipment) -> Parts:
    """What a run searches with, as its settings say."""
    return Parts(
        writers=equipment.writers(log.store, folder),
        drafters=lambda dropped: drafters(
            spec, dropped, equipment.library_drafts, equipment.sketches
        ),
        budget=spec.budget,
    )


async def _search_and_hand_back(
    log: RunLog,
    folder: RunFolder,
    spec: RunSpec,
    equipment: Equipment,
    ask: Ask | None,
    parts: Parts,
) -> tuple[str, int | None, tuple[Path, ...]]:
    """Why the search ended, the step whose candidate stands, and the files written for it."""

    def strategy_for(dropped: frozenset[str]) -> Strategy:
        made: Strategy = names.load("strategy", spec.strategy)(
            drafters=parts.drafters(dropped), seed=spec.seed
        )
        return made

    search = Search(
        log,
        equipment.problem,
        strategy_for=strategy_for,
        writers=parts.writers,
        evaluator=equipment.evaluator,
        budget=parts.budget,
        width=spec.width,
        retries=equipment.retries,
        hints=lambda: read_hints(folder.path / HINTS_FILE),
    )
    stop = asyncio.Event()
    with _stopping(stop):
        reason = await search.run(stop)
        number = await promote(log, equipment.evaluator, equipment.retries, ask)
    if number is None:
        return reason, None, ()
    return reason, number, await hand_back(log, number, folder, equipment)


@contextmanager
def _stopping(stop: asyncio.Event) -> Iterator[None]:
    """The first Ctrl-C sets `stop`, and the run ends with what it has; a second one breaks it off.

    A run that is broken off can be resumed. Only the main thread is told of signals.
    """
    loop = asyncio.get_running_loop()
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def first() -> None:
        stop.set()
        loop.remove_signal_handler(signal.SIGINT)

    loop.add_signal_handler(signal.SIGINT, first)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)
