"""What every store promises. Subclass `StoreContract` and provide the `store` fixture."""

from __future__ import annotations

import hashlib

import pytest

from kernelwright.core.errors import StoreError
from kernelwright.core.protocols import Store
from kernelwright.core.run import Event


def note(reason: str, at: float = 0.0) -> Event:
    """An event to store, told apart by its `reason`."""
    return Event(at=at, kind="finished", data={"reason": reason, "step": None})


class StoreContract:
    """Append-only events and blobs by content."""

    def test_events_are_numbered_from_one(self, store: Store) -> None:
        """`append` returns the number, and `records` shows it."""
        assert [store.append(note(r)) for r in "abc"] == [1, 2, 3]
        assert [event.seq for event in store.records()] == [1, 2, 3]

    def test_an_event_comes_back_as_it_went_in(self, store: Store) -> None:
        """Unicode, nesting and every bit of a float included."""
        event = Event(at=0.1 + 0.2, kind="problem", data={"é\n": [1, 0.1, None, {"x": True}]})
        store.append(event)
        assert store.records()[0].model_copy(update={"seq": 0}) == event

    def test_reading_resumes_after_the_last_event_seen(self, store: Store) -> None:
        """`after` is exclusive, and reading past the end gives nothing."""
        seen = store.append(note("a"))
        last = store.append(note("b"))
        assert [event.data["reason"] for event in store.records(after=seen)] == ["b"]
        assert list(store.records(after=last)) == []

    def test_what_was_read_does_not_change(self, store: Store) -> None:
        """A later event does not appear in an earlier reading, nor does the caller's own change."""
        event = note("a")
        store.append(event)
        before = list(store.records())
        event.data["reason"] = "changed"
        store.append(note("b"))
        assert [e.data["reason"] for e in before] == ["a"]
        assert [e.data["reason"] for e in store.records()] == ["a", "b"]

    def test_a_blob_is_found_by_its_hash(self, store: Store) -> None:
        """The key is the SHA-256 of the content; keeping it twice is harmless."""
        blob = bytes(range(256)) * 3
        key = store.put(blob)
        assert key == hashlib.sha256(blob).hexdigest() == store.put(blob)
        assert store.get(key) == blob
        assert store.get(store.put(b"")) == b""

    def test_a_missing_blob_is_an_error_that_names_it(self, store: Store) -> None:
        """The message has the key."""
        with pytest.raises(StoreError, match="feed"):
            store.get("feed")
