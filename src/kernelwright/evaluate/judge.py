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
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Self

from kernelwright.core import names
from kernelwright.core.candidate import Candidate, Lane
from kernelwright.core.errors import (
    BuildRefused,
    JudgeBroken,
    SandboxError,
    Unavailable,
    UsageError,
)
from kernelwright.core.evaluation import (
    Agreement,
    BuildFailed,
    Crashed,
    Effort,
    Evaluation,
    Isolation,
    Measurement,
    Outcome,
    Passed,
    Performed,
    Rejected,
    Stage,
    TimedOut,
    isolates,
)
from kernelwright.core.problem import Problem
from kernelwright.core.protocols import BuildPlan, Language
from kernelwright.core.statistics import CANDIDATE, by_subject, median_ns
from kernelwright.evaluate import cgroup
from kernelwright.evaluate.audit import (
    Sanitized,
    other_thread_counts,
    sanitized,
    screen_threads,
    unsanitized,
)
from kernelwright.evaluate.bench import Bench, Timed
from kernelwright.evaluate.bodies import body, write_setup
from kernelwright.evaluate.builder import Builder, Built, Result
from kernelwright.evaluate.canary import Canary
from kernelwright.evaluate.cases import CaseSet
from kernelwright.evaluate.compile_cache import CompileCache
from kernelwright.evaluate.defences import ALL_ON, Defences
from kernelwright.evaluate.environment import environment
from kernelwright.evaluate.exam import Exam
from kernelwright.evaluate.far import look_far
from kernelwright.evaluate.levels import isolation_level
from kernelwright.evaluate.notes import Verified, merged
from kernelwright.evaluate.rotation import Rotation
from kernelwright.evaluate.runner import Body
from kernelwright.evaluate.verdicts import Verdicts
from kernelwright.evaluate.verify import Failure, run_stage
from kernelwright.evaluate.zygote import Zygote
from kernelwright.problems.reference import Device, Reference

EVALUATOR = "2"


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
        self._level, why = isolation_level() if defences.sandbox else ("process", "")
        if not isolates(self._level, require_isolation):
            raise Unavailable(
                f"Isolation {require_isolation!r} is required, and this machine reaches "
                f"{self._level!r}: {why}"
            )
        self._why_not_isolated = why
        self._problem = problem
        self._language = language
        self._defences = defences
        self._exam = Exam(problem, reference, defences)
        self._folder = Path(tempfile.mkdtemp(prefix="kernelwright-"))
        self._device: Device = device
        self._zygote = Zygote(self._folder)
        self._setup = self._folder / "problem.json"
        write_setup(problem, device, self._setup)
        cache = CompileCache.of_user(self._level)
        self._builder = Builder(self._folder, self._level, cache=cache)
        self._verdicts = Verdicts()
        self._canary = self._hatch()
        self._bench = Bench(
            problem, reference,
            device=device, level=self._level, folder=self._folder, defences=defences,
        )  # fmt: skip
        self._rotation = Rotation(reference, [self._exam.redrawn, self._bench.redrawn])
        self._lock = threading.Lock()

    @property
    def problem(self) -> Problem:
        """What candidates are judged for."""
        return self._problem

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
            UsageError: the candidate is marked for another lane than its language's.
            FaultError: the judge's own failure.
        """
        language = self._language(candidate.language)
        if self._device == "cuda" and language.lane == "native":
            raise Unavailable(
                f"{candidate.language} candidates cannot be judged on a GPU yet, only Python "
                "modules (triton). Choose the language triton, or the device cpu."
            )
        if candidate.lane != language.lane:
            raise UsageError(
                f"The candidate is marked for the {candidate.lane} lane, and {candidate.language} "
                f"is judged in the {language.lane} lane. Make it with lane={language.lane!r}."
            )
        for missing in (language.missing("build"), language.missing("run")):
            if missing:
                raise Unavailable(missing)
        known = self._verdicts.recall(candidate, effort)
        if known is not None:
            return known
        self.ahead(candidate)
        with self._lock:
            # Another thread may have been given the same candidate in the meantime.
            known = self._verdicts.recall(candidate, effort)
            if known is not None:
                return known
            self._rotation.swap()
            sitting = _Sitting()
            try:
                outcome: Outcome = self._sit(candidate, language, effort, sitting)
            except _Ended as ended:
                outcome = ended.outcome
            self._listen(candidate)
            evaluation = self._evaluation(candidate, effort, outcome, sitting)
            self._verdicts.remember(candidate, evaluation)
            if "screen" in sitting.stage_s:
                self._rotation.count()
        return evaluation

    def _hatch(self) -> Canary | None:
        """The canary, where its language can be built."""
        native = self._language("cpp")
        if native.missing("build") is not None:
            return None
        return Canary(self._builder, native, self._level, self._setup)

    def _listen(self, candidate: Candidate) -> None:
        """Judge the canary when its turn has come.

        Raises:
            JudgeBroken: it got another verdict than it must.
        """
        if self._canary is None:
            return
        try:
            self._canary.sing(candidate.id, self._defences)
        except JudgeBroken:
            self._verdicts.forget()
            raise

    def ahead(self, candidate: Candidate) -> Future[Result] | None:
        """Start to build `candidate` before its turn; None when there is nothing to wait for.

        Raises:
            UnknownName: there is no such language.
        """
        try:
            plan = self._language(candidate.language).build(candidate, self._problem)
        except BuildRefused:
            return None
        return self._builder.ahead(plan)

    def refuse(self, candidate: Candidate, effort: Effort, evidence: str) -> Evaluation:
        """The verdict on a text that is no candidate for this problem; `evidence` says why."""
        outcome = Rejected(rule="not_a_candidate", evidence=evidence)
        return self._evaluation(candidate, effort, outcome, _Sitting())

    def _sit(
        self, candidate: Candidate, language: Language, effort: Effort, sitting: _Sitting
    ) -> Passed:
        plan, built = self._build(lambda: language.build(candidate, self._problem), sitting)
        runner = self._body(plan, built)
        if effort == "promotion":
            self._exam.redraw()
            self._bench.redraw()
        many = self._body(plan, built, thread_count=screen_threads(self._defences))
        self._verify("screen", self._exam.screen(candidate.lane), many, candidate, sitting)
        timed = language.missing("time") is None
        if timed:
            self._bench.start(self._exam.distributions)
        self._verify("core", self._exam.core(candidate.lane), runner, candidate, sitting)
        if effort == "promotion":
            self._audit(candidate, language, plan, built, sitting)
        else:
            sitting.not_checked.append("sanitizers and other numbers of threads: on promotion")
        if not timed:
            sitting.not_checked.append(f"timing: {language.missing('time')}")
            return Passed(agreements=sitting.agreements)
        measurements = self._time(runner, candidate.lane, effort, sitting)
        if effort == "promotion" and candidate.lane == "native":
            self._look_far(runner, measurements, sitting)
        return Passed(agreements=sitting.agreements, measurements=measurements)

    def _build(
        self, planned: Callable[[], BuildPlan], sitting: _Sitting
    ) -> tuple[BuildPlan, Built]:
        try:
            plan = planned()
        except BuildRefused as refused:
            raise _Ended(Rejected(rule="build_refused", evidence=str(refused))) from refused
        built = self._builder.build(plan)
        sitting.finished("build")
        if isinstance(built, BuildFailed | TimedOut):
            raise _Ended(built)
        sitting.log += built.log
        return plan, built

    def _body(
        self, plan: BuildPlan, built: Built, *, sanitize: bool = False,
        thread_count: int | None = None,
    ) -> Body:  # fmt: skip
        return body(
            built, plan.lane, plan.environment, self._setup,
            device=self._device, sanitize=sanitize, thread_count=thread_count,
            zygote=self._zygote,
        )  # fmt: skip

    def _verify(
        self, stage: Stage, cases: CaseSet, runner: Body, candidate: Candidate, sitting: _Sitting
    ) -> None:
        log = self._folder / "runner.log"
        found = run_stage(cases, runner, candidate.lane, stage, self._level, log, self._defences)
        sitting.finished(stage)
        self._take(found, sitting)

    def _take(self, found: Verified | Failure, sitting: _Sitting) -> None:
        if not isinstance(found, Verified):
            raise _Ended(found)
        sitting.checks += found.checks
        sitting.agreements = merged(sitting.agreements, found.agreements)

    def _audit(
        self, candidate: Candidate, language: Language, plan: BuildPlan, built: Built,
        sitting: _Sitting,
    ) -> None:  # fmt: skip
        """What promotion adds on small workloads: see `evaluate.audit`."""
        cases = self._exam.audit(candidate.lane)
        for count in other_thread_counts(self._defences):
            runner = self._body(plan, built, thread_count=count)
            self._verify("core", cases, runner, candidate, sitting)
            sitting.checks[f"audited with OMP_NUM_THREADS={count}"] += 1
        sitting.not_checked += unsanitized(language)
        if candidate.lane == "native":
            for check in sanitized(language, candidate, self._problem, self._defences):
                self._sanitize(check, cases, candidate, sitting)

    def _sanitize(
        self, check: Sanitized, cases: CaseSet, candidate: Candidate, sitting: _Sitting
    ) -> None:
        plan, built = self._build(check.plan, sitting)
        runner = self._body(plan, built, sanitize=True)
        try:
            self._verify("sanitize", cases, runner, candidate, sitting)
        except SandboxError as error:
            if not check.optional:
                raise
            said = str(error).splitlines()[0]
            sitting.not_checked.append(f"{check.name}: the sanitizer does not start ({said})")
        else:
            sitting.checks[f"audited for {check.name}"] += 1

    def _time(
        self, runner: Body, lane: Lane, effort: Effort, sitting: _Sitting
    ) -> tuple[Measurement, ...]:
        with self._builder.quiet():
            timed = self._bench.time(runner, lane, effort)
        sitting.finished("timing")
        if not isinstance(timed, Timed):
            raise _Ended(timed)
        sitting.checks += timed.checks
        sitting.not_checked += timed.not_checked
        return timed.measurements

    def _look_far(
        self, runner: Body, measurements: tuple[Measurement, ...], sitting: _Sitting
    ) -> None:
        if not self._defences.far_sizes:
            return
        call_s = median_ns(by_subject(measurements)[CANDIDATE]) / 1e9
        log = self._folder / "runner.log"
        found = look_far(self._problem, self._bench.case, runner, self._level, log, call_s)
        sitting.finished("far")
        if isinstance(found, Crashed):
            raise _Ended(found)
        if found is None:
            sitting.checks["calls on more than 2^31 elements"] += 1
        else:
            sitting.not_checked.append(f"indices beyond 2^31 elements: {found}")

    def _evaluation(
        self, candidate: Candidate, effort: Effort, outcome: Outcome, sitting: _Sitting
    ) -> Evaluation:
        not_checked = [*sitting.not_checked]
        not_checked += [f"switched off: {name}" for name in self._defences.switched_off()]
        if self._canary is None:
            not_checked.append("the judge itself, with a canary: it needs a C++ compiler")
        if self._why_not_isolated:
            not_checked.append(f"isolation: {self._why_not_isolated}")
        if unlimited := cgroup.missing():
            not_checked.append(f"limits: {unlimited}")
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

    def close(self) -> None:
        """End every process and give back memory and disk."""
        self._builder.close()
        self._zygote.close()
        self._rotation.close()
        self._bench.close()
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
