"""Task admission: would deliberately wrong outputs be told apart from right ones?

The records and their reading; no torch. The wrong outputs themselves are made in `mutants`, and
the other requirements are looked at in `requirements`.
"""

from __future__ import annotations

from typing import Literal

from kernelwright.core.record import Record

MutantStatus = Literal["killed", "survived", "not_applicable"]
RequirementStatus = Literal["met", "missed", "not_applicable"]


class Mutant(Record):
    """One deliberately wrong way to compute a problem, and whether the judge's cases notice.

    `report` and `suite` count the cases at the report size and at all other sizes; the mutant
    failed `report_killed` and `suite_killed` of them. It is killed when it fails at least one
    case of each. `reason` says what happened in words.
    """

    name: str
    status: MutantStatus
    reason: str
    report: int = 0
    report_killed: int = 0
    suite: int = 0
    suite_killed: int = 0


class Requirement(Record):
    """Something else that a problem's cases must have: that an input matters, that outputs vary."""

    name: str
    status: RequirementStatus
    reason: str


class Admission(Record):
    """What admission found for one problem."""

    problem_id: str
    mutants: tuple[Mutant, ...]
    requirements: tuple[Requirement, ...] = ()

    @property
    def survivors(self) -> tuple[Mutant, ...]:
        """The mutants that no case tells apart from the reference."""
        return tuple(m for m in self.mutants if m.status == "survived")

    @property
    def missed(self) -> tuple[Requirement, ...]:
        """The requirements that are not met."""
        return tuple(r for r in self.requirements if r.status == "missed")

    @property
    def admitted(self) -> bool:
        """Whether every mutant that applies was killed, and every requirement is met."""
        return not self.survivors and not self.missed

    @property
    def sentence(self) -> str:
        """What was found, in one to three sentences for a person."""
        killed = sum(m.status == "killed" for m in self.mutants)
        skipped = sum(m.status == "not_applicable" for m in self.mutants)
        head = f"{killed} of {len(self.mutants) - skipped} wrong programs were told apart"
        if self.admitted:
            return f"{head}; no gap was found."
        said = [f"{head}."]
        if self.survivors:
            names = ", ".join(m.name for m in self.survivors)
            said.append(
                f"The inputs of this problem cannot tell these from the reference: {names}."
            )
        said += [f"{r.name}: {r.reason}." for r in self.missed]
        return " ".join(said)
