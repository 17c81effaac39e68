"""Verification: call a candidate on secret cases and compare every output.

Two stages. The screen is two small cases and ends most wrong candidates within milliseconds; the
core is every workload. Each case is run twice, its tensors at other addresses with other
alignment and its outputs poisoned with another pattern.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kernelwright.core.candidate import Lane
from kernelwright.core.evaluation import (
    Agreement,
    Crashed,
    Isolation,
    Mismatch,
    Rejected,
    Stage,
    TimedOut,
    WrongResult,
)
from kernelwright.core.problem import Workload
from kernelwright.evaluate.cases import CaseSet
from kernelwright.evaluate.defences import Defences
from kernelwright.evaluate.runner import MISSHAPEN, Body, Life, LifeEnded, life

_SHOWN_MISMATCHES = 12
_LOAD_LIMIT_S = 60.0

Failure = WrongResult | Crashed | TimedOut | Rejected


@dataclass(frozen=True)
class Verified:
    """A stage that went well."""

    agreements: tuple[Agreement, ...]
    checks: Counter[str]


def run_stage(
    cases: CaseSet,
    body: Body,
    lane: Lane,
    stage: Stage,
    level: Isolation,
    log: Path,
    defences: Defences,
) -> Verified | Failure:
    """Run every call of `cases` in one life and compare all outputs.

    Raises:
        SandboxError: the runner could not be started.
    """
    cases.poison()
    with life(body, cases.table_fd, cases.inputs, cases.outputs, level, log) as running:
        try:
            running.ask("load", stage="load", limit_s=_LOAD_LIMIT_S)
            for index in range(len(cases.calls)):
                _call(cases, index, running, lane, stage)
        except LifeEnded as ended:
            return ended.outcome
    return _compare(cases, stage)


def _call(cases: CaseSet, index: int, running: Life, lane: Lane, stage: Stage) -> None:
    workload, case = cases.case_of(index)
    if workload.split == "hidden":
        running.mute()
    limit_s = call_limit_s(case.eager_s)
    try:
        if stage == "sanitize":
            running.ask("heap", stage=stage, limit_s=20 * limit_s, first=index, count=1)
        elif lane == "native":
            running.ask("buffer", stage=stage, limit_s=limit_s, first=index, count=1)
            return
        else:
            running.ask("returned", stage=stage, limit_s=10 * limit_s, first=index, count=1)
        running.ask("collect", stage=stage, limit_s=limit_s)
    except LifeEnded as ended:
        outcome = ended.outcome
        if isinstance(outcome, Rejected) and outcome.rule in MISSHAPEN.values():
            outcome = _misshapen(workload, case.distribution, outcome)
        if isinstance(outcome, Crashed):
            where = _where(workload)
            outcome = outcome.model_copy(update={"detail": f"On {where}: {outcome.detail}"})
        raise LifeEnded(outcome) from None


def _misshapen(workload: Workload, distribution: str, said: Rejected) -> WrongResult:
    mismatch = _mutated(workload, distribution).model_copy(
        update={
            "kind": said.rule,
            "output": "(returned)",
            "detail": None if workload.split == "hidden" else said.evidence,
        }
    )
    return WrongResult(mismatches=(mismatch,))


def call_limit_s(eager_s: float) -> float:
    """How long one call may take: a hundred times eager mode, and never less than five seconds."""
    return max(5.0, 100 * eager_s)


def _where(workload: Workload) -> str:
    if workload.split == "hidden":
        return "a hidden workload"
    sizes = ", ".join(f"{name}={size}" for name, size in workload.axes.items())
    return f"workload {workload.id} ({sizes})"


def _compare(cases: CaseSet, stage: Stage) -> Verified | WrongResult:
    mismatches: list[Mismatch] = []
    per_workload: dict[str, list[tuple[Workload, float, int]]] = {}
    checks: Counter[str] = Counter()
    for index in range(len(cases.calls)):
        workload, case = cases.case_of(index)
        checked = cases.check(index)
        mismatches += checked.mismatches
        per_workload.setdefault(workload.id, []).append((workload, checked.worst, checked.elements))
        checks[f"{stage} calls compared with the float64 oracle"] += 1
        checks[f"distribution {case.distribution}"] += 1
        checks["outputs poisoned beforehand"] += len(cases.problem.outputs)
        checks["guard zones intact"] += len(cases.problem.outputs)
        if not cases.inputs_intact(index):
            mismatches.append(_mutated(workload, case.distribution))
        checks["inputs unchanged"] += len(cases.problem.inputs)
        if index % cases.placements:
            checks["repeated at another address and alignment"] += 1
            if cases.problem.check.deterministic and not _same_bits(cases, index):
                mismatches.append(_unstable(workload, case.distribution))
    if mismatches:
        return WrongResult(mismatches=tuple(mismatches[:_SHOWN_MISMATCHES]))
    return Verified(tuple(_agreement(rows) for rows in per_workload.values()), checks)


def _same_bits(cases: CaseSet, index: int) -> bool:
    pairs = zip(cases.output_bytes(index), cases.output_bytes(index - 1), strict=True)
    return all(np.array_equal(one, other) for one, other in pairs)


def _mutated(workload: Workload, distribution: str) -> Mismatch:
    return Mismatch(
        workload_id="hidden" if workload.split == "hidden" else workload.id,
        split=workload.split,
        distribution=distribution,
        output="(inputs)",
        kind="input_mutated",
        matched_ratio=0.0,
    )


def _unstable(workload: Workload, distribution: str) -> Mismatch:
    mutated = _mutated(workload, distribution)
    return mutated.model_copy(update={"kind": "nondeterministic", "output": "(all)"})


def _agreement(rows: list[tuple[Workload, float, int]]) -> Agreement:
    workload = rows[0][0]
    return Agreement(
        workload_id=workload.id,
        split=workload.split,
        cases=len(rows),
        elements=sum(elements for _, _, elements in rows),
        worst=max(worst for _, worst, _ in rows),
    )
