"""The secret cases of one problem, drawn when first needed and shared by all its candidates.

No candidate can pass on what it saw: each life ends with its process, and its sandbox keeps
nothing. Promotion draws new cases, so that what is reported was measured on others than those
that the search selected on.
"""

from __future__ import annotations

from kernelwright.core.candidate import Lane
from kernelwright.core.problem import ITEM_BYTES, Problem, Workload
from kernelwright.evaluate.cases import CaseSet, draw, plan_core, plan_screen
from kernelwright.evaluate.defences import Defences
from kernelwright.problems.reference import Reference

_TIMING_BYTES = 2 << 30
_TIMING_CALLS = (6, 48)


class Exam:
    """The case sets of one problem: screen, core and timing."""

    def __init__(self, problem: Problem, reference: Reference, defences: Defences):
        self.problem = problem
        self._defences = defences
        self._reference = reference
        self._sets: dict[tuple[str, Lane], CaseSet] = {}
        self._timing: CaseSet | None = None
        self._distributions: tuple[str, ...] | None = None

    @property
    def distributions(self) -> tuple[str, ...]:
        """What the reference can be asked on, as its smallest workload shows."""
        if self._distributions is None:
            smallest = min(self.problem.workloads, key=self.problem.traffic_bytes)
            self._distributions = self._reference.distributions(smallest)
        return self._distributions

    def screen(self, lane: Lane) -> CaseSet:
        """Two small cases."""
        return self._set("screen", lane)

    def core(self, lane: Lane) -> CaseSet:
        """Every workload."""
        return self._set("core", lane)

    def timing(self) -> CaseSet:
        """Different inputs at the report size, as many as memory allows."""
        if self._timing is None:
            cases = draw(self._reference, self._plan_timing())
            self._timing = CaseSet(self.problem, cases, ["aligned"])
        return self._timing

    def redraw(self) -> None:
        """Replace every case that was drawn so far by a fresh one."""
        if self._timing is not None:
            self._timing.fill(draw(self._reference, self._plan_timing()))
        for key in list(self._sets):
            self._sets.pop(key).close()

    def _set(self, stage: str, lane: Lane) -> CaseSet:
        if (stage, lane) not in self._sets:
            plan = plan_screen if stage == "screen" else plan_core
            cases = draw(self._reference, plan(self.problem, self.distributions))
            sealed = lane == "native"
            self._sets[stage, lane] = CaseSet(
                self.problem, cases, ["aligned", "flush"], sealed=sealed
            )
        return self._sets[stage, lane]

    def _plan_timing(self) -> list[tuple[Workload, str]]:
        """Half the inputs as the file draws them, half from all other distributions in turn."""
        workload = self.problem.report_workload
        exact = sum(t.elements(workload.axes) for t in self.problem.outputs) * ITEM_BYTES["float64"]
        each = 3 * self.problem.traffic_bytes(workload) + exact
        fewest, most = _TIMING_CALLS
        count = max(fewest, min(most, _TIMING_BYTES // max(each, 1)))
        others = [name for name in self.distributions if name != "file"] or ["file"]
        return [
            (workload, others[index // 2 % len(others)] if index % 2 else "file")
            for index in range(count)
        ]

    def close(self) -> None:
        """Give all memory back."""
        for cases in [*self._sets.values(), *([self._timing] if self._timing else [])]:
            cases.close()
        self._sets.clear()
        self._timing = None
