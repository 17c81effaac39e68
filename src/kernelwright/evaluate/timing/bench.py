"""The bench: what stands ready to time the candidates of one problem.

The timed inputs, the baselines' process, the round trips, and what this machine can do at most.
They take seconds to make ready, are made when first needed, and serve every candidate.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kernelwright.core.candidate import Lane
from kernelwright.core.errors import WorkerError
from kernelwright.core.evaluation import Effort, Isolation, Measurement, Regime
from kernelwright.core.problem import Problem
from kernelwright.core.statistics import CANDIDATE, baselines, by_subject, median_ns
from kernelwright.evaluate.correctness.cases import Draws
from kernelwright.evaluate.defences import Defences
from kernelwright.evaluate.running.runner import Body
from kernelwright.evaluate.timing.baseline import SUBJECTS, Baseline
from kernelwright.evaluate.timing.keeper import Keeper
from kernelwright.evaluate.timing.plausible import Floor, floor
from kernelwright.evaluate.timing.round_trip import least_ping, runner_round_trip_ns
from kernelwright.evaluate.timing.staging import Staging, TimedCases
from kernelwright.evaluate.timing.timer import FULL, QUICK, Failure, Session, Timer
from kernelwright.problems.case import Case
from kernelwright.problems.reference import Device, Reference

_PINGS = 300
_REGIMES: dict[Effort, tuple[Regime, ...]] = {
    "search": ("returned",),
    "promotion": ("returned", "buffer"),
}
_GPU_CLOCK = (
    "the clock on a GPU: it counts launches and waiting too, and torch.softmax against itself came "
    "out at 0.6 to 0.75 times on an H200, so a speedup is understated"
)
# Below this a call on a GPU is mostly its launch, which eager and compiled calls make from Python,
# and two changes between processes on the device, of some 0.15 ms each.
_LEAST_GPU_CALL_NS = 1_000_000
_GPU_LAUNCHES = (
    "timing: a call took less than 1 ms. Of that, launches from Python and changes between "
    "processes on the device are too large a part to say how fast the kernel is"
)


@dataclass(frozen=True)
class Timed:
    """A candidate's measurements, what was checked on the way, and what could not be."""

    measurements: tuple[Measurement, ...]
    checks: Counter[str] = field(default_factory=Counter)
    not_checked: tuple[str, ...] = ()


class Bench:
    """Times the candidates of one problem, one at a time."""

    def __init__(
        self,
        problem: Problem,
        reference: Reference,
        *,
        device: Device,
        level: Isolation,
        folder: Path,
        defences: Defences,
    ):
        self._problem = problem
        self._reference = reference
        self._device: Device = device
        self._level: Isolation = level
        self._folder = folder
        self._defences = defences
        self._cases: TimedCases | None = None
        self._stagings: tuple[Staging, ...] = ()
        self._baseline: Baseline | None = None
        self._sessions: dict[bool, Session] = {}  # with a keeper, and without one
        self._keeper: Keeper | None = None
        self._floor: Floor | None = None
        self._best: str | None = None

    def start(self, distributions: Sequence[str]) -> None:
        """Draw the timed inputs and start the baselines, which compile while others work."""
        if self._cases is None:
            gpu = self._device == "cuda"
            self._cases = TimedCases(self._problem, self._reference, distributions, gpu=gpu)
            slots = self._cases.largest_block
            self._stagings = (Staging(self._cases, slots), Staging(self._cases, slots))
            self._show_weights()
        if self._baseline is None:
            log = self._folder / "baseline.log"
            rivals = self._stagings[1]
            self._baseline = Baseline.start(self._problem, rivals, self._device, log)

    def redraw(self) -> None:
        """Other inputs and weights from now on."""
        self.redrawn(self._reference)()

    def redrawn(self, reference: Draws) -> Callable[[], None]:
        """Draw other inputs beside those in use; what is returned puts them in their place."""
        timed = self._cases
        drawn = timed.drawn(reference) if timed is not None else []

        def put() -> None:
            if timed is None or timed is not self._cases:
                return
            timed.cases = drawn
            self._show_weights()
            if self._sessions and self._baseline is not None:
                self._baseline.reload_weights()

        return put

    def _show_weights(self) -> None:
        assert self._cases is not None
        first = self._cases.cases[0]
        for staging in self._stagings:
            staging.put_weights(first)
        rivals = self._stagings[1]
        for slot in range(rivals.slots):
            rivals.put(slot, first)

    @property
    def case(self) -> Case:
        """One of the timed cases, at the report sizes."""
        assert self._cases is not None
        return self._cases.cases[0]

    @property
    def floor(self) -> Floor | None:
        """What one call must do at least; None before something was timed, and on a GPU."""
        return self._floor

    def time(self, runner: Body, lane: Lane, effort: Effort) -> Timed | Failure:
        """Time one candidate that was found right.

        "search" times one regime against the best baseline once that is known; "promotion" both
        regimes against all, with a control, and looks for work that calls share.

        Raises:
            FaultError: the sandbox or the baselines broke.
        """
        session = self._ready(lane)
        promotion = effort == "promotion"
        subjects = session.baseline.subjects
        control = (self._best or subjects[-1]) if promotion else None
        if not promotion and self._best is not None:
            subjects = (self._best,)
        timer = Timer(
            session, runner, subjects, lane=lane, defences=self._defences, control=control
        )
        measurements: list[Measurement] = []
        both = lane == "native" and self._device == "cpu"
        regimes = [r for r in _REGIMES[effort] if r == "returned" or both]
        for regime in regimes:
            measured = timer.measure(regime, FULL if promotion else QUICK)
            if not isinstance(measured, tuple):
                return measured
            measurements += measured
        failed = self._cross_check(timer, measurements, promotion)
        if failed is not None:
            return failed
        self._remember_best(measurements)
        checks = Counter({"timed outputs compared": timer.checked_calls, **timer.notes})
        left_out = self._left_out(session, regimes, effort, lane)
        if timer.disturbed:
            left_out += (
                f"a quiet machine: something waited for a processor in {timer.disturbed} of "
                f"{timer.notes['timed rounds']} timed rounds, so believe no small difference",
            )
        if session.keeper is not None and launch_bound(measurements):
            return Timed((), checks, (*left_out, _GPU_LAUNCHES))
        return Timed(tuple(measurements), checks, left_out)

    def _cross_check(
        self, timer: Timer, measurements: list[Measurement], promotion: bool
    ) -> Failure | None:
        if self._defences.plausible and self._floor is not None:
            found = self._floor.check(measurements)
            if found is not None:
                return found
        if promotion and self._defences.single_calls:
            return timer.cross_check(measurements)
        return None

    def _left_out(
        self, session: Session, regimes: list[Regime], effort: Effort, lane: Lane
    ) -> tuple[str, ...]:
        missing = sorted(set(SUBJECTS) - set(session.baseline.subjects))
        said = [f"baseline {name}: it does not run here" for name in missing]
        if self._device == "cuda" and lane == "module":
            said.append(_GPU_CLOCK)
        if len(regimes) < len(_REGIMES[effort]) and lane == "native":
            said.append(
                "into a buffer: on a GPU torch keeps the memory of outputs, as a buffer does"
            )
        if len(regimes) < len(_REGIMES[effort]) and lane == "module":
            said.append("into a buffer: a module returns its outputs")
        return tuple(said)

    def _remember_best(self, measurements: list[Measurement]) -> None:
        rivals = baselines(by_subject(measurements))
        if len(rivals) > 1 or self._best is None:
            self._best = min(rivals, key=lambda name: median_ns(rivals[name]))

    def _ready(self, lane: Lane) -> Session:
        """The session, complete when first needed by a candidate in `lane`.

        Raises:
            WorkerError: the baselines' process did not come up.
        """
        kept = self._device == "cuda" and lane == "native"
        if kept not in self._sessions:
            self._sessions[kept] = self._session(kept)
        return self._sessions[kept]

    def _session(self, kept: bool) -> Session:
        """A session for candidates whose device memory is `kept` by a process of ours, or not."""
        assert self._cases is not None
        assert self._baseline is not None
        baseline, (ours, theirs) = self._baseline, self._stagings
        if kept and self._keeper is None:
            self._keeper = Keeper(ours, self._folder)
        keeper = self._keeper if kept else None
        try:
            baseline.wait()
            overhead = least_ping(lambda: _ping(baseline, keeper), _PINGS)
            baseline.pause()
        except WorkerError:
            self._end_baseline()
            raise
        if self._device == "cpu":
            self._floor = floor(self._problem, self._reference.demand())
        return Session(
            cases=self._cases,
            staging=ours,
            rival_staging=theirs,
            baseline=baseline,
            runner_overhead_ns=runner_round_trip_ns(
                ours, self._level, self._folder, _PINGS, keeper
            ),
            baseline_overhead_ns=overhead,
            keeper=keeper,
            level=self._level,
            log=self._folder / "runner.log",
        )

    def _end_baseline(self) -> None:
        if self._baseline is not None:
            self._baseline.close()
        self._baseline = None
        self._sessions.clear()

    def close(self) -> None:
        """End the baselines and give the memory back."""
        self._end_baseline()
        if self._keeper is not None:
            self._keeper.close()
        for staging in self._stagings:
            staging.close()
        self._stagings, self._cases = (), None


def launch_bound(measurements: Sequence[Measurement]) -> bool:
    """Whether the candidate's calls on a GPU are too short for these times to be believed."""
    own = [m for m in measurements if m.subject == CANDIDATE]
    return any(median_ns(m) < _LEAST_GPU_CALL_NS for m in own)


def _ping(baseline: Baseline, keeper: Keeper | None) -> int:
    """One round trip of the baselines, as a block of theirs is timed."""
    if keeper is None:
        return baseline.ping()
    keeper.take_device()
    return baseline.ping(keeper.sample)
