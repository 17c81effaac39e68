"""Writers that are not here: coding agents, which hand candidates in by themselves."""

from __future__ import annotations

from dataclasses import dataclass

from kernelwright.core.candidate import Proposal
from kernelwright.core.protocols import Assignment

GONE = "Its process ended before it handed a candidate in."


@dataclass(frozen=True, kw_only=True)
class Outside:
    """Stands for an agent in a run that goes on without it: a plan of its comes to nothing."""

    async def propose(self, assignment: Assignment) -> Proposal:
        """No candidate, and why."""
        return Proposal(step=assignment.step, plan=assignment.plan, reason=GONE)
