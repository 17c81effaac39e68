"""Fakes of what a run is made of: verdicts out of thin air, a judge that reads them from the
candidate's own text, and a writer that makes such texts.

With these a whole run can be tested, killed and resumed in milliseconds, with no torch.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from kernelwright.core.candidate import Candidate, Plan, Proposal, Tunable
from kernelwright.core.errors import FaultError
from kernelwright.core.evaluation import (
    Agreement,
    BuildFailed,
    Effort,
    Environment,
    Evaluation,
    Measurement,
    Outcome,
    Passed,
    Regime,
)
from kernelwright.core.problem import Problem, Source, TensorSpec, Workload
from kernelwright.core.protocols import Assignment
from kernelwright.core.record import content_id

ENVIRONMENT = Environment(
    device="cpu", cpu="none", cores=1, threads=1, memory_gb=1.0, os="none", versions={}
)
TILE = Tunable(name="TILE", choices=(1, 2, 4, 8, 16), default=1)
_EAGER_NS = 1_000_000
_BLOCKS = 5


def row_problem() -> Problem:
    """A problem over rows, with one workload of each split; nothing runs its reference."""
    return Problem(
        id="rows",
        title="Rows",
        origin="testing",
        axes=("rows",),
        inputs=(TensorSpec(name="x", shape=("rows", 8), dtype="float32", role="input"),),
        outputs=(TensorSpec(name="out", shape=("rows", 8), dtype="float32", role="output"),),
        reference=Source(files={"rows.py": "rows = 4\n"}, entry_point="rows.py::Model"),
        workloads=(
            Workload(id="search", split="search", axes={"rows": 3}),
            Workload(id="hidden", split="hidden", axes={"rows": 7}),
            Workload(id="report", split="report", axes={"rows": 4}),
        ),
    )


def passed(speedup: float) -> Passed:
    """An outcome that passed, `speedup` times faster than eager in either regime."""
    return Passed(
        agreements=(
            Agreement(workload_id="report", split="report", cases=3, elements=96, worst=0.1),
        ),
        measurements=tuple(
            measurement
            for regime in ("returned", "buffer")
            for measurement in _measurements(regime, speedup)
        ),
    )


def _measurements(regime: Regime, speedup: float) -> Sequence[Measurement]:
    candidate_ns = max(1, round(_EAGER_NS / speedup))
    times = {"candidate": candidate_ns, "eager": _EAGER_NS, "control": _EAGER_NS}
    return [
        Measurement(
            workload_id="report",
            subject=subject,
            repeats="eager" if subject == "control" else None,
            regime=regime,
            calls=(1,) * _BLOCKS,
            # Not all alike, so that an interval has a width.
            elapsed_ns=tuple(ns + ns * block // 1000 for block in range(_BLOCKS)),
            overhead_ns=0,
        )
        for subject, ns in times.items()
    ]


def evaluation_of(candidate: Candidate, outcome: Outcome, effort: Effort = "search") -> Evaluation:
    """The evaluation of `candidate` that ended with `outcome`."""
    return Evaluation(
        candidate_id=candidate.id,
        effort=effort,
        outcome=outcome,
        environment=ENVIRONMENT,
        evaluator="scripted",
        lane=candidate.lane,
        isolation="process",
    )


def number_candidate(
    number: float | str, *, language: str = "cpp", tunables: Sequence[Tunable] = ()
) -> Candidate:
    """A candidate whose text is its own verdict: a speedup, or the compiler's complaint."""
    source = Source(files={"kernel.cpp": f"{number}\n"}, entry_point="kernel.cpp::kernel")
    return Candidate(problem_id="rows", language=language, source=source, tunables=tuple(tunables))


def verdict(candidate: Candidate) -> Outcome:
    """What a candidate of `number_candidate` says of itself.

    A number is its speedup under default settings; each doubling of TILE up to 4 adds a tenth,
    and each beyond takes a fifth away. Anything else does not build.
    """
    text = candidate.source.text.strip()
    try:
        speedup = float(text)
    except ValueError:
        return BuildFailed(diagnostics=text)
    tile = candidate.values.get("TILE", 1)
    return passed(speedup * {1: 1.0, 2: 1.1, 4: 1.2, 8: 1.0, 16: 0.8}[tile])


@dataclass(kw_only=True)
class ScriptedEvaluator:
    """Judges by `outcome_of`, after `delay_s`, and remembers what it was asked.

    The first calls raise the `faults`, one each, as a broken machine would.
    """

    outcome_of: Callable[[Candidate], Outcome] = verdict
    delay_s: float = 0.0
    faults: list[FaultError] = field(default_factory=list)
    asked: list[tuple[str, Effort]] = field(default_factory=list)

    async def evaluate(self, candidate: Candidate, effort: Effort) -> Evaluation:
        """The verdict on `candidate`."""
        self.asked.append((candidate.id, effort))
        await asyncio.sleep(self.delay_s)
        if self.faults:
            raise self.faults.pop(0)
        return evaluation_of(candidate, self.outcome_of(candidate), effort)


@dataclass(kw_only=True)
class NumberWriter:
    """Makes a `number_candidate` of each plan, always the same for the same plan.

    It has `drafts` drafts in each language, then says that it has no more. A text that does not
    build comes out of every `broken`-th plan; 0 is never. It also does what a tuner does. With
    `reads_hints` it is told hints, which make another text.
    """

    drafts: int = 3
    broken: int = 0
    delay_s: float = 0.0
    tunables: tuple[Tunable, ...] = (TILE,)
    faults: list[FaultError] = field(default_factory=list)
    asked: list[Plan] = field(default_factory=list)
    reads_hints: bool = False

    async def propose(self, assignment: Assignment) -> Proposal:
        """The candidate for the plan, or that there are no more."""
        plan = assignment.plan
        self.asked.append(plan)
        await asyncio.sleep(self.delay_s)
        if self.faults:
            raise self.faults.pop(0)
        if plan.kind == "draft" and plan.variant >= self.drafts:
            reason = f"There are only {self.drafts} drafts."
            return Proposal(step=assignment.step, plan=plan, reason=reason)
        return Proposal(step=assignment.step, plan=plan, candidate=self._write(assignment))

    def _write(self, assignment: Assignment) -> Candidate:
        plan = assignment.plan
        if plan.kind == "tune" and assignment.parents[0].candidate:
            return assignment.parents[0].candidate.tuned(plan.settings)
        # What a plan leaves open does not count, so that a new field changes no number.
        number = int(content_id(plan.model_dump(mode="json", exclude_none=True)), 16)
        if self.broken and number % self.broken == 0:
            text: float | str = f"error {number}"
        else:
            text = 0.5 + number % 1000 / 500
        return number_candidate(text, language=plan.language, tunables=self.tunables)
