"""What a stage of verification has seen so far, call by call, and what follows from it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from kernelwright.core.evaluation import (
    Agreement,
    Mismatch,
    MismatchKind,
    Stage,
    Trait,
    WrongResult,
)
from kernelwright.core.problem import Workload
from kernelwright.evaluate.correctness.cases import CaseSet, Checked, Step
from kernelwright.evaluate.correctness.traits import hidden_traits
from kernelwright.evaluate.defences import Defences
from kernelwright.evaluate.running.arena import Bytes

# A few wrong calls say where a candidate is wrong; more cost time and say the same.
_ENOUGH_WRONG = 4
_SHOWN_MISMATCHES = 12


@dataclass(frozen=True)
class Verified:
    """A stage that went well."""

    agreements: tuple[Agreement, ...]
    checks: Counter[str]


@dataclass
class _Seen:
    """The calls of one workload."""

    workload: Workload
    calls: int = 0
    elements: int = 0
    worst: float = 0.0

    def agreement(self) -> Agreement:
        return Agreement(
            workload_id=self.workload.id,
            split=self.workload.split,
            cases=self.calls,
            elements=self.elements,
            worst=self.worst,
        )


@dataclass
class Notes:
    """The calls of one stage. `take` each right after it was made: what a candidate writes later
    is not seen."""

    cases: CaseSet
    stage: Stage
    defences: Defences
    checks: Counter[str] = field(default_factory=Counter)
    _mismatches: list[Mismatch] = field(default_factory=list)
    _wrong_calls: int = 0
    _seen: dict[str, _Seen] = field(default_factory=dict)
    _right: dict[int, tuple[Checked, list[Bytes]]] = field(default_factory=dict)
    _aligned: Counter[str] = field(default_factory=Counter)

    @property
    def enough(self) -> bool:
        """Whether more calls would tell nothing new."""
        return self._wrong_calls >= _ENOUGH_WRONG

    def take(self, step: Step) -> None:
        """Compare what a call left behind."""
        workload, case = self.cases.cases[step.case]
        checked = self._check(step)
        found = [m for m in checked.mismatches if self._counts(m.kind)]
        traits = hidden_traits(self.cases.problem, workload)
        whole = partial(mismatch, workload, case.distribution, traits=traits)
        if self.defences.sealed_inputs and not self._inputs_intact(step):
            found.append(whole("input_mutated", "(inputs)"))
        if step.again and not self._same_bits(step):
            self.checks["calls with other bits than the first time"] += 1
            if self.cases.problem.check.deterministic:
                found.append(whole("nondeterministic", "(all)"))
        if self.cases.is_aligned(step.row):
            self._aligned["wrong" if found else "right"] += 1
        self._mismatches += found
        self._wrong_calls += bool(found)
        self._remember(step, checked)
        self._count(step, workload, checked)

    def _check(self, step: Step) -> Checked:
        """The second time, the same bits are as right as they were."""
        known = self._right.get(step.case)
        if known is not None and self._same_bits(step) and self.cases.guards_intact(step):
            return known[0]
        return self.cases.check(step, guards=self.defences.guards)

    def _same_bits(self, step: Step) -> bool:
        known = self._right.get(step.case)
        return known is not None and all(
            np.array_equal(one, other)
            for one, other in zip(known[1], self.cases.output_bytes(step.row), strict=True)
        )

    def _remember(self, step: Step, checked: Checked) -> None:
        if not step.again and not checked.mismatches:
            copies = [data.copy() for data in self.cases.output_bytes(step.row)]
            self._right[step.case] = (checked, copies)

    def _counts(self, kind: MismatchKind) -> bool:
        """Whether the defence that a mismatch of this kind belongs to is on."""
        if kind == "precision":
            return self.defences.aggregate_error
        return kind != "nonfinite" or self.defences.nonfinite_masks

    def _inputs_intact(self, step: Step) -> bool:
        return self.cases.sealed or self.cases.inputs_intact(step)

    def _count(self, step: Step, workload: Workload, checked: Checked) -> None:
        _, case = self.cases.cases[step.case]
        seen = self._seen.setdefault(workload.id, _Seen(workload))
        seen.calls += 1
        seen.elements += checked.elements
        if math.isfinite(checked.worst):  # it is not where a defence is off that would say so
            seen.worst = max(seen.worst, checked.worst)
        self.checks[f"{self.stage} calls compared with the float64 oracle"] += 1
        if not step.again:
            self.checks[f"distribution {case.distribution}"] += 1
        else:
            self.checks["repeated at another address, over another poison"] += 1
        if self.defences.poison:
            self.checks["outputs poisoned beforehand"] += len(self.cases.problem.outputs)
        if self.defences.guards:
            self.checks["guard zones intact"] += len(self.cases.problem.outputs)
        self.checks["inputs unchanged"] += len(self.cases.problem.inputs)

    def wrong(self) -> WrongResult | None:
        """What did not agree, what a candidate may be told first; None if everything did."""
        if not self._mismatches:
            return None
        found = sorted(self._mismatches, key=lambda m: m.split == "hidden")
        if self._aligned["right"] and not self._aligned["wrong"]:
            found = [m.model_copy(update={"traits": (*m.traits, "unaligned")}) for m in found]
        return WrongResult(mismatches=tuple(dict.fromkeys(found))[:_SHOWN_MISMATCHES])

    def verdict(self) -> Verified | WrongResult:
        """What the stage found."""
        wrong = self.wrong()
        if wrong is not None:
            return wrong
        return Verified(tuple(seen.agreement() for seen in self._seen.values()), self.checks)


def merged(one: Sequence[Agreement], other: Sequence[Agreement]) -> tuple[Agreement, ...]:
    """The agreements of two stages, one for each workload."""
    found = {agreement.workload_id: agreement for agreement in one}
    for new in other:
        old = found.get(new.workload_id)
        if old is not None:
            new = new.model_copy(
                update={
                    "cases": old.cases + new.cases,
                    "elements": old.elements + new.elements,
                    "worst": max(old.worst, new.worst),
                }
            )
        found[new.workload_id] = new
    return tuple(found.values())


def mismatch(
    workload: Workload,
    distribution: str,
    kind: MismatchKind,
    output: str,
    detail: str | None = None,
    *,
    traits: tuple[Trait, ...] = (),
) -> Mismatch:
    """A mismatch of a whole call; of a hidden workload only its class is told."""
    hidden = workload.split == "hidden"
    return Mismatch(
        workload_id="hidden" if hidden else workload.id,
        split=workload.split,
        distribution=distribution,
        output=output,
        kind=kind,
        matched_ratio=0.0,
        detail=None if hidden else detail,
        traits=traits,
    )
