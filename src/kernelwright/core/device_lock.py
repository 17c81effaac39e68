"""Who may use a GPU: any number of processes side by side, or one alone that measures.

Judges are processes of their own, and several may serve one card. Each holds the card's lock in
common with others while something of it runs there, and alone while it measures. Who verifies or
compiles for long gives way: else whoever measures waits for the slowest of all others, and they
wait for the measurement. The lock is a file, so that it ends with the process that holds it.

A thread that holds the card must not wait for another that may ask for it: who asks comes in behind
whoever waits to be alone, also where its own process has the card.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import re
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

Meanwhile = Callable[[], contextlib.AbstractContextManager[None]]


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
        self._wanting = 0  # threads of this process that wait to be alone
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

    def give_way(self, meanwhile: Meanwhile = contextlib.nullcontext) -> bool:
        """Let go and come back, if this thread holds the card in common and somebody waits to have
        it alone; whether it did. `meanwhile` is entered before and left behind it: it sees to it
        that nothing of the caller runs on the card, if something does."""
        if not self._is_mine or not self._is_waited_for():
            return False
        with meanwhile():
            self._leave()
            self._join()
        return True

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the card alone, once no other process and no thread of this one has it."""
        with self._changed:
            self._wanting += 1
            try:
                self._changed.wait_for(lambda: self._held == 0 and self._alone is None)
            finally:
                self._wanting -= 1
                self._changed.notify_all()
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
            self._changed.wait_for(self._may_join)
            if self._held == 0:
                self._take(fcntl.LOCK_SH)
            self._held += 1

    def _may_join(self) -> bool:
        if self._alone is not None or self._wanting:
            return False
        return self._held == 0 or not self._is_waited_for()

    def _leave(self) -> None:
        with self._changed:
            self._held -= 1
            if self._held == 0:
                os.close(self._descriptor)
            self._changed.notify_all()

    def _is_waited_for(self) -> bool:
        """Whether somebody waits to be alone: a thread of this process, or who stands in the
        door."""
        if self._wanting:
            return True
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
