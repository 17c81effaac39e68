"""The problems that are open: a few, shared by all who work on them, the one unused longest goes.

An open problem holds its reference and its judge, which take one or two GB.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass

from kernelwright.agents.limits import Turns
from kernelwright.core.problem import Source
from kernelwright.core.record import content_id
from kernelwright.core.run import RunSpec
from kernelwright.problems.suite import read_source
from kernelwright.run.equipment import Equip, Equipment


@dataclass
class _Open:
    """A problem that is open, or being opened, and how many use it."""

    stack: ExitStack
    opening: asyncio.Task[Equipment]
    users: int = 0
    broken: bool = False


class Benches:
    """At most `limit` open problems. For one event loop; closed with `aclose`."""

    def __init__(self, equip: Equip, turns: Turns, limit: int = 2):
        self.turns = turns
        self._equip = equip
        self._limit = limit
        self._open: dict[str, _Open] = {}
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def lent(self, spec: RunSpec, origin: str | Source) -> AsyncIterator[Equipment]:
        """The parts for `spec`, opened if they are not; nobody closes them meanwhile.

        Raises:
            UsageError: as `Equip`.
            FaultError: a process of ours broke.
        """
        key = _key(spec, origin)
        bench = await self._taken(key, spec, origin)
        try:
            yield await asyncio.shield(bench.opening)
        except BaseException:
            # What could not be opened, or broke, is opened afresh for the next one.
            if bench.opening.done() and (bench.opening.cancelled() or bench.opening.exception()):
                bench.broken = True
            raise
        finally:
            async with self._changed:
                bench.users -= 1
                if bench.broken and not bench.users and self._open.get(key) is bench:
                    del self._open[key]
                    await asyncio.to_thread(bench.stack.close)
                self._changed.notify_all()

    async def _taken(self, key: str, spec: RunSpec, origin: str | Source) -> _Open:
        async with self._changed:
            while key not in self._open and not await self._room():
                await self._changed.wait()
            bench = self._open.pop(key, None)
            if bench is None:
                stack = ExitStack()
                opening = asyncio.create_task(self._opened(stack, spec, origin))
                bench = _Open(stack, opening)
            self._open[key] = bench  # behind those that were used before
            bench.users += 1
            return bench

    async def _room(self) -> bool:
        """Whether one more may be opened, after one that nobody uses was closed."""
        if len(self._open) < self._limit:
            return True
        idle = next((key for key, bench in self._open.items() if not bench.users), None)
        if idle is None:
            return False
        await asyncio.to_thread(self._open.pop(idle).stack.close)
        return True

    async def _opened(self, stack: ExitStack, spec: RunSpec, origin: str | Source) -> Equipment:
        async with self.turns.taken():
            return await asyncio.to_thread(stack.enter_context, self._equip(spec, origin, None))

    async def aclose(self) -> None:
        """Close all of them."""
        for bench in self._open.values():
            await asyncio.wait([bench.opening])
            await asyncio.to_thread(bench.stack.close)
        self._open.clear()


def _key(spec: RunSpec, origin: str | Source) -> str:
    """Equal for runs that can share their parts."""
    text, _ = read_source(origin, sizes="cpu" if spec.device == "cpu" else "gpu")
    return content_id(
        text.model_dump(mode="json"), spec.direction, spec.device, spec.languages,
        spec.require_isolation, spec.seed, spec.library, spec.judge,
    )  # fmt: skip
