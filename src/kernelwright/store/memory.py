"""A store that forgets everything when the process ends, for tests and for runs without a file."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from kernelwright.core.errors import StoreError
from kernelwright.core.run import Event


class MemoryStore:
    """Events in a list and blobs in a dictionary."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._blobs: dict[str, bytes] = {}

    def append(self, event: Event) -> int:
        """Keep a copy of `event`, as a file would, and return its `seq`."""
        seq = len(self._events) + 1
        copy = Event.model_validate_json(event.model_dump_json())
        self._events.append(copy.model_copy(update={"seq": seq}))
        return seq

    def records(self, after: int = 0) -> Sequence[Event]:
        """The events with a `seq` above `after`, in order."""
        return self._events[after:]

    def put(self, blob: bytes) -> str:
        """Keep `blob` and return its key, the SHA-256 of its content."""
        key = hashlib.sha256(blob).hexdigest()
        self._blobs[key] = blob
        return key

    def get(self, key: str) -> bytes:
        """The blob under `key`.

        Raises:
            StoreError: there is none.
        """
        if key not in self._blobs:
            raise StoreError(f"There is no blob {key!r}.")
        return self._blobs[key]
