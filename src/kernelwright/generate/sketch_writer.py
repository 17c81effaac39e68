"""The writer without a model: it hands out the drafts that sketches make of a problem, in order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from kernelwright.core.candidate import Candidate, Proposal
from kernelwright.core.protocols import Assignment


@runtime_checkable
class Covered(Protocol):
    """The sketches' drafts of a problem, structurally different, the most promising first."""

    @property
    def candidates(self) -> Sequence[Candidate]:
        """At least one."""
        ...


@runtime_checkable
class NotCovered(Protocol):
    """No sketch fits."""

    @property
    def reason(self) -> str:
        """What stopped them, as a sentence."""
        ...


@dataclass(frozen=True, kw_only=True)
class SketchWriter:
    """Answers the n-th draft with the n-th of ``drafts(language)``."""

    drafts: Callable[[str], Covered | NotCovered]

    async def propose(self, assignment: Assignment) -> Proposal:
        """The draft that `plan.variant` counts to, or the reason why there is none."""
        plan = assignment.plan
        found = self._find(assignment)
        if isinstance(found, Candidate):
            return Proposal(step=assignment.step, plan=plan, candidate=found)
        return Proposal(step=assignment.step, plan=plan, reason=found)

    def _find(self, assignment: Assignment) -> Candidate | str:
        plan = assignment.plan
        if plan.kind not in ("draft", "port"):
            return f"Sketches only draft; they cannot carry out a plan to {plan.kind}."
        drafts = self.drafts(plan.language)
        if not isinstance(drafts, Covered):
            return drafts.reason
        count = len(drafts.candidates)
        if plan.variant >= count:
            some = "1 draft" if count == 1 else f"{count} drafts"
            return f"The sketches have {some} of this problem in {plan.language}, and no more."
        return drafts.candidates[plan.variant]
