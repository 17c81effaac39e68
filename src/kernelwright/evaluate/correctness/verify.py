"""Verification: call a candidate on secret cases and compare every output.

The screen is two small cases and ends most wrong candidates within milliseconds; the core is every
workload; on promotion sanitized builds run a few cases more. Each case is called twice, at two
addresses and over two poisons, and calls of all workloads are mixed in a secret order, so that
neither an address nor a size nor the number of a call says what comes next.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

from kernelwright.core.candidate import Lane
from kernelwright.core.evaluation import (
    Crashed,
    Isolation,
    MismatchKind,
    Rejected,
    Stage,
    TimedOut,
    WrongResult,
)
from kernelwright.core.problem import Problem, Workload
from kernelwright.evaluate.correctness.cases import CaseSet, Step
from kernelwright.evaluate.correctness.notes import Notes, Verified, mismatch
from kernelwright.evaluate.correctness.process_state import changed_state
from kernelwright.evaluate.correctness.traits import hidden_traits
from kernelwright.evaluate.defences import Defences
from kernelwright.evaluate.running.life import MISSHAPEN, Life, LifeEnded
from kernelwright.evaluate.running.runner import Body, life

_LOAD_LIMIT_S = 60.0
_SANITIZED = 20  # how many times slower a call may be under a sanitizer

Failure = WrongResult | Crashed | TimedOut | Rejected


def no_wait() -> None:
    """What there is to do between two calls where nobody else waits."""


def run_stage(
    cases: CaseSet,
    body: Body,
    lane: Lane,
    stage: Stage,
    level: Isolation,
    log: Path,
    defences: Defences,
    between: Callable[[], None] = no_wait,
) -> Verified | Failure:
    """Call every case of `cases` in one life and compare all outputs, until enough were wrong.
    `between` is called before each call, while the candidate has nothing to do.

    Raises:
        SandboxError: the runner could not be started.
    """
    cases.empty()
    notes = Notes(cases, stage, defences)
    with life(body, cases.table_fd, cases.inputs, cases.outputs, level, log) as running:
        try:
            running.ask("load", stage="load", limit_s=_LOAD_LIMIT_S)
            for step in order(cases, stage, defences):
                between()
                cases.prepare(step, poison=defences.poison)
                make_call(cases, step, running, lane, stage)
                notes.take(step)
                if notes.enough:
                    break
            else:
                found = _left_behind(running, lane, stage, defences)
                if found is not None:
                    return found
        except LifeEnded as ended:
            return notes.wrong() or ended.outcome
    return notes.verdict()


def order(cases: CaseSet, stage: Stage, defences: Defences) -> list[Step]:
    """The calls of one life. Under a sanitizer hidden workloads come last, since what is printed
    is not shown any more once they were seen."""
    if stage != "sanitize":
        return cases.schedule(repeats=defences.repeated_calls)
    once = [step for step in cases.schedule(repeats=False) if not step.again]
    return sorted(once, key=lambda step: cases.cases[step.case][0].split == "hidden")


def make_call(
    cases: CaseSet, step: Step, running: Life, lane: Lane, stage: Stage, at_most_s: float = math.inf
) -> None:
    """Make the call of one step, whose tensors were prepared. Its limit is never above `at_most_s`.

    Raises:
        LifeEnded: the runner did not answer as it should.
    """
    workload, case = cases.cases[step.case]
    if workload.split == "hidden":
        running.mute()
    slower = _SANITIZED if stage == "sanitize" else 1
    limit_s = min(call_limit_s(case.eager_s) * slower, at_most_s)
    try:
        if stage == "sanitize" and lane == "native":
            running.ask("heap", stage=stage, limit_s=limit_s, first=step.row, count=1)
        elif lane == "native":
            running.ask("buffer", stage=stage, limit_s=limit_s, first=step.row, count=1)
            return
        else:
            running.ask("stage", stage=stage, limit_s=limit_s, first=step.row, count=1)
            compiles_s = min(10 * limit_s, at_most_s)
            running.ask("returned", stage=stage, limit_s=compiles_s, first=step.row, count=1)
        running.ask("collect", stage=stage, limit_s=limit_s)
    except LifeEnded as ended:
        raise LifeEnded(_located(ended.outcome, cases, step)) from None


def _located(outcome: Failure, cases: CaseSet, step: Step) -> Failure:
    """`outcome` with the workload that it happened on."""
    workload, case = cases.cases[step.case]
    if isinstance(outcome, Rejected) and outcome.rule in MISSHAPEN.values():
        return _misshapen(cases.problem, workload, case.distribution, outcome)
    if isinstance(outcome, Crashed):
        detail = f"On {_where(cases, step)}: {outcome.detail}"
        return outcome.model_copy(update={"detail": detail})
    return outcome


def _misshapen(
    problem: Problem, workload: Workload, distribution: str, said: Rejected
) -> WrongResult:
    kind: MismatchKind = "wrong_shape" if said.rule == "wrong_shape" else "wrong_dtype"
    traits = hidden_traits(problem, workload)
    found = mismatch(workload, distribution, kind, "(returned)", said.evidence, traits=traits)
    return WrongResult(mismatches=(found,))


def _left_behind(running: Life, lane: Lane, stage: Stage, defences: Defences) -> Rejected | None:
    """What the calls changed about the process that a caller would notice."""
    if lane != "native" or stage == "sanitize" or not defences.process_state:
        return None
    return changed_state(running, stage)


def call_limit_s(eager_s: float) -> float:
    """How long one call may take: a hundred times eager mode, and never less than five seconds."""
    return max(5.0, 100 * eager_s)


def _where(cases: CaseSet, step: Step) -> str:
    workload, _ = cases.cases[step.case]
    if workload.split == "hidden":
        traits = [*hidden_traits(cases.problem, workload)]
        traits += [] if cases.is_aligned(step.row) else ["unaligned"]
        return f"a hidden workload ({', '.join(traits)})" if traits else "a hidden workload"
    sizes = ", ".join(f"{name}={size}" for name, size in workload.axes.items())
    return f"workload {workload.id} ({sizes})"
