"""The gate between building and timing: the machine is one, and a build would disturb the clock.

Builds, and whatever else may run in the background, go in side by side, one per processor. Whoever
measures asks for quiet: nothing new goes in, and the measurement begins when all that was inside
has come out. All judges of a process share one gate.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator


class Gate:
    """Lets up to `places` workers in, or one measurement, never both.

    A measurement that waits goes before workers that wait. Do not ask to go in while holding
    the quiet: that would wait for itself.
    """

    def __init__(self, places: int):
        self.places = places
        self._changed = threading.Condition()
        self._inside = 0
        self._wanted = 0
        self._measuring = False

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        """Hold one place; wait for it while something is measured or all are taken."""
        with self._changed:
            self._changed.wait_for(lambda: self._wanted == 0 and self._inside < self.places)
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    @contextlib.contextmanager
    def quiet(self) -> Iterator[None]:
        """Hold the machine for a measurement, once all that is inside has come out."""
        with self._changed:
            self._wanted += 1
            self._changed.wait_for(lambda: self._inside == 0 and not self._measuring)
            self._measuring = True
        try:
            yield
        finally:
            with self._changed:
                self._wanted -= 1
                self._measuring = False
                self._changed.notify_all()


MACHINE = Gate(len(os.sched_getaffinity(0)))
