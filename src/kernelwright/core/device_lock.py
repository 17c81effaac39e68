"""Who may use a GPU: any number of processes side by side, or one alone that measures.

Judges are processes of their own, and several may serve one card. Each holds the card's lock in
common with others while it verifies, draws cases or compiles, and alone while it measures. Who
verifies for long gives way between two calls: else whoever measures waits for the slowest of all
others, and they wait for the measurement. The lock is a file, so that it ends with the process that
holds it.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import re
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path


class DeviceLock:
    """The lock of one card, as one process holds it. Safe to use from any thread.

    What a thread does that has the card alone may ask for it in common on the way; one that holds
    it in common may do so too, and gives way by that.
    """

    def __init__(self, file: Path):
        """`file` and one beside it are made when first needed."""
        self._file = file
        self._changed = threading.Condition()
        self._held = 0  # in common, by threads of this process
        self._alone: int | None = None  # the thread that holds it so
        self._descriptor = -1
        self._mine = threading.local()  # whether this thread is one of those who hold it in common

    @contextlib.contextmanager
    def shared(self) -> Iterator[None]:
        """Hold the card in common with others; wait while somebody measures."""
        if self._alone == threading.get_ident():
            yield
            return
        if self._is_mine:
            self.give_way()
            yield
            return
        self._join()
        self._mine.held = True
        try:
            yield
        finally:
            self._mine.held = False
            self._leave()

    def give_way(self) -> bool:
        """Let go and come back, if this thread alone of its process holds the card in common and
        another process waits for it; whether it did. Nothing of the caller may use the card now."""
        if not self._is_mine or self._held > 1 or not self._is_waited_for():
            return False
        self._leave()
        self._join()
        return True

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the card alone, once no other process and no thread of this one has it."""
        with self._changed:
            self._changed.wait_for(lambda: self._held == 0 and self._alone is None)
            self._take(fcntl.LOCK_EX)
            self._alone = threading.get_ident()
        try:
            yield
        finally:
            with self._changed:
                self._alone = None
                os.close(self._descriptor)
                self._changed.notify_all()

    @property
    def _is_mine(self) -> bool:
        return getattr(self._mine, "held", False)

    def _join(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._alone is None)
            if self._held == 0:
                self._take(fcntl.LOCK_SH)
            self._held += 1

    def _leave(self) -> None:
        with self._changed:
            self._held -= 1
            if self._held == 0:
                os.close(self._descriptor)
            self._changed.notify_all()

    def _is_waited_for(self) -> bool:
        """Whether somebody stands in the door."""
        door = self._opened(".door")
        try:
            fcntl.flock(door, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(door)
        return False

    def _take(self, how: int) -> None:
        """Who waits to be alone stands in the door, so that it is not waiting for ever."""
        door = self._opened(".door")
        try:
            fcntl.flock(door, fcntl.LOCK_EX)
            self._descriptor = self._opened("")
            fcntl.flock(self._descriptor, how)
        finally:
            os.close(door)

    def _opened(self, suffix: str) -> int:
        flags, file = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW, f"{self._file}{suffix}"
        try:
            return os.open(file, flags)  # another user's may be used, and not be made
        except FileNotFoundError:
            return os.open(file, flags | os.O_CREAT, 0o644)


@functools.cache
def lock_of(card: str) -> DeviceLock:
    """This process's lock of the card with this name."""
    safe = re.sub(r"[^\w-]", "_", card)
    return DeviceLock(Path(tempfile.gettempdir()) / f"kernelwright-{safe}.lock")
