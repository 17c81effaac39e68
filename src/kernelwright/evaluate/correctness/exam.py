"""The secret cases of one problem, drawn when first needed and shared by all its candidates.

No candidate can pass on what it saw: each life ends with its process, and its sandbox keeps
nothing. Promotion draws new cases, so that what is reported was measured on others than those
that the search selected on.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Literal

from kernelwright.core.candidate import Lane
from kernelwright.core.problem import Problem, Workload
from kernelwright.evaluate.correctness.cases import CaseSet, Draws, draw
from kernelwright.evaluate.correctness.empty import empty_case
from kernelwright.evaluate.correctness.plan import (
    plan_audit,
    plan_core,
    plan_screen,
    plan_single,
)
from kernelwright.evaluate.defences import Defences
from kernelwright.problems.case import Case
from kernelwright.problems.reference import Device, Reference

Part = Literal["screen", "core", "audit", "single"]
Key = tuple[Part, Lane]
Drawn = list[tuple[Workload, Case]]

_PLANS = {
    "screen": plan_screen, "core": plan_core, "audit": plan_audit, "single": plan_single,
}  # fmt: skip


class Exam:
    """The cases of one problem, in sets for the screen, the core and the audit.

    Safe to use from any thread: a set is lent to one at a time, and there are as many over the same
    cases as are needed at once.
    """

    def __init__(
        self, problem: Problem, reference: Reference, defences: Defences, device: Device = "cpu"
    ):
        self.problem = problem
        self._device = device
        self._defences = defences
        self._reference = reference
        self._lock = threading.RLock()
        self._drawn: dict[Key, Drawn] = {}
        self._free: dict[Key, list[CaseSet]] = {}
        self._distributions: tuple[str, ...] | None = None
        self._nothing: Drawn | None = None

    @property
    def distributions(self) -> tuple[str, ...]:
        """What the reference can be asked on."""
        with self._lock:
            if self._distributions is None:
                self._distributions = self._reference.distributions()
            return self._distributions

    @contextlib.contextmanager
    def lend(self, part: Part, lane: Lane) -> Iterator[CaseSet]:
        """A set that nobody else has meanwhile. The screen is two small cases, the core is every
        workload and the report size several times, and the audit, for sanitizers and other numbers
        of threads, has one case of each small workload. Single is one case at the report size, for
        who looks at a call and not at what it gives."""
        key = part, lane
        with self._lock:
            if key not in self._drawn:
                self._drawn[key] = self._draw(part, lane, self._reference)
            drawn, free = self._drawn[key], self._free.setdefault(key, [])
            found = free.pop() if free else None
        cases = found or self._set(lane, drawn)
        try:
            yield cases
        finally:
            with self._lock:
                if self._drawn.get(key) is drawn:
                    self._free[key].append(cases)
                else:
                    cases.close()

    def redraw(self) -> None:
        """Replace every case that was drawn so far by a fresh one."""
        with self._lock:
            self._drawn.clear()
            self._close_free()

    def redrawn(self, reference: Draws) -> Callable[[], None]:
        """Draw all that is in use again, beside it; what is returned puts it in its place."""
        with self._lock:
            keys = list(self._drawn)
        fresh = {(part, lane): self._draw(part, lane, reference) for part, lane in keys}

        def put() -> None:
            with self._lock:
                self._drawn = {key: fresh.get(key, drawn) for key, drawn in self._drawn.items()}
                self._close_free()

        return put

    def _draw(self, part: Part, lane: Lane, reference: Draws) -> Drawn:
        planned = _PLANS[part](self.problem, self.distributions, self._defences)
        drawn = draw(reference, planned, same_weights=self._keeps_weights(lane))
        if part == "core" and lane == "native" and self._defences.hidden_workloads:
            drawn += self._empty(reference)
        return drawn

    def _empty(self, reference: Draws) -> Drawn:
        """A case of size zero, looked for once."""
        if self._nothing is None:
            found = empty_case(self.problem, reference)
            self._nothing = [] if found is None else [found]
        return self._nothing

    def _keeps_weights(self, lane: Lane) -> bool:
        return lane == "module" and any(s.role == "weight" for s in self.problem.inputs)

    def _set(self, lane: Lane, drawn: Drawn) -> CaseSet:
        return CaseSet(
            self.problem,
            drawn,
            # A runner on a GPU brings inputs back, to show what became of them there.
            sealed=lane == "native" and self._device == "cpu" and self._defences.sealed_inputs,
            keeps_weights=self._keeps_weights(lane),
            share_rows=self._defences.same_address_new_content,
            # A module's kernels may have been compiled for that; on a CPU it must live with any.
            aligned=lane == "module" and self._device == "cuda",
        )

    def _close_free(self) -> None:
        for free in self._free.values():
            for cases in free:
                cases.close()
            free.clear()

    def close(self) -> None:
        """Give all memory back; a set that is lent, when it is given back."""
        self.redraw()
