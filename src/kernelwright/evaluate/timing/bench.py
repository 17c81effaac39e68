"""The bench: what stands ready to time the candidates of one problem.

The timed inputs, the baselines' process, the round trips, and what this machine can do at most.
They take seconds to make ready, are made when first needed, and serve every candidate.
"""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from kernelwright.core.candidate import Lane
from kernelwright.core.cards import first_card
from kernelwright.core.errors import SandboxError, WorkerError
from kernelwright.core.evaluation import Clock, Effort, Isolation, Measurement, Regime, WrongResult
from kernelwright.core.nvml import NotTold, nvml
from kernelwright.core.problem import Problem
from kernelwright.core.statistics import baselines, by_subject, median_ns
from kernelwright.evaluate.correctness.cases import Draws
from kernelwright.evaluate.defences import Defences
from kernelwright.evaluate.places import Places
from kernelwright.evaluate.running.runner import Body
from kernelwright.evaluate.timing.baseline import Baseline, Lent
from kernelwright.evaluate.timing.clocks import SUBJECT, Clocks
from kernelwright.evaluate.timing.grounds import DeviceGrounds, HostGrounds
from kernelwright.evaluate.timing.keeper import Keeper, fitting
from kernelwright.evaluate.timing.plausible import Floor, floor, known_peaks
from kernelwright.evaluate.timing.round_trip import (
    baseline_queue_ns,
    least_ping,
    runner_queue_ns,
    runner_round_trip_ns,
)
from kernelwright.evaluate.timing.rounds import FULL, QUICK
from kernelwright.evaluate.timing.staging import Staging, TimedCases
from kernelwright.evaluate.timing.timer import Failure, Session, Timer
from kernelwright.problems.case import Case
from kernelwright.problems.reference import Device, Reference

_PINGS = 300
_QUEUES = 100
_REGIMES: dict[Effort, tuple[Regime, ...]] = {
    "search": ("returned",),
    "promotion": ("returned", "buffer"),
}
_NOT_QUEUED = (
    "timing of the device alone: somebody's call waits for the device, so launches are in the times"
)
_LAUNCHES = "launches: calls were queued before the clock ran, so times are the device's alone"


def in_background(work: Callable[[], None]) -> Future[None]:
    """`work`, in a thread that keeps nobody from ending."""
    found: Future[None] = Future()

    def run() -> None:
        try:
            work()
            found.set_result(None)
        except BaseException as error:  # it is whoever asks for the result who gets it
            found.set_exception(error)

    threading.Thread(target=run, name="kernelwright-background", daemon=True).start()
    return found


def _free_bytes() -> int | None:
    """Of the memory of the card that is judged on, what is free, where the driver tells."""
    card = first_card()
    try:
        return nvml().ask(lambda asked: asked.free_bytes(card.uuid or card.name))
    except NotTold:
        return None


@dataclass(frozen=True)
class Timed:
    """A candidate's measurements, what was checked on the way, and what could not be. `wrong` says
    what is wrong with timed outputs that were not compared yet, which needs no quiet. `clock` is
    how the GPU ran, None where nobody could look."""

    measurements: tuple[Measurement, ...]
    wrong: Callable[[], WrongResult | None]
    checks: Counter[str] = field(default_factory=Counter)
    not_checked: tuple[str, ...] = ()
    clock: Clock | None = None


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
        places: Places,
    ):
        self._problem = problem
        self._reference = reference
        self._device: Device = device
        self._level: Isolation = level
        self._folder = folder
        self._defences = defences
        self._places = places
        self._starting = threading.Lock()
        self._cases: TimedCases | None = None
        self._stagings: tuple[Staging, ...] = ()
        self._baseline: Baseline | None = None
        self._compiled: Future[None] | None = None
        self._session: Session | None = None
        self._keeper: Keeper | None = None
        self._floor: Floor | None = None
        self._best: str | None = None

    def start(self, distributions: Sequence[str]) -> None:
        """Draw the timed inputs and start the baselines, which compile while others work.
        Safe to call from any thread that does not hold the card in common."""
        with self._starting:
            self._start(distributions)

    def _start(self, distributions: Sequence[str]) -> None:
        if self._cases is None:
            gpu = self._device == "cuda"
            cases = TimedCases(self._problem, distributions, gpu=gpu)
            if gpu:
                with self._places.card():
                    self._keeper = fitting(cases, self._folder, _free_bytes())
            else:
                slots = cases.largest_block
                self._stagings = (Staging(cases, slots), Staging(cases, slots))
            self._cases = cases
        if self._baseline is None:
            log = self._folder / "baseline.log"
            self._baseline = Baseline.start(self._problem, self._lent(), self._device, log)
        if not self._cases.cases:
            self._cases.cases = self._cases.drawn(self._reference)
            with self._places.card():
                self._show_weights()
        if self._compiled is None:
            self._compiled = in_background(partial(self._compile, self._baseline))

    def _compile(self, baseline: Baseline) -> None:
        """Compiling uses the device, whoever waits for it or does not; before, the process does
        not."""
        with self._places.card():
            baseline.wait(self._places.give_way if self._device == "cuda" else None)

    def wait(self) -> None:
        """Wait until the baselines that were started are compiled.

        Raises:
            WorkerError: they did not come up; the next `start` makes them anew.
        """
        compiled = self._compiled
        if compiled is None:
            return
        try:
            compiled.result()
        except WorkerError:
            with self._starting:
                if self._compiled is compiled:
                    self._end_baseline()
            raise

    def _lent(self) -> Lent:
        """The memory that the baselines find their calls in."""
        if self._keeper is not None:
            layout = self._keeper.layout
            return Lent(layout.table_fd, layout.numbers.fd, self._keeper.handles)
        return Lent(self._stagings[1].table_fd, self._stagings[1].inputs.fd)

    def redrawn(self, reference: Draws | None = None) -> Callable[[], None]:
        """Draw other inputs and weights beside those in use, if any are; what is returned puts them
        in their place, while nothing is timed."""
        timed = self._cases
        in_use = timed is not None and bool(timed.cases)
        drawn = timed.drawn(reference or self._reference) if timed and in_use else []

        def put() -> None:
            if not drawn or timed is None or timed is not self._cases:
                return
            timed.cases = drawn
            self._show_weights()
            if self._baseline is not None and self._baseline.subjects:
                self._baseline.reload_weights()  # it took over those of before when it compiled

        return put

    def _show_weights(self) -> None:
        assert self._cases is not None
        if self._keeper is not None:
            self._keeper.take_over()
            self._keeper.stage_all()
            return
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
        """What one call must do at least; None before something was timed."""
        return self._floor

    def early(self, runner: Body, lane: Lane) -> contextlib.AbstractContextManager[Body]:
        """`runner`, on a GPU with a life that begins at once, so that it is there when its turn to
        be timed comes. It is shown nothing of the candidate before."""
        session = self._session
        if session is None or not isinstance(session.grounds, DeviceGrounds):
            return contextlib.nullcontext(runner)
        return session.grounds.early(runner, lane)

    def time(self, runner: Body, lane: Lane, effort: Effort) -> Timed | Failure:
        """Time one candidate that was found right.

        "search" times one regime against the best baseline once that is known; "promotion" both
        regimes against all, with a control, and looks for work that calls share.

        Raises:
            FaultError: the sandbox or the baselines broke; the next `start` makes all anew.
        """
        try:
            return self._time(runner, lane, effort)
        except (SandboxError, WorkerError):
            if self._keeper is not None:
                self.close()
            raise

    def _time(self, runner: Body, lane: Lane, effort: Effort) -> Timed | Failure:
        session = self._ready()
        promotion = effort == "promotion"
        subjects = session.baseline.subjects
        control = (self._best or subjects[-1]) if promotion else None
        if not promotion and self._best is not None:
            subjects = (self._best,)
        timer = Timer(
            session, runner, subjects, lane=lane, defences=self._defences, control=control,
            compares_later=self._device == "cuda" and not promotion,
        )  # fmt: skip
        measurements: list[Measurement] = []
        both = lane == "native" and self._device == "cpu"
        regimes = [r for r in _REGIMES[effort] if r == "returned" or both]
        for regime in regimes:
            measured = timer.measure(regime, FULL if promotion else QUICK)
            if not isinstance(measured, tuple):
                return timer.wrong() or measured
            measurements += measured
        failed = self._cross_check(timer, measurements, promotion)
        if failed is not None:
            return timer.wrong() or failed
        self._remember_best(measurements)
        checks = Counter({"timed outputs compared": timer.checked_calls, **timer.notes})
        left_out = self._left_out(session, regimes, effort, lane)
        if self._device == "cuda":
            left_out += (_LAUNCHES if timer.queued else _NOT_QUEUED,)
        left_out += _disturbances(timer, session.clocks)
        return Timed(tuple(measurements), timer.wrong, checks, left_out, timer.clock)

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
        missing = sorted(set(Baseline.expected(self._device)) - set(session.baseline.subjects))
        said = [f"baseline {name}: it does not run here" for name in missing]
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

    def _ready(self) -> Session:
        """The session, complete when first needed.

        Raises:
            WorkerError: the baselines' process did not come up.
        """
        if self._session is None:
            self.wait()
            assert self._baseline is not None
            try:
                self._session = self._made(self._baseline)
            except WorkerError:
                self._end_baseline()
                raise
        return self._session

    def _made(self, baseline: Baseline) -> Session:
        assert self._cases is not None
        log, level, folder = self._folder / "runner.log", self._level, self._folder
        baseline.pause()
        self._floor = floor(self._problem, self._reference.demand(), self._device)
        known_peaks(self._device)  # so that nothing else runs when they are first measured
        if self._keeper is not None:
            clocks = Clocks.of(first_card(), nvml())
            return Session(
                cases=self._cases,
                baseline=baseline,
                grounds=DeviceGrounds(
                    cases=self._cases, keeper=self._keeper, baseline=baseline, level=level,
                    log=log, clocks=clocks,
                ),
                runner_overhead_ns=runner_queue_ns(self._keeper, level, folder, _QUEUES),
                baseline_overhead_ns=baseline_queue_ns(baseline, self._keeper, _QUEUES),
                queued=True,
                clocks=clocks,
            )  # fmt: skip
        ours, theirs = self._stagings
        overhead = least_ping(baseline.ping, _PINGS)
        baseline.pause()
        return Session(
            cases=self._cases,
            baseline=baseline,
            grounds=HostGrounds(
                cases=self._cases, staging=ours, rival_staging=theirs, baseline=baseline,
                level=level, log=log,
            ),
            runner_overhead_ns=runner_round_trip_ns(ours, level, folder, _PINGS),
            baseline_overhead_ns=overhead,
        )  # fmt: skip

    def _end_baseline(self) -> None:
        if self._baseline is not None:
            self._baseline.close()
        self._baseline, self._compiled, self._session = None, None, None

    def close(self) -> None:
        """End the baselines and give the memory back."""
        self._end_baseline()
        if self._keeper is not None:
            self._keeper.close()
            self._keeper = None
        for staging in self._stagings:
            staging.close()
        self._stagings, self._cases = (), None


def _disturbances(timer: Timer, clocks: Clocks) -> tuple[str, ...]:
    """What made the measurements worse than they could be, or could not be looked at."""
    rounds, said = timer.notes["timed rounds"], []
    if timer.disturbed:
        said.append(
            f"a quiet machine: something waited for a processor in {timer.disturbed} of {rounds} "
            "timed rounds, so believe no small difference"
        )
    if timer.sagged:
        said.append(
            f"a steady GPU: its clock was below 90% of its median in {timer.sagged} of {rounds} "
            "timed rounds that count all the same, so believe no small difference"
        )
    if clocks.why_not:
        said.append(f"{SUBJECT}: {clocks.why_not}")
    return tuple(said)
