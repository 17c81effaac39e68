"""The judge: from a candidate to an evaluation, with nothing that the candidate could decide.

This is the broker. It owns the seeds, the clock, the comparison and the verdict, and never loads
a candidate's code. What it trusts and what it does not is in ``docs/judge.md``.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from kernelwright.core import names
from kernelwright.core.candidate import Candidate
from kernelwright.core.errors import BuildRefused, Unavailable, WorkerError
from kernelwright.core.evaluation import (
    Agreement,
    BuildFailed,
    Effort,
    Evaluation,
    Isolation,
    Measurement,
    Outcome,
    Passed,
    Performed,
    Regime,
    Rejected,
    Stage,
    TimedOut,
)
from kernelwright.core.problem import Problem
from kernelwright.core.protocols import BuildPlan, Language
from kernelwright.core.statistics import baselines, by_subject, median_ns
from kernelwright.evaluate.baseline import SUBJECTS, Baseline
from kernelwright.evaluate.bodies import body, write_setup
from kernelwright.evaluate.builder import Builder, Built
from kernelwright.evaluate.defences import ALL_ON, Defences
from kernelwright.evaluate.environment import environment
from kernelwright.evaluate.exam import Exam
from kernelwright.evaluate.round_trip import runner_round_trip_ns
from kernelwright.evaluate.runner import Body
from kernelwright.evaluate.sandbox import isolation_level
from kernelwright.evaluate.timing import FULL, QUICK, Session, Timer, median_ping
from kernelwright.evaluate.verify import Failure, Verified, run_stage
from kernelwright.problems.reference import Device, Reference

EVALUATOR = "1"
_PINGS = 300
_REGIMES: dict[Effort, tuple[Regime, ...]] = {
    "search": ("returned",),
    "promotion": ("returned", "buffer"),
}
_GPU_CLOCK = (
    "the clock on a GPU: it counts launches and waiting too, and torch.softmax against itself came "
    "out at 0.6 to 0.75 times on an H200, so a speedup is understated"
)
_NEVER_CHECKED = (
    "data races: calls are repeated, and no thread sanitizer is run",
    "other numbers of threads than this machine's",
)


class _Ended(Exception):
    """The evaluation has its outcome. Stays inside."""

    def __init__(self, outcome: Outcome):
        super().__init__(outcome)
        self.outcome = outcome


class _Sitting:
    """What one evaluation gathers on its way."""

    def __init__(self) -> None:
        self.stage_s: dict[str, float] = {}
        self.checks: Counter[str] = Counter()
        self.not_checked: list[str] = []
        self.agreements: tuple[Agreement, ...] = ()
        self.log = ""
        self._started = time.monotonic()

    def finished(self, stage: Stage) -> None:
        """Note that `stage` ended now."""
        now = time.monotonic()
        self.stage_s[stage] = self.stage_s.get(stage, 0.0) + now - self._started
        self._started = now


class Judge:
    """The judge of one problem. A context manager; implements `core.protocols.Evaluator`.

    One candidate is run at a time, since two would disturb each other's clock.
    """

    def __init__(
        self,
        problem: Problem,
        reference: Reference,
        *,
        device: Device = "cpu",
        require_isolation: Isolation = "process",
        language: Callable[[str], Language] = lambda name: names.load("language", name)(),
        defences: Defences = ALL_ON,
    ):
        """Prepare for `problem` on `device`; `reference` answers for it and stays the caller's.

        Raises:
            Unavailable: the isolation that is required cannot be reached here.
        """
        self._level, why = isolation_level()
        if require_isolation == "bubblewrap" and self._level != "bubblewrap":
            raise Unavailable(f"Isolation 'bubblewrap' is required, and {why}")
        self._why_not_isolated = why
        self._problem = problem
        self._language = language
        self._defences = defences
        self._exam = Exam(problem, reference, defences)
        self._folder = Path(tempfile.mkdtemp(prefix="kernelwright-"))
        self._device: Device = device
        self._setup = self._folder / "problem.json"
        write_setup(problem, device, self._setup)
        self._builder = Builder(self._folder, self._level)
        self._baseline: Baseline | None = None
        self._session: Session | None = None
        self._best_baseline: str | None = None
        self._lock = threading.Lock()

    async def evaluate(self, candidate: Candidate, effort: Effort) -> Evaluation:
        """The verdict on `candidate`; see `judge`."""
        return await asyncio.to_thread(self.judge, candidate, effort)

    def judge(self, candidate: Candidate, effort: Effort) -> Evaluation:
        """The verdict on `candidate`.

        "search" ends early and times quickly, against the best baseline alone once that is known.
        "promotion" draws new cases, times both regimes against every baseline with an A/A
        control, and runs the sanitized build.

        Raises:
            UnknownName: there is no such language.
            Unavailable: the language cannot be built or run here.
            FaultError: the judge's own failure.
        """
        language = self._language(candidate.language)
        if self._device == "cuda" and language.lane == "native":
            raise Unavailable(
                f"{candidate.language} candidates cannot be judged on a GPU yet, only Python "
                "modules (triton). Choose the language triton, or the device cpu."
            )
        for missing in (language.missing("build"), language.missing("run")):
            if missing:
                raise Unavailable(missing)
        with self._lock:
            sitting = _Sitting()
            try:
                outcome: Outcome = self._sit(candidate, language, effort, sitting)
            except _Ended as ended:
                outcome = ended.outcome
        return self._evaluation(candidate, effort, outcome, sitting)

    def _sit(
        self, candidate: Candidate, language: Language, effort: Effort, sitting: _Sitting
    ) -> Passed:
        plan, built = self._build(candidate, language, sitting)
        runner = body(built, plan.lane, plan.environment, self._setup, device=self._device)
        if effort == "promotion":
            self._exam.redraw()
        self._verify("screen", runner, candidate, sitting)
        timed = language.missing("time") is None
        if timed:
            self._start_baseline()
        self._verify("core", runner, candidate, sitting)
        if effort == "promotion":
            self._sanitize(candidate, language, sitting)
        else:
            sitting.not_checked.append("sanitizers: they run on promotion")
        if not timed:
            sitting.not_checked.append(f"timing: {language.missing('time')}")
            return Passed(agreements=sitting.agreements)
        measurements = self._time(runner, candidate, effort, sitting)
        return Passed(agreements=sitting.agreements, measurements=measurements)

    def _build(
        self, candidate: Candidate, language: Language, sitting: _Sitting, *, sanitize: bool = False
    ) -> tuple[BuildPlan, Built]:
        try:
            plan = language.build(candidate, self._problem, sanitize=sanitize)
        except BuildRefused as refused:
            raise _Ended(Rejected(rule="build_refused", evidence=str(refused))) from refused
        built = self._builder.build(plan)
        sitting.finished("build")
        if isinstance(built, BuildFailed | TimedOut):
            raise _Ended(built)
        sitting.log += built.log
        return plan, built

    def _verify(self, stage: Stage, runner: Body, candidate: Candidate, sitting: _Sitting) -> None:
        lane = candidate.lane
        cases = self._exam.core(lane) if stage == "core" else self._exam.screen(lane)
        log = self._folder / "runner.log"
        found = run_stage(cases, runner, lane, stage, self._level, log, self._defences)
        sitting.finished(stage)
        self._take(found, sitting)

    def _take(self, found: Verified | Failure, sitting: _Sitting) -> None:
        if not isinstance(found, Verified):
            raise _Ended(found)
        sitting.checks += found.checks
        seen = {agreement.workload_id for agreement in found.agreements}
        kept = [a for a in sitting.agreements if a.workload_id not in seen]
        sitting.agreements = (*kept, *found.agreements)

    def _sanitize(self, candidate: Candidate, language: Language, sitting: _Sitting) -> None:
        """The screen again, under the language's memory and undefined-behaviour checks."""
        if candidate.lane != "native":
            sitting.not_checked.append("sanitizers: they need the native lane")
            return
        plan, built = self._build(candidate, language, sitting, sanitize=True)
        runner = body(
            built, plan.lane, plan.environment, self._setup, device=self._device, sanitize=True
        )
        self._verify("sanitize", runner, candidate, sitting)

    def _time(
        self, runner: Body, candidate: Candidate, effort: Effort, sitting: _Sitting
    ) -> tuple[Measurement, ...]:
        session = self._timing_session()
        if self._device == "cuda":
            sitting.not_checked.append(_GPU_CLOCK)
        missing = set(SUBJECTS) - set(session.baseline.subjects)
        sitting.not_checked += [
            f"baseline {name}: it does not run here" for name in sorted(missing)
        ]
        promotion = effort == "promotion"
        known = self._best_baseline
        subjects = session.baseline.subjects if promotion or known is None else (known,)
        control = (known or session.baseline.subjects[-1]) if promotion else None
        timer = Timer(session, runner, subjects, lane=candidate.lane, control=control)
        measurements: list[Measurement] = []
        for regime in _REGIMES[effort]:
            if regime == "buffer" and candidate.lane != "native":
                sitting.not_checked.append("into a buffer: a module returns its outputs")
                continue
            measured = timer.measure(regime, FULL if promotion else QUICK)
            if not isinstance(measured, tuple):
                sitting.finished("timing")
                raise _Ended(measured)
            measurements += measured
        self._remember_best(measurements)
        sitting.checks["timed outputs compared"] += timer.checked_calls
        sitting.finished("timing")
        return tuple(measurements)

    def _remember_best(self, measurements: list[Measurement]) -> None:
        rivals = baselines(by_subject(measurements))
        if len(rivals) > 1 or self._best_baseline is None:
            self._best_baseline = min(rivals, key=lambda name: median_ns(rivals[name]))

    def _start_baseline(self) -> Baseline:
        """The baselines, which compile while the candidate is verified."""
        if self._baseline is None:
            log = self._folder / "baseline.log"
            self._baseline = Baseline.start(self._problem, self._exam.timing(), self._device, log)
        return self._baseline

    def _timing_session(self) -> Session:
        """The session, complete when first needed.

        Raises:
            WorkerError: the baselines' process did not come up.
        """
        if self._session is None:
            baseline, cases = self._start_baseline(), self._exam.timing()
            try:
                baseline.wait()
                overhead = median_ping([baseline.ping() for _ in range(_PINGS)])
            except WorkerError:
                self._end_baseline()
                raise
            self._session = Session(
                cases=cases,
                baseline=baseline,
                runner_overhead_ns=runner_round_trip_ns(cases, self._level, self._folder, _PINGS),
                baseline_overhead_ns=overhead,
                level=self._level,
                log=self._folder / "runner.log",
            )
        return self._session

    def _evaluation(
        self, candidate: Candidate, effort: Effort, outcome: Outcome, sitting: _Sitting
    ) -> Evaluation:
        not_checked = [*sitting.not_checked, *_NEVER_CHECKED]
        not_checked += [f"switched off: {name}" for name in self._defences.switched_off()]
        if self._why_not_isolated:
            not_checked.append(f"isolation: {self._why_not_isolated}")
        return Evaluation(
            candidate_id=candidate.id,
            effort=effort,
            outcome=outcome,
            environment=environment(self._device),
            evaluator=EVALUATOR,
            lane=candidate.lane,
            isolation=self._level,
            checks=tuple(Performed(name=n, count=c) for n, c in sorted(sitting.checks.items())),
            not_checked=tuple(not_checked),
            stage_s={stage: round(spent, 4) for stage, spent in sitting.stage_s.items()},
            log=sitting.log,
        )

    def _end_baseline(self) -> None:
        if self._baseline is not None:
            self._baseline.close()
        self._baseline = self._session = None

    def close(self) -> None:
        """End every process and give back memory and disk."""
        self._end_baseline()
        self._exam.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
