"""The gate between building and timing: the machine is one, and a build would disturb the clock.

Builds, and whatever else may run in the background, go in side by side, one per processor. Whoever
measures asks for quiet: nothing new goes in, and the measurement begins when all that was inside
has come out. All judges of a process share one gate.

What a GPU does behind a queue takes no notice of builds. Where there are many processors some are
left free by every build, for those who measure that way, who then need no quiet.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator

_PATIENCE_S = 4.0


class Gate:
    """Lets up to `places` workers in, or one measurement, never both.

    A measurement that waits goes before workers that wait. Where `gather` is more than one, the
    gate is closed to workers only for so many measurements, or for one that has waited four
    seconds: each time that it is closed some places are empty until the last worker has come out.
    Do not ask to go in while holding the quiet: that would wait for itself.
    """

    def __init__(self, places: int, *, gather: int = 1):
        self.places = places
        self._gather = gather
        self._changed = threading.Condition()
        self._inside = 0
        self._wanted = 0
        self._closed = False
        self._measuring = False

    @contextlib.contextmanager
    def working(self, count: int = 1) -> Iterator[None]:
        """Hold `count` places, all there are at most; wait for them while something is measured or
        too many are taken."""
        count = min(count, self.places)

        def free() -> bool:
            closed = self._closed or self._measuring
            return not closed and self._inside + count <= self.places

        with self._changed:
            self._changed.wait_for(free)
            self._inside += count
        try:
            yield
        finally:
            with self._changed:
                self._inside -= count
                self._changed.notify_all()

    @contextlib.contextmanager
    def quiet(self) -> Iterator[None]:
        """Hold the machine for a measurement, once all that is inside has come out."""

        def free() -> bool:
            return self._inside == 0 and not self._measuring

        with self._changed:
            self._wanted += 1
            self._closed |= self._wanted >= self._gather
            if not self._changed.wait_for(free, timeout=_PATIENCE_S):
                self._closed = True
                self._changed.wait_for(free)
            self._measuring = True
        try:
            yield
        finally:
            with self._changed:
                self._wanted -= 1
                self._closed &= self._wanted > 0
                self._measuring = False
                self._changed.notify_all()


_PROCESSORS = len(os.sched_getaffinity(0))
# The broker, the keeper, a runner and a baseline are at work while calls on a GPU are timed.
SPARED = 4 if _PROCESSORS >= 12 else 0
MACHINE = Gate(_PROCESSORS - SPARED)
