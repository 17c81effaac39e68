"""The judge: from a candidate to an evaluation, with nothing that the candidate could decide.

This is the broker. It owns the seeds, the clock, the comparison and the verdict, and never loads
a candidate's code. Here the room is prepared, and what was said is remembered; how one evaluation
goes is in `evaluate.sitting`. What is trusted and what is not is in ``docs/judge.md``.
"""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import Future
from types import TracebackType
from typing import Self

from kernelwright.core import names
from kernelwright.core.candidate import Candidate
from kernelwright.core.errors import BuildRefused, FaultError, JudgeBroken, Unavailable, UsageError
from kernelwright.core.evaluation import (
    BuildFailed,
    Effort,
    Evaluation,
    Isolation,
    Outcome,
    Performed,
    Rejected,
    TimedOut,
    isolates,
)
from kernelwright.core.problem import Problem
from kernelwright.core.protocols import BuildPlan, Language
from kernelwright.evaluate.building.builder import Built, Result
from kernelwright.evaluate.canary import Canary
from kernelwright.evaluate.defences import ALL_ON, Defences
from kernelwright.evaluate.environment import environment
from kernelwright.evaluate.health import CHECKED, STAGE, Health
from kernelwright.evaluate.isolation import cgroup
from kernelwright.evaluate.isolation.levels import isolation_level
from kernelwright.evaluate.profile import nsight
from kernelwright.evaluate.profile.counters import Counters
from kernelwright.evaluate.profile.disassembly import Facts, look
from kernelwright.evaluate.room import Findings, Room
from kernelwright.evaluate.rotation import Rotation
from kernelwright.evaluate.running.bodies import body, scalar_mask
from kernelwright.evaluate.sitting import Sitting
from kernelwright.evaluate.verdicts import Verdicts
from kernelwright.problems.reference import Device, Reference

EVALUATOR = "2"


class Judge:
    """The judge of one problem. A context manager; implements `core.protocols.Evaluator`.

    It can be asked from several threads. On a CPU one candidate is run at a time; on a GPU up to
    `places` are verified side by side, and whoever is timed has the machine for itself.
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
        level, self._why_not_isolated = _level(require_isolation, defences)
        self._language = language
        self._room = room = Room.furnished(problem, reference, device, level, defences)
        self._verdicts = Verdicts()
        self._reference = reference
        self._health = Health(room.places, renew=self._renew) if device == "cuda" else None
        self._canary = self._hatch()
        self._rotation = Rotation(reference, [room.exam.redrawn, room.bench.redrawn])
        self._lock = threading.Lock()

    @property
    def problem(self) -> Problem:
        """What candidates are judged for."""
        return self._room.problem

    @property
    def places(self) -> int:
        """How many candidates are worth asking about at once: where some are verified side by side,
        twice as many are compiled or wait for their turn to be timed."""
        count = self._room.places.count
        return count if count == 1 else 3 * count

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
            DeviceLost: the GPU does not work any more.
            FaultError: another failure of the judge's own.
        """
        language = self._language(candidate.language)
        self._check(candidate, language)
        known = self._verdicts.recall(candidate, effort)
        if known is not None:
            return known
        self.ahead(candidate)
        with self._verdicts.asked(candidate, effort):
            # Another thread may have been given the same candidate in the meantime.
            known = self._verdicts.recall(candidate, effort)
            return known if known is not None else self._sit(candidate, language, effort)

    def ahead(self, candidate: Candidate) -> Future[Result] | None:
        """Start to build `candidate` before its turn; None when there is nothing to wait for.

        Raises:
            UnknownName: there is no such language.
        """
        try:
            plan = self._language(candidate.language).build(candidate, self._room.problem)
        except BuildRefused:
            return None
        return self._room.builder.ahead(plan)

    def try_build(self, candidate: Candidate) -> BuildFailed | TimedOut | Rejected | None:
        """What keeps `candidate` from being built; None when it can be. Nothing of it is run.

        Raises:
            UnknownName: there is no such language.
            Unavailable: the language cannot be built here.
            FaultError: the judge's own failure.
        """
        language = self._builder_of(candidate)
        try:
            plan = language.build(candidate, self._room.problem)
        except BuildRefused as refused:
            return Rejected(rule="build_refused", evidence=str(refused))
        built = self._room.builder.build(plan)
        return None if isinstance(built, Built) else built

    def facts(self, candidate: Candidate) -> Facts | None:
        """What the compiler made of `candidate`, whatever its verdict; None when it cannot be
        built. Needs no device.

        Raises:
            UnknownName: there is no such language.
            Unavailable: the language cannot be built here.
            FaultError: the judge's own failure.
        """
        self._builder_of(candidate)
        found = self._built(candidate)
        return look(*found, self._room.level) if found is not None else None

    def counters(self, candidate: Candidate) -> Counters | nsight.NotCounted | None:
        """What the device itself counts during one call of `candidate`, which passed; None on a
        CPU, and for what cannot be built.

        Raises:
            UnknownName: there is no such language.
            FaultError: the judge's own failure.
        """
        room, lane = self._room, candidate.lane
        found = self._built(candidate) if room.device == "cuda" else None
        if found is None:
            return None
        plan, built = found
        runner = body(
            built, plan.lane, plan.environment, room.setup,
            device=room.device, scalars=scalar_mask(room.problem),
        )  # fmt: skip
        log = room.folder / "counters.log"
        with room.places.quiet(), room.exam.lend("single", lane) as cases:
            return nsight.count(runner, lane, cases, room.level, log)

    def _builder_of(self, candidate: Candidate) -> Language:
        """The language of `candidate`, which can be built here; raises as `try_build`."""
        language = self._language(candidate.language)
        if missing := language.missing("build"):
            raise Unavailable(missing)
        return language

    def _built(self, candidate: Candidate) -> tuple[BuildPlan, Built] | None:
        """How `candidate` is built, and the result; None when it cannot be."""
        try:
            plan = self._language(candidate.language).build(candidate, self._room.problem)
        except BuildRefused:
            return None
        built = self._room.builder.build(plan)
        return (plan, built) if isinstance(built, Built) else None

    def refuse(self, candidate: Candidate, effort: Effort, evidence: str) -> Evaluation:
        """The verdict on a text that is no candidate for this problem; `evidence` says why."""
        outcome = Rejected(rule="not_a_candidate", evidence=evidence)
        return self._evaluation(candidate, effort, outcome, Findings(lane=candidate.lane))

    def _check(self, candidate: Candidate, language: Language) -> None:
        """Refuse what cannot be judged here at all; raises as `judge` does."""
        if candidate.lane != language.lane:
            raise UsageError(
                f"The candidate is marked for the {candidate.lane} lane, and {candidate.language} "
                f"is judged in the {language.lane} lane. Make it with lane={language.lane!r}."
            )
        for missing in (language.missing("build"), language.missing("run")):
            if missing:
                raise Unavailable(missing)
        if self._room.device not in language.devices:
            raise Unavailable(
                f"{candidate.language} candidates run on {' or '.join(language.devices)}, and this "
                f"judge was opened for {self._room.device}. Choose the other device."
            )

    def _sit(self, candidate: Candidate, language: Language, effort: Effort) -> Evaluation:
        """Judge `candidate`, which was not judged before."""
        self.require()
        if self._rotation.ready:
            with self._room.places.alone():
                self._rotation.swap()
        sitting = Sitting(self._room, candidate, language, effort)
        outcome = self._outcome(sitting)
        self._listen(candidate)
        evaluation = self._evaluation(candidate, effort, outcome, sitting.findings)
        self._verdicts.remember(candidate, evaluation)
        if "screen" in sitting.findings.stage_s:
            with self._lock:
                self._rotation.count()
        return evaluation

    def require(self) -> None:
        """Make sure that a GPU that was lost is there again; on a CPU there is nothing to ask.

        Raises:
            DeviceLost: it is not.
        """
        if self._health is not None:
            self._health.require()

    def _renew(self) -> None:
        """End the processes that had contexts on a device which was lost; what needs them next
        starts them anew."""
        self._room.bench.close()
        self._reference.close()

    def _outcome(self, sitting: Sitting) -> Outcome:
        """What becomes of a candidate, once it is known not to be its device's doing.

        Raises:
            DeviceLost: it is.
            FaultError: another failure of the judge's own.
        """
        if self._health is None:
            return sitting.outcome()
        try:
            outcome = sitting.outcome()
        except FaultError as fault:
            self._health.after_fault(fault)
            raise
        took_s = self._health.after(outcome)
        if took_s is not None:
            sitting.findings.checks[CHECKED] += 1
            sitting.findings.stage_s[STAGE] = took_s
        return outcome

    def _hatch(self) -> Canary | None:
        """The canary, where its language can be built."""
        native = self._language("cpp")
        if native.missing("build") is not None:
            return None
        room = self._room
        return Canary(room.builder, native, room.level, room.setup)

    def _listen(self, candidate: Candidate) -> None:
        """Judge the canary when its turn has come.

        Raises:
            JudgeBroken: it got another verdict than it must.
        """
        if self._canary is None:
            return
        with self._lock:
            due = self._canary.note(candidate.id)
        if not due:
            return
        with self._room.places.alone():
            try:
                self._canary.check(self._room.defences)
            except JudgeBroken:
                self._verdicts.forget()
                raise

    def _evaluation(
        self, candidate: Candidate, effort: Effort, outcome: Outcome, findings: Findings
    ) -> Evaluation:
        return Evaluation(
            candidate_id=candidate.id,
            effort=effort,
            outcome=outcome,
            environment=environment(self._room.device).model_copy(update={"clock": findings.clock}),
            evaluator=EVALUATOR,
            lane=findings.lane,
            isolation=self._room.level,
            checks=tuple(Performed(name=n, count=c) for n, c in sorted(findings.checks.items())),
            not_checked=(*findings.not_checked, *self._never_checked()),
            stage_s={stage: round(spent, 4) for stage, spent in findings.stage_s.items()},
            log=findings.log,
        )

    def _never_checked(self) -> list[str]:
        """What this judge checks of no candidate, on this machine."""
        said = [f"switched off: {name}" for name in self._room.defences.switched_off()]
        if self._canary is None:
            said.append("the judge itself, with a canary: it needs a C++ compiler")
        if self._why_not_isolated:
            said.append(f"isolation: {self._why_not_isolated}")
        if unlimited := cgroup.missing():
            said.append(f"limits: {unlimited}")
        return said

    def close(self) -> None:
        """End every process and give back memory and disk."""
        self._room.builder.close()
        self._room.zygote.close()
        self._rotation.close()
        self._room.bench.close()
        self._room.exam.close()
        shutil.rmtree(self._room.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _level(required: Isolation, defences: Defences) -> tuple[Isolation, str]:
    """The best level that is reached here, and why it is no better; empty when it is the best.

    Raises:
        Unavailable: it is below what is required.
    """
    level, why = isolation_level() if defences.sandbox else ("process", "")
    if not isolates(level, required):
        raise Unavailable(
            f"Isolation {required!r} is required, and this machine reaches {level!r}: {why}"
        )
    return level, why
