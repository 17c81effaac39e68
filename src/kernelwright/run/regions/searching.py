"""The searches for the regions of a cut, one after another, each a run in a folder of its own.

The region in which torch spends the most comes first, and each has a share of the budget. A region
whose run is there already goes on from it, so nothing is lost when the whole is killed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kernelwright.core.candidate import Candidate
from kernelwright.core.cut import Cut, Region, RegionVerdict
from kernelwright.core.errors import ProblemError, UsageError
from kernelwright.core.evaluation import Evaluation, Passed
from kernelwright.core.problem import Problem
from kernelwright.core.run import Budget, RunSpec
from kernelwright.core.statistics import CANDIDATE, Estimate, by_subject, speedup
from kernelwright.run.folder import RunFolder
from kernelwright.run.log import RunLog
from kernelwright.run.loop import INTERRUPTED
from kernelwright.run.verdicts import evaluation_of
from kernelwright.store.fold import RunState, fold
from kernelwright.store.sql import SqlStore

REGIONS = "regions"
EAGER = "eager"
_FEWEST_ATTEMPTS = 2
_LEAST_S = 5.0

# Searches for a spec in a folder, or goes on with the run that is there.
RunOne = Callable[[RunSpec, Path], object]


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a region's run hands back."""

    problem: Problem
    candidate: Candidate
    evaluation: Evaluation
    drop_in: Evaluation | None

    @property
    def eager(self) -> Estimate | None:
        """The speedup over eager torch: of the module that is called, else of the kernel alone,
        since the module is timed beside the fastest baseline only. None if neither was timed."""
        for judged in (self.drop_in, self.evaluation):
            outcome = judged.outcome if judged else None
            subjects = by_subject(outcome.measurements) if isinstance(outcome, Passed) else {}
            if CANDIDATE in subjects and EAGER in subjects:
                return speedup(subjects[CANDIDATE], subjects[EAGER])
        return None


def folder_of(number: int) -> str:
    """A region's run, as seen from the folder of the whole's."""
    return f"{REGIONS}/{number}"


def search_regions(log: RunLog, folder: RunFolder, spec: RunSpec, cut: Cut, run: RunOne) -> None:
    """Search for each region of `cut` that the `log` has no verdict of yet, and log what became of
    it.

    Raises:
        KeyboardInterrupt: somebody ended a region's search; resuming goes on with it.
    """
    waiting = sorted(cut.regions, key=lambda region: -region.seconds)
    waiting = [region for region in waiting if region.number not in log.state.regions]
    for at, region in enumerate(waiting):
        wall = spec.budget.max_wall_s
        left_s = None if wall is None else max(wall - log.elapsed_s, 0.0)
        budget = share(spec.budget, region, cut, waiting[at:], left_s)
        log.record("region", _searched(folder, spec, region, budget, run))


def share(
    budget: Budget, region: Region, cut: Cut, waiting: list[Region], left_s: float | None
) -> Budget:
    """What `region` may spend of the whole's `budget`: as torch's time in it is to that in all
    regions; of the `left_s` seconds, to that in those that are `waiting`."""
    part = _part(region, list(cut.regions))
    attempts, device_s, usd = budget.max_attempts, budget.max_device_s, budget.max_cost_usd
    # With no time left a region still has the least, since a limit of nothing is no limit.
    wall_s = None if left_s is None else max(_LEAST_S, left_s * _part(region, waiting))
    return budget.model_copy(
        update={
            "max_attempts": attempts and max(_FEWEST_ATTEMPTS, round(attempts * part)),
            "max_wall_s": wall_s,
            "max_device_s": device_s and device_s * part,
            "max_cost_usd": usd and usd * part,
        }
    )


def _part(region: Region, of: list[Region]) -> float:
    total = sum(each.seconds for each in of)
    return region.seconds / total if total else 1 / len(of)


def _searched(
    folder: RunFolder, spec: RunSpec, region: Region, budget: Budget, run: RunOne
) -> RegionVerdict:
    where = folder.path / REGIONS
    for name, text in region.source.files.items():
        folder.write(f"{REGIONS}/{name}", text)
    own = spec.model_copy(
        update={
            "problem": str(where / region.source.main_file),
            "direction": None,
            "budget": budget,
            "regions": False,
            "approve": False,
        }
    )
    try:
        run(own, folder.path / folder_of(region.number))
    except (ProblemError, UsageError) as error:
        return _stays(region, str(error))
    return verdict(folder, region)


def verdict(folder: RunFolder, region: Region) -> RegionVerdict:
    """What the run of `region` came to.

    Raises:
        KeyboardInterrupt: somebody ended it.
    """
    state = state_of(folder, region.number)
    if state.finish is not None and state.finish.reason == INTERRUPTED:
        raise KeyboardInterrupt
    found = found_in(state)
    if found is None:
        attempts = len(state.steps)
        return _stays(region, f"None of {attempts} candidates passed.")
    if found.drop_in is not None and not isinstance(found.drop_in.outcome, Passed):
        return _stays(region, "Its kernel is right, but not as it is called from Python.", found)
    estimate = found.eager
    if estimate is None:
        return _stays(region, "Its kernel was not timed against torch.", found)
    if estimate.ci_low <= 1:
        return _stays(region, "Its kernel is not surely faster than torch.", found)
    return RegionVerdict(
        number=region.number,
        status="kernel",
        reason="Its kernel is faster than torch.",
        folder=folder_of(region.number),
        **_figures(found),
    )


def _stays(region: Region, reason: str, found: Found | None = None) -> RegionVerdict:
    return RegionVerdict(
        number=region.number,
        status="torch",
        reason=reason,
        folder=folder_of(region.number),
        **(_figures(found) if found else {}),
    )


def _figures(found: Found) -> dict[str, object]:
    one = found.eager
    return {
        "language": found.candidate.language,
        "candidate_id": found.candidate.id,
        "eager": (one.median, one.ci_low, one.ci_high) if one else None,
    }


def state_of(folder: RunFolder, number: int) -> RunState:
    """The run of a region, from its log."""
    own = RunFolder.existing(folder.path / folder_of(number))
    with SqlStore.open(own.log_path, own.name, writable=False) as store:
        return fold(store.records())


def found_in(state: RunState) -> Found | None:
    """What a finished run hands back; None when nothing passed."""
    number = state.finish.step if state.finish else None
    if number is None or state.problem is None:
        return None
    candidate, evaluation = state.steps[number].candidate, evaluation_of(state, number)
    if candidate is None or evaluation is None:
        return None
    drops = [each.evaluation for each in state.deliveries if each.step == number]
    return Found(
        problem=state.problem,
        candidate=candidate,
        evaluation=evaluation,
        drop_in=drops[-1] if drops else None,
    )
