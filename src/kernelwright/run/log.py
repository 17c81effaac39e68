"""Writing a run's log, and the state that it adds up to while it is being written."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from kernelwright.core.protocols import Store
from kernelwright.core.record import Record
from kernelwright.core.run import Event, EventKind
from kernelwright.store.fold import RunState, fold

Observer = Callable[[Event], None]
Clock = Callable[[], float]


def ignore(_event: Event) -> None:
    """The observer of a run that nobody watches."""


class RunLog:
    """The log of one run, open for writing.

    `state` is folded from each event as it is written, so a run that is resumed begins with the
    very state in which it was cut off. `observer` is called after an event is safe; what it raises
    stops the run, which can be resumed.
    """

    def __init__(self, store: Store, *, observer: Observer = ignore, clock: Clock = time.time):
        self.store = store
        self.clock = clock
        self._observer = observer
        self.state: RunState = fold(store.records())

    def record(self, kind: EventKind, data: Record | dict[str, Any]) -> None:
        """Write one event, take it into the state, and show it.

        Raises:
            StoreError: it could not be written; the state is as it was.
        """
        values = data.model_dump(mode="json") if isinstance(data, Record) else data
        event = Event(at=self.clock(), kind=kind, data=values)
        event = event.model_copy(update={"seq": self.store.append(event)})
        self.state = fold([event], self.state)
        self._observer(event)

    @property
    def elapsed_s(self) -> float:
        """Seconds that the run has taken, this session and those before; not the time between."""
        *before, (start, seen) = self.state.sessions or ((self.clock(),) * 2,)
        past = sum(end - begin for begin, end in before)
        return past + max(seen, self.clock()) - start
