"""One evaluation of one candidate: build it, verify it stage by stage, audit it, and time it.

The first stage that does not go well ends it. What all evaluations of a judge share is its room,
which `evaluate.judge` prepares; what comes out is an outcome, and what was seen on the way.
"""

from __future__ import annotations

import contextlib
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal

from kernelwright.core.candidate import Candidate
from kernelwright.core.diagnosis import Diagnosis
from kernelwright.core.errors import BuildRefused, SandboxError
from kernelwright.core.evaluation import (
    BuildFailed,
    Crashed,
    Effort,
    Measurement,
    Outcome,
    Passed,
    Rejected,
    Stage,
    TimedOut,
)
from kernelwright.core.protocols import BuildPlan, Language
from kernelwright.evaluate.building.builder import Built
from kernelwright.evaluate.building.gate import SPARED
from kernelwright.evaluate.correctness import device_audit
from kernelwright.evaluate.correctness.audit import (
    Sanitized,
    other_thread_counts,
    sanitized,
    screen_threads,
    unsanitized,
)
from kernelwright.evaluate.correctness.cases import CaseSet
from kernelwright.evaluate.correctness.far import look_far
from kernelwright.evaluate.correctness.notes import Verified, merged
from kernelwright.evaluate.correctness.verify import run_stage
from kernelwright.evaluate.forms import Form, Forms
from kernelwright.evaluate.health import neighbours_may_have_moved, others_may_be_to_blame
from kernelwright.evaluate.profile.diagnose import diagnose
from kernelwright.evaluate.profile.disassembly import look, look_at
from kernelwright.evaluate.profile.occupancy import most_shared_bytes
from kernelwright.evaluate.profile.roofline import position
from kernelwright.evaluate.room import Findings, Room
from kernelwright.evaluate.running.bodies import body, scalar_mask
from kernelwright.evaluate.running.compiling import WORKERS, Ahead, Order, compiling
from kernelwright.evaluate.running.runner import Body
from kernelwright.evaluate.timing.bench import Timed, in_background
from kernelwright.evaluate.timing.plausible import known_peaks
from kernelwright.languages.machine import cuda_arch

_Place = Callable[[], contextlib.AbstractContextManager[None]]


class _Ended(Exception):
    """The evaluation has its outcome. Stays inside."""

    def __init__(self, outcome: Outcome):
        super().__init__(outcome)
        self.outcome = outcome


@dataclass(frozen=True)
class _Ready:
    """A candidate that was verified: what is timed, and what puts other inputs on the bench, if
    they were drawn."""

    form: Form
    runner: Body
    put_anew: Callable[[], None]


def _at_once() -> contextlib.AbstractContextManager[None]:
    """Nothing to wait for."""
    return contextlib.nullcontext()


def _nothing() -> None:
    """What there is to do when nothing was drawn."""


class Sitting:
    """Judges one candidate, once. `findings` are complete when `outcome` has returned."""

    def __init__(self, room: Room, candidate: Candidate, language: Language, effort: Effort):
        self.findings = Findings(lane=candidate.lane)
        self._room = room
        self._candidate = candidate
        self._language = language
        self._effort: Effort = effort
        self._open = contextlib.ExitStack()  # what is ended when the evaluation is
        self._early = contextlib.ExitStack()  # the life that began early, likewise
        self._files = room.folder / f"compiled-{secrets.token_hex(8)}"
        self._log = room.folder / f"life-{secrets.token_hex(8)}.log"  # each life begins it anew
        self._mark = time.monotonic()

    @property
    def _promotion(self) -> bool:
        return self._effort == "promotion"

    @property
    def _on_processors(self) -> bool:
        """Whether it is machine code for the CPU, which sanitizers and the far runner can run."""
        return self._candidate.lane == "native" and self._room.device == "cpu"

    def outcome(self) -> Outcome:
        """What becomes of the candidate.

        Raises:
            FaultError: the judge's own failure.
        """
        try:
            return self._passed()
        except _Ended as ended:
            return ended.outcome
        finally:
            self._early.close()
            self._open.close()
            shutil.rmtree(self._files, ignore_errors=True)
            self._log.unlink(missing_ok=True)

    def _passed(self) -> Passed:
        """Every stage in turn, from the cheapest to the dearest."""
        plan, built = self._build(lambda: self._language.build(self._candidate, self._room.problem))
        forms = self._formed(plan, built)
        places = self._room.places
        try:
            ready = self._verify_all(forms, places.beside_others)
        except _Ended as ended:
            if places.count == 1 or not others_may_be_to_blame(ended.outcome):
                raise
            self.findings.checks.clear()
            self.findings.agreements = ()
            self._early.close()
            self._make_bench_ready()  # its baselines could not compile while one has the card alone
            # Judges that are other processes must not be in its way either.
            ready = self._verify_all(forms, places.quiet)
        with self._on(places.quiet()):
            ready.put_anew()
            timed = self._timed_quietly(ready.runner)
        measurements = self._measured(timed)
        profile = self._profile(plan, ready.form, measurements)
        return Passed(
            agreements=self.findings.agreements, measurements=measurements, profile=profile
        )

    @contextlib.contextmanager
    def _on(self, places: contextlib.AbstractContextManager[None]) -> Iterator[None]:
        """Hold places in some way. What the wait takes is no stage's time."""
        asked = time.monotonic()
        with places:
            self._mark += time.monotonic() - asked
            yield

    @contextlib.contextmanager
    def _card(self) -> Iterator[None]:
        """Hold the card in common with other judges, for what runs there."""
        with self._on(self._room.places.card()):
            yield

    def _give_way(self) -> None:
        """Let another judge measure on the card, if one waits: between two calls nothing of this
        one runs there. What the wait takes is no stage's time."""
        asked = time.monotonic()
        self._room.places.give_way()
        self._mark += time.monotonic() - asked

    def _timed_quietly(self, runner: Body) -> Timed | None:
        """Its times, and on promotion whether it is right on sizes that take the machine alone.
        None where nothing is timed."""
        if not self._promotion:
            self._leave_out("sanitizers and other numbers of threads: on promotion")
        if missing := self._language.missing("time"):
            self._leave_out(f"timing: {missing}")
            return None
        timed = self._time(runner)
        if self._promotion and self._candidate.lane == "native":
            self._look_far(runner)
        return timed

    def _measured(self, timed: Timed | None) -> tuple[Measurement, ...]:
        """The measurements, once what was timed is known to be right."""
        if timed is None:
            return ()
        wrong = timed.wrong()
        self._finished("timing")
        if wrong is not None:
            raise _Ended(wrong)
        self.findings.checks += timed.checks
        self._leave_out(*timed.not_checked)
        self.findings.clock = timed.clock
        return timed.measurements

    def _build(self, planned: Callable[[], BuildPlan]) -> tuple[BuildPlan, Built]:
        try:
            plan = planned()
        except BuildRefused as refused:
            raise _Ended(Rejected(rule="build_refused", evidence=str(refused))) from refused
        self._open.enter_context(self._room.builder.holding(plan))
        built = self._room.builder.build(plan)
        self._finished("build")
        if isinstance(built, BuildFailed | TimedOut):
            raise _Ended(built)
        self.findings.log += built.log
        return plan, built

    def _built_form(self, planned: Callable[[], BuildPlan]) -> Form:
        plan, built = self._build(planned)
        return Form(built, plan.lane, dict(plan.environment))

    def _formed(self, plan: BuildPlan, built: Built) -> Forms:
        """Whose kernels are compiled ahead of its lives: in a search those of a module that does
        nothing but launch some. What is promoted is the module, as its users call it."""
        arch = cuda_arch()
        shared_bytes = most_shared_bytes(arch)
        if not plan.ahead or self._promotion or shared_bytes is None:
            return Forms(plan, built, None)
        room = self._room
        order = Order.of(room.problem, arch, shared_bytes)

        def begin() -> contextlib.AbstractContextManager[Ahead]:
            return compiling(
                built, order, setup=room.setup, zygote=room.zygote, gpu=room.device == "cuda",
                level=room.level, log=self._log.with_suffix(".ahead"), folder=self._files,
            )  # fmt: skip

        return Forms(plan, built, begin)

    def _for_core(self, forms: Forms) -> Form:
        """The form that goes on after the screen."""
        building = self._room.builder.working(WORKERS) if forms.compiles else _at_once()
        with self._on(building):
            form = forms.for_core()
        self._finished("build")
        if not isinstance(form, Form):
            raise _Ended(form)
        self.findings.lane = form.lane
        return form

    def _body(
        self, form: Form, *, sanitize: bool = False, thread_count: int | None = None,
        timed: bool = False,
    ) -> Body:  # fmt: skip
        return body(
            form.built, form.lane, form.environment, self._room.setup,
            device=self._room.device, sanitize=sanitize, thread_count=thread_count,
            zygote=self._room.zygote, scalars=scalar_mask(self._room.problem), timed=timed,
        )  # fmt: skip

    def _verify_all(self, forms: Forms, place: _Place) -> _Ready:
        """The screen, the core, during which the baselines of the bench compile, and on promotion
        the audit. A `place` is held while calls are made, and not while kernels are compiled; the
        card while something of this candidate runs there."""
        exam, bench, lane = self._room.exam, self._room.bench, self._candidate.lane
        put_anew = _nothing
        self.findings.lane = lane
        with self._on(place()):
            if self._promotion:
                exam.redraw()
                put_anew = bench.redrawn()
            many = self._body(forms.built, thread_count=screen_threads(self._room.defences))
            # On a GPU most of making the bench ready is waiting; on a CPU it is work, for which
            # there must be some hope first.
            if self._is_timed and self._room.device == "cuda":
                in_background(partial(bench.start, exam.distributions))
            with exam.lend("screen", lane) as cases, self._card():
                self._verify("screen", cases, many)
            if self._is_timed and self._room.device == "cpu":
                bench.start(exam.distributions)
        form = self._for_core(forms)
        with self._on(place()):
            runner = self._body(form, timed=True)
            with exam.lend("core", lane) as cases, self._card():
                if self._is_timed:
                    # The processes of an early life end with the thread that started them: this.
                    runner = self._early.enter_context(bench.early(runner, form.lane))
                self._verify("core", cases, self._body(form))
            if self._promotion:
                self._audit(form)
            self._make_bench_ready()
            self._finished("timing")
        if form.lane != lane:
            self._leave_out("its Python on other sizes than the screen's: on promotion")
        elif forms.why_not is not None:
            self._leave_out(f"its launches with no Python around them: {forms.why_not}")
        return _Ready(form, runner, put_anew)

    def _make_bench_ready(self) -> None:
        """Wait for inputs to be timed on, and for baselines to be compiled; a bench has both but
        once."""
        if self._is_timed:
            self._room.bench.start(self._room.exam.distributions)
            self._room.bench.wait()

    @property
    def _is_timed(self) -> bool:
        return self._language.missing("time") is None

    def _verify(self, stage: Stage, cases: CaseSet, runner: Body) -> None:
        room, lane = self._room, self.findings.lane
        found = run_stage(
            cases, runner, lane, stage, room.level, self._log, room.defences, self._give_way
        )
        self._finished(stage)
        if not isinstance(found, Verified):
            raise _Ended(found)
        self.findings.checks += found.checks
        self.findings.agreements = merged(self.findings.agreements, found.agreements)

    def _audit(self, form: Form) -> None:
        """What promotion adds on small workloads: see `evaluate.correctness.audit`."""
        with self._room.exam.lend("audit", self._candidate.lane) as cases:
            self._audit_on(form, cases)

    def _audit_on(self, form: Form, cases: CaseSet) -> None:
        defences = self._room.defences
        for count in other_thread_counts(defences) if self._room.device == "cpu" else ():
            self._verify("core", cases, self._body(form, thread_count=count))
            self.findings.checks[f"audited with OMP_NUM_THREADS={count}"] += 1
        self._leave_out(*unsanitized(self._language, self._room.device))
        if self._on_processors:
            problem = self._room.problem
            for check in sanitized(self._language, self._candidate, problem, defences):
                self._sanitize(check, cases)
        elif self._room.device == "cuda" and device_audit.find() is not None:
            self._watch(cases)

    def _sanitize(self, check: Sanitized, cases: CaseSet) -> None:
        runner = self._body(self._built_form(check.plan), sanitize=True)
        try:
            self._verify("sanitize", cases, runner)
        except SandboxError as error:
            if not check.optional:
                raise
            said = str(error).splitlines()[0]
            self._leave_out(f"{check.name}: the sanitizer does not start ({said})")
        else:
            self.findings.checks[f"audited for {check.name}"] += 1

    def _watch(self, cases: CaseSet) -> None:
        """Make the calls on a GPU under each tool of its sanitizer: see `device_audit`."""
        room, candidate, language = self._room, self._candidate, self._language
        form = self._built_form(lambda: language.build(candidate, room.problem, sanitize=True))
        audit = device_audit.Audit(
            runner=self._body(form, sanitize=True), lane=candidate.lane,
            source=candidate.source.files, cases=cases, level=room.level, log=self._log,
            defences=room.defences, between=self._give_way,
        )  # fmt: skip
        for tool in device_audit.tools(candidate.lane, room.defences):
            with self._card():
                found = audit.watch(tool)
            self._finished("sanitize")
            match found:
                case device_audit.Watched(calls=calls):
                    self.findings.checks[f"calls watched by compute-sanitizer {tool}"] += calls
                case device_audit.NotLearnt(why=why):
                    self._leave_out(f"{device_audit.subject(tool)}: {why}")
                case _:
                    raise _Ended(found)

    def _time(self, runner: Body) -> Timed:
        beside = self._room.device == "cuda" and SPARED > 0 and not self._promotion
        with _at_once() if beside else self._room.builder.quiet():
            timed = self._room.bench.time(runner, self.findings.lane, self._effort)
            if self._room.device == "cuda" and neighbours_may_have_moved(timed):
                self.findings.checks["timed again, since the device was busy"] += 1
                timed = self._room.bench.time(runner, self.findings.lane, self._effort)
        self._finished("timing")
        if not isinstance(timed, Timed):
            raise _Ended(timed)
        return timed

    def _profile(
        self, plan: BuildPlan, form: Form, measurements: tuple[Measurement, ...]
    ) -> Diagnosis:
        """What limits the candidate, from its code and from its times."""
        level = self._room.level
        facts = look_at(form.cubins, level) if form.cubins else look(plan, form.built, level)
        floor = self._room.bench.floor
        at = None
        if floor is not None and measurements:
            at = position(floor, known_peaks(self._room.device), measurements)
        self._finished("profile")
        return diagnose(facts, at)

    def _look_far(self, runner: Body) -> None:
        room = self._room
        if not room.defences.far_sizes:
            return
        if not self._on_processors:
            self._leave_out("indices beyond 2^31 elements: they are looked for on a CPU only")
            return
        found = look_far(room.problem, room.bench.case, runner, room.level, self._log)
        self._finished("far")
        if isinstance(found, Crashed):
            raise _Ended(found)
        self.findings.checks["calls on more than 2^31 elements"] += found.reached
        self._leave_out(*(f"indices beyond 2^31 elements: {why}" for why in found.not_learnt))

    def _leave_out(self, *reasons: str) -> None:
        self.findings.not_checked += reasons

    def _finished(self, stage: Stage | Literal["profile"]) -> None:
        """Note that `stage` ended now; one may have several parts."""
        now = time.monotonic()
        spent = self.findings.stage_s
        spent[stage] = spent.get(stage, 0.0) + now - self._mark
        self._mark = now
