"""Patience with a provider: trying again, waiting as long as it asks, and not asking too often."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from kernelwright.core.errors import ModelError
from kernelwright.core.protocols import ModelReply

Sleep = Callable[[float], Awaitable[None]]

FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 60.0
# A provider that asks for more than this is out of quota for the day rather than busy.
LONGEST_ASKED_S = 300.0


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """Why a call brought no reply. `retry_after_s` is what the provider asked us to wait."""

    message: str
    retryable: bool
    retry_after_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class Patience:
    """Tries a call up to `max_tries` times, with growing, jittered waits between."""

    max_tries: int
    sleep: Sleep = asyncio.sleep
    jitter: random.Random = field(default_factory=random.Random)

    async def persist(self, attempt: Callable[[], Awaitable[ModelReply | Refusal]]) -> ModelReply:
        """The first reply that `attempt` brings.

        Raises:
            ModelError: it was refused for good, or as often as we try.
        """
        for tried in itertools.count(1):
            result = await attempt()
            if isinstance(result, ModelReply):
                return result
            if not result.retryable:
                raise ModelError(result.message)
            if tried >= self.max_tries:
                times = "once" if tried == 1 else f"{tried} times"
                raise ModelError(f"{result.message} (Tried {times}.)")
            await self.sleep(self._wait_s(result, tried))
        raise AssertionError("counting never ends")

    def _wait_s(self, refusal: Refusal, tried: int) -> float:
        """Seconds to wait: what was asked for and a little, else doubling, by a random share.

        Raises:
            ModelError: the provider asks us to come back much later.
        """
        asked = refusal.retry_after_s
        if asked is None:
            longest: float = min(FIRST_WAIT_S * 2.0 ** (tried - 1), LONGEST_WAIT_S)
            return longest * self.jitter.uniform(0.5, 1.0)
        if asked > LONGEST_ASKED_S:
            raise ModelError(f"{refusal.message} It asks to wait {asked:.0f} s: try again then.")
        return asked + self.jitter.uniform(0.0, 0.5)


@dataclass(kw_only=True)
class RateLimit:
    """Holds back calls: so many at once, and so many begun in a minute, evenly spaced."""

    in_flight: int
    per_minute: float | None = None
    sleep: Sleep = asyncio.sleep
    clock: Callable[[], float] = time.monotonic
    _slots: asyncio.Semaphore = field(init=False)
    _next_at: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        self._slots = asyncio.Semaphore(self.in_flight)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn, and hold one of the places while inside."""
        async with self._slots:
            if self.per_minute is not None:
                now = self.clock()
                begin = max(now, self._next_at)
                self._next_at = begin + 60.0 / self.per_minute
                await self.sleep(begin - now)
            yield
