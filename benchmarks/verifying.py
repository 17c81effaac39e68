"""The judge's verification without its timing, on cases that many candidates of a problem share.

The stages, the cases and the builds are the judge's own; what differs from `Judge` is that a
promotion does not draw new cases, which would cost the oracle's time for every candidate.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from kernelwright.core.candidate import Candidate
from kernelwright.core.errors import SandboxError
from kernelwright.core.evaluation import BuildFailed, Crashed, Effort, Stage, TimedOut
from kernelwright.core.problem import Problem
from kernelwright.core.protocols import BuildPlan
from kernelwright.evaluate.building.builder import Builder
from kernelwright.evaluate.correctness.audit import other_thread_counts, sanitized, screen_threads
from kernelwright.evaluate.correctness.cases import CaseSet
from kernelwright.evaluate.correctness.exam import Exam
from kernelwright.evaluate.correctness.far import look_far
from kernelwright.evaluate.correctness.notes import Verified
from kernelwright.evaluate.correctness.verify import Failure, run_stage
from kernelwright.evaluate.defences import ALL_ON
from kernelwright.evaluate.isolation.levels import isolation_level
from kernelwright.evaluate.running.bodies import body, write_setup
from kernelwright.evaluate.running.runner import Body
from kernelwright.languages.cpp import Cpp
from kernelwright.problems.reference import Reference


@dataclass(frozen=True)
class Found:
    """What was wrong with a candidate, and the step of verification that found it."""

    step: str
    outcome: Failure | BuildFailed


class Verifier:
    """Verifies C++ candidates for one problem, in the judge's order. A context manager."""

    def __init__(self, problem: Problem, reference: Reference):
        self._problem = problem
        self._language = Cpp()
        self._exam = Exam(problem, reference, ALL_ON)
        self._level, _ = isolation_level()
        self._folder = Path(tempfile.mkdtemp(prefix="kernelwright-"))
        self._setup = self._folder / "problem.json"
        write_setup(problem, "cpu", self._setup)
        self._builder = Builder(self._folder, self._level)

    def ahead(self, candidate: Candidate) -> None:
        """Start to build `candidate`, which is verified next."""
        self._builder.ahead(self._language.build(candidate, self._problem))

    def verify(self, candidate: Candidate, effort: Effort) -> Found | None:
        """What is wrong with `candidate`, or None when every step passed."""
        plan = self._language.build(candidate, self._problem)
        with self._exam.lend("screen", "native") as screen:
            found = self._step("screen", plan, screen, threads=screen_threads(ALL_ON))
        if found is None:
            with self._exam.lend("core", "native") as core:
                found = self._step("core", plan, core)
        if found or effort == "search":
            return found
        with self._exam.lend("audit", "native") as cases:
            return self._audit(candidate, plan, cases)

    def _audit(self, candidate: Candidate, plan: BuildPlan, cases: CaseSet) -> Found | None:
        for count in other_thread_counts(ALL_ON):
            found = self._step("core", plan, cases, name=f"{count} threads", threads=count)
            if found:
                return found
        for check in sanitized(self._language, candidate, self._problem, ALL_ON):
            try:
                found = self._step("sanitize", check.plan(), cases, name=check.name, sanitize=True)
            except SandboxError:
                if not check.optional:
                    raise
            else:
                if found:
                    return found
        return None

    def far(self, candidate: Candidate) -> Found | str | None:
        """What a call on more than 2^31 elements says of `candidate`; a sentence when there is
        none to be had. See `evaluate.correctness.far`."""
        plan = self._language.build(candidate, self._problem)
        runner = self._body(plan)
        if isinstance(runner, Found):
            return runner
        with self._exam.lend("core", "native") as core:
            case = next(case for workload, case in core.cases if workload.split == "report")
        found = look_far(self._problem, case, runner, self._level, self._folder / "runner.log")
        if isinstance(found, Crashed):
            return Found("beyond 2^31 elements", found)
        return "; ".join(found.not_learnt) or None

    def _step(
        self, stage: Stage, plan: BuildPlan, cases: CaseSet, *, name: str | None = None,
        threads: int | None = None, sanitize: bool = False,
    ) -> Found | None:  # fmt: skip
        runner = self._body(plan, threads=threads, sanitize=sanitize)
        if isinstance(runner, Found):
            return runner
        log = self._folder / "runner.log"
        found = run_stage(cases, runner, plan.lane, stage, self._level, log, ALL_ON)
        return None if isinstance(found, Verified) else Found(name or stage, found)

    def _body(
        self, plan: BuildPlan, *, threads: int | None = None, sanitize: bool = False
    ) -> Body | Found:
        built = self._builder.build(plan)
        if isinstance(built, BuildFailed | TimedOut):
            return Found("build", built)
        return body(
            built, plan.lane, plan.environment, self._setup,
            device="cpu", sanitize=sanitize, thread_count=threads,
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._builder.close()
        self._exam.close()
        shutil.rmtree(self._folder, ignore_errors=True)
