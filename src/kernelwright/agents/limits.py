"""What keeps one agent from taking all: sizes, rates, and one turn after another with the judge."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from kernelwright.core.errors import UsageError

LONGEST_IDEA = 500
MOST_TOKENS = 10**9
MOST_USD = 10**6


class Refused(UsageError):
    """The agent may not do this, or not now; nothing was spent. Says what to do next."""


class Rate:
    """At most `most` calls of one kind in any minute."""

    def __init__(self, most: int, what: str, clock: Callable[[], float] = time.monotonic):
        self._most = most
        self._what = what
        self._clock = clock
        self._calls: deque[float] = deque()

    def take(self) -> None:
        """Count a call.

        Raises:
            Refused: there were too many in the last minute.
        """
        now = self._clock()
        while self._calls and self._calls[0] <= now - 60:
            self._calls.popleft()
        if len(self._calls) >= self._most:
            wait_s = self._calls[0] + 60 - now
            raise Refused(
                f"At most {self._most} {self._what} are made in a minute. Wait {wait_s:.0f} s and "
                "ask again."
            )
        self._calls.append(now)


class Turns:
    """Who has the judge: `places` at once, the others in the order in which they came.

    Everything that could disturb a measurement takes a turn: verdicts, and opening a problem.
    """

    def __init__(self, places: int = 1, most_waiting: int = 64):
        self._free = asyncio.Semaphore(places)
        self._most_waiting = most_waiting
        self._waiting = 0

    @property
    def waiting(self) -> int:
        """How many wait for a turn."""
        return self._waiting

    def check_room(self) -> None:
        """Whether one more may wait.

        Raises:
            Refused: too many do.
        """
        if self._waiting >= self._most_waiting:
            raise Refused(
                f"{self._waiting} others wait for the judge, and no more can. Ask again later."
            )

    @asynccontextmanager
    async def taken(self) -> AsyncIterator[None]:
        """Hold a turn, after a wait for it.

        Raises:
            Refused: too many wait already.
        """
        self.check_room()
        self._waiting += 1
        try:
            await self._free.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._free.release()


def plain(text: str, longest: int, what: str) -> str:
    """`text` in one line that can be printed and stored.

    Raises:
        Refused: it is longer than `longest`.
    """
    if len(text) > longest:
        raise Refused(f"{what} has {len(text):,} characters; it may have {longest:,}.")
    shown = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(shown.encode("utf-8", "replace").decode().split())
