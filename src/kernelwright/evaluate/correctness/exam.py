"""The secret cases of one problem, drawn when first needed and shared by all its candidates.

No candidate can pass on what it saw: each life ends with its process, and its sandbox keeps
nothing. Promotion draws new cases, so that what is reported was measured on others than those
that the search selected on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from kernelwright.core.candidate import Lane
from kernelwright.core.problem import Problem, Workload
from kernelwright.evaluate.correctness.cases import CaseSet, Draws, draw
from kernelwright.evaluate.correctness.empty import empty_case
from kernelwright.evaluate.correctness.plan import plan_audit, plan_core, plan_screen
from kernelwright.evaluate.defences import Defences
from kernelwright.problems.case import Case
from kernelwright.problems.reference import Device, Reference

Part = Literal["screen", "core", "audit"]

_PLANS = {"screen": plan_screen, "core": plan_core, "audit": plan_audit}


class Exam:
    """The case sets of one problem: screen, core and audit."""

    def __init__(
        self, problem: Problem, reference: Reference, defences: Defences, device: Device = "cpu"
    ):
        self.problem = problem
        self._device = device
        self._defences = defences
        self._reference = reference
        self._sets: dict[tuple[Part, Lane], CaseSet] = {}
        self._distributions: tuple[str, ...] | None = None
        self._nothing: list[tuple[Workload, Case]] | None = None

    @property
    def distributions(self) -> tuple[str, ...]:
        """What the reference can be asked on."""
        if self._distributions is None:
            self._distributions = self._reference.distributions()
        return self._distributions

    def screen(self, lane: Lane) -> CaseSet:
        """Two small cases."""
        return self._set("screen", lane)

    def core(self, lane: Lane) -> CaseSet:
        """Every workload, the report size several times."""
        return self._set("core", lane)

    def audit(self, lane: Lane) -> CaseSet:
        """One case of each small workload: for sanitizers and other numbers of threads."""
        return self._set("audit", lane)

    def _empty(self, reference: Draws) -> list[tuple[Workload, Case]]:
        """A case of size zero, looked for once."""
        if self._nothing is None:
            found = empty_case(self.problem, reference)
            self._nothing = [] if found is None else [found]
        return self._nothing

    def redraw(self) -> None:
        """Replace every case that was drawn so far by a fresh one."""
        for key in list(self._sets):
            self._sets.pop(key).close()

    def redrawn(self, reference: Draws) -> Callable[[], None]:
        """Draw all that is in use again, beside it; what is returned puts it in its place."""
        fresh: dict[tuple[Part, Lane], CaseSet] = {}
        try:
            for part, lane in list(self._sets):
                fresh[part, lane] = self._drawn(part, lane, reference)
        except BaseException:
            for cases in fresh.values():
                cases.close()
            raise

        def put() -> None:
            for key, cases in fresh.items():
                if key in self._sets:
                    self._sets[key].close()
                self._sets[key] = cases

        return put

    def _set(self, part: Part, lane: Lane) -> CaseSet:
        if (part, lane) not in self._sets:
            self._sets[part, lane] = self._drawn(part, lane, self._reference)
        return self._sets[part, lane]

    def _drawn(self, part: Part, lane: Lane, reference: Draws) -> CaseSet:
        keeps = lane == "module" and any(s.role == "weight" for s in self.problem.inputs)
        planned = _PLANS[part](self.problem, self.distributions, self._defences)
        cases = draw(reference, planned, same_weights=keeps)
        if part == "core" and lane == "native" and self._defences.hidden_workloads:
            cases += self._empty(reference)
        return CaseSet(
            self.problem,
            cases,
            # A runner on a GPU brings inputs back, to show what became of them there.
            sealed=lane == "native" and self._device == "cpu" and self._defences.sealed_inputs,
            keeps_weights=keeps,
            share_rows=self._defences.same_address_new_content,
        )

    def close(self) -> None:
        """Give all memory back."""
        for cases in self._sets.values():
            cases.close()
        self._sets.clear()
