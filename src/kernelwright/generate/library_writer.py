"""The writer that looks things up: it hands out the kernels of the library that fit, in order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from kernelwright.core.candidate import Candidate, Proposal
from kernelwright.core.protocols import Assignment


@runtime_checkable
class Found(Protocol):
    """Kernels of the library that compute the problem, adapted to it."""

    @property
    def candidates(self) -> Sequence[Candidate]:
        """At least one."""
        ...


@runtime_checkable
class NotFound(Protocol):
    """There is none."""

    @property
    def reason(self) -> str:
        """Why, as a sentence."""
        ...


@dataclass(frozen=True, kw_only=True)
class LibraryWriter:
    """Answers the n-th draft with the n-th of ``drafts(language)``. What it hands out is judged and
    tuned here like any other draft."""

    drafts: Callable[[str], Found | NotFound]

    async def propose(self, assignment: Assignment) -> Proposal:
        """The kernel that `plan.variant` counts to, or the reason why there is none."""
        plan = assignment.plan
        found = self._find(assignment)
        if isinstance(found, Candidate):
            return Proposal(step=assignment.step, plan=plan, candidate=found)
        return Proposal(step=assignment.step, plan=plan, reason=found)

    def _find(self, assignment: Assignment) -> Candidate | str:
        plan = assignment.plan
        if plan.kind not in ("draft", "port"):
            return f"The library only has drafts; it cannot carry out a plan to {plan.kind}."
        drafts = self.drafts(plan.language)
        if not isinstance(drafts, Found):
            return drafts.reason
        count = len(drafts.candidates)
        if plan.variant >= count:
            some = "1 kernel" if count == 1 else f"{count} kernels"
            return f"The library has {some} for this problem in {plan.language}, and no more."
        return drafts.candidates[plan.variant]
