"""What each accepted edit of a run's best candidate is worth: each is undone alone and judged.

The judge times a candidate against baselines and never against another candidate. So the best one
is judged again first, in the same way, and the two are compared by way of the baseline that both
were timed against; see `core.statistics.by_way_of_baseline`.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import kernelwright
from kernelwright.core.candidate import Candidate
from kernelwright.core.errors import JudgeBroken, UsageError
from kernelwright.core.evaluation import Evaluation
from kernelwright.core.run import Edit
from kernelwright.run.edits import MOST_EDITS, founder, undoings
from kernelwright.run.equipment import Equip, Equipment, equip
from kernelwright.run.folder import RunFolder
from kernelwright.run.log import Observer, RunLog, ignore
from kernelwright.run.patience import GaveUp, patiently
from kernelwright.run.spec import completed
from kernelwright.run.verdicts import record_verdict
from kernelwright.store.fold import RunState
from kernelwright.store.sql import SqlStore


def ablate(
    path: Path, *, observer: Observer = ignore, equip: Equip = equip, most: int = MOST_EDITS
) -> RunState:
    """Undo each accepted edit of the best candidate of the run in `path`, alone, and judge what is
    left; the state that the log then folds to.

    At most `most` edits are undone, settings and large ones first; the log says how many were left
    out. What the log has already is not judged again, so this goes on where it was broken off. What
    the judge broke on is left for the next time.

    Raises:
        UsageError: there is no run, it has not ended, it has no best candidate, or another process
            is at it.
        StoreError: the log is damaged or cannot be written.
    """
    folder = RunFolder.existing(path)
    with folder.locked(), SqlStore.open(folder.log_path, folder.name) as store:
        log = RunLog(store, observer=observer)
        number = _best(log.state, path)
        spec, problem = log.state.spec, log.state.problem
        if spec is None or problem is None:
            raise UsageError(
                f"The run in {path} was stopped before it began. Delete the folder and start anew."
            )
        with equip(completed(spec), problem.reference, problem) as equipment:
            asyncio.run(_ablate(log, number, equipment, most))
        return log.state


def _best(state: RunState, path: Path) -> int:
    if state.finish is None:
        raise UsageError(
            f"The run in {path} has not ended. `kernelwright resume {path}` goes on with it."
        )
    if state.finish.step is None:
        raise UsageError(f"The run in {path} has no best candidate, so there is nothing to undo.")
    return state.finish.step


async def _ablate(log: RunLog, number: int, equipment: Equipment, most: int) -> None:
    step = log.state.steps[number]
    draft = founder(log.state, step)
    if step.candidate is None or draft.candidate is None:
        return
    found = undoings(step.candidate, draft.candidate)
    begun = {
        "step": number,
        "draft": draft.number,
        "left_out": max(0, len(found) - most),
        "version": kernelwright.__version__,
        "candidate_ids": [],
    }
    log.record("ablating", begun)
    best: list[tuple[Edit | None, Candidate]] = [(None, step.candidate)] if found else []
    for edit, candidate in [*best, *((one.edit, one.without) for one in found[:most])]:
        known = log.state.ablation.judged if log.state.ablation else {}
        if edit in known:
            continue
        with contextlib.suppress(GaveUp):
            evaluation = await _judged(log, begun, candidate, equipment)
            said = edit.model_dump(mode="json") if edit else None
            record_verdict(log, "ablation", number, evaluation, {"edit": said})


async def _judged(
    log: RunLog, begun: dict[str, Any], candidate: Candidate, equipment: Equipment
) -> Evaluation:
    """The verdict on `candidate`. When the judge fails its own test, what it said lately in this
    ablation is taken back; what the run had before was said by another process."""

    async def verdict() -> Evaluation:
        try:
            return await equipment.evaluator.evaluate(candidate, "search")
        except JudgeBroken as broken:
            log.record("ablating", {**begun, "candidate_ids": list(broken.candidate_ids)})
            raise

    return await patiently(verdict, log, None, equipment.retries)
