"""The writer of tuning plans: the parent's text with other numbers, which a search has picked."""

from __future__ import annotations

from dataclasses import dataclass

from kernelwright.core.candidate import Candidate, Plan, Proposal
from kernelwright.core.protocols import Assignment


@dataclass(frozen=True)
class Tuner:
    """Applies `plan.settings` to the parent's candidate."""

    async def propose(self, assignment: Assignment) -> Proposal:
        """The parent with these settings, or the reason why it cannot have them."""
        plan = assignment.plan
        parent = next((a.candidate for a in assignment.parents if a.candidate), None)
        fault = _fault(plan, parent)
        if parent is None or fault is not None:
            return Proposal(step=assignment.step, plan=plan, reason=fault)
        candidate = parent.tuned(parent.values | plan.settings)
        return Proposal(step=assignment.step, plan=plan, candidate=candidate)


def _fault(plan: Plan, parent: Candidate | None) -> str | None:
    if plan.kind != "tune":
        return f"A tuner only tunes; it cannot carry out a plan to {plan.kind}."
    if parent is None:
        return "There is no parent to tune: its attempt made no candidate."
    if not plan.settings:
        return "The plan sets no tunable, so the candidate would be its parent again."
    tunables = {t.name: t for t in parent.tunables}
    for name, value in plan.settings.items():
        if name not in tunables:
            known = ", ".join(tunables) or "none"
            return f"The parent has no tunable called {name}. It has: {known}."
        if value not in tunables[name].choices:
            choices = ", ".join(map(str, tunables[name].choices))
            return f"{name} = {value} is not among its choices: {choices}."
    return None
