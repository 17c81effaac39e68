"""Rotation: after so many verdicts the secret cases are drawn anew, while the judge goes on.

A verdict tells a little about the cases that it was found on: where an output was wrong, and what
it should have been. Someone who hands in many candidates could put those pieces together, so no
case lives long enough to be learnt. New ones are drawn in the background, one case at a time, never
while something is timed, and take their place between two evaluations.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from kernelwright.core.errors import KernelwrightError
from kernelwright.core.problem import Workload
from kernelwright.evaluate.building.gate import MACHINE, Gate
from kernelwright.problems.case import Case
from kernelwright.problems.reference import Reference

EVERY = 64  # verdicts on what was run
_TIMED_EVERY = 4  # rotations, since the timed inputs are large and every call on them is compared

_LOG = logging.getLogger(__name__)


class _Closed(KernelwrightError):
    """The judge was closed while cases were drawn. Stays inside."""


class Paced:
    """A reference that works out one case at a time, and none while something is timed."""

    def __init__(self, reference: Reference, gate: Gate):
        self._reference = reference
        self._gate = gate
        self.closed = False

    def case(
        self, workload: Workload, distribution: str, seed: int, *, weights_seed: int | None = None
    ) -> Case:
        """As `Reference.case`, when there is room for it."""
        with self._gate.working():
            if self.closed:
                raise _Closed("The judge was closed.")
            return self._reference.case(workload, distribution, seed, weights_seed=weights_seed)


Place = Callable[[], None]
Draw = Callable[[Paced], Place]


class Rotation:
    """Counts verdicts, has cases drawn, and puts them in place when it is asked to.

    Each of `draws` makes new cases and returns what puts them where the old ones are. The first is
    for each rotation, any other for every fourth.
    """

    def __init__(
        self, reference: Reference, draws: Sequence[Draw], *, every: int = EVERY,
        gate: Gate = MACHINE,
    ):  # fmt: skip
        self._paced = Paced(reference, gate)
        self._draws = draws
        self._every = every
        self._counted = 0
        self._rotations = 0
        self._thread: threading.Thread | None = None
        self._drawn: list[Place] = []

    def count(self) -> None:
        """Note one verdict. Called by one thread at a time, as `swap` is."""
        self._counted += 1
        if self._counted >= self._every and self._thread is None:
            self._thread = threading.Thread(target=self._draw, name="rotation", daemon=True)
            self._thread.start()

    @property
    def ready(self) -> bool:
        """Whether there is something for `swap` to do."""
        return self._thread is not None and not self._thread.is_alive()

    def swap(self) -> bool:
        """Put the new cases in place, if they are ready; whether they were."""
        if self._thread is None or self._thread.is_alive():
            return False
        self._thread = None
        self._counted = 0
        drawn, self._drawn = self._drawn, []
        for place in drawn:
            place()
        return bool(drawn)

    def close(self) -> None:
        """Stop to draw, and let go of what was drawn."""
        self._paced.closed = True
        if self._thread is not None:
            self._thread.join()
            self.swap()

    def _draw(self) -> None:
        """In a thread of its own. What goes wrong leaves the old cases where they are."""
        self._rotations += 1
        draws = self._draws if self._rotations % _TIMED_EVERY == 0 else self._draws[:1]
        try:
            for draw in draws:
                self._drawn.append(draw(self._paced))
        except _Closed:
            pass
        except KernelwrightError as error:
            _LOG.warning("New cases could not be drawn, so the old ones stay: %s", error)
