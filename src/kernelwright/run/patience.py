"""Living with faults: a few tries with growing pauses, each failure on record.

A fault is ours (a model that cannot be reached, a sandbox that broke), so no candidate is charged
for it. What a candidate does wrong is an outcome and never comes here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from kernelwright.core.errors import (
    FaultError,
    StoreError,
    UsageError,
)
from kernelwright.core.evaluation import Fault
from kernelwright.run.log import RunLog

T = TypeVar("T")


class GaveUp(Exception):
    """Something kept failing. Stays inside `run`; the last fault is in the log."""


@dataclass(frozen=True, kw_only=True)
class Retries:
    """How often something is tried, and the pause before the second try; later ones double."""

    tries: int = 3
    pause_s: float = 1.0


USUAL = Retries()


async def patiently(
    action: Callable[[], Awaitable[T]], log: RunLog, step: int | None, retries: Retries
) -> T:
    """What `action` returns, trying again after a fault of ours.

    The last fault is recorded as not retryable, which ends the step `step`.

    Raises:
        GaveUp: it failed every time.
        StoreError, UsageError: at once; another try would not help.
    """
    for number in range(retries.tries):
        last = number + 1 == retries.tries
        try:
            return await action()
        except (StoreError, UsageError):
            raise
        except FaultError as error:
            fault = Fault(
                where=error.where,
                step=step,
                message=str(error),
                retryable=not last,
                model_calls=error.model_calls,
            )
        # A bug in a plug-in must not end a run in which others still do their work.
        except Exception as error:
            message = f"{type(error).__name__}: {error}"
            fault = Fault(where="ours", step=step, message=message, retryable=False)
        log.record("fault", fault)
        if not fault.retryable:
            raise GaveUp(fault.message)
        await asyncio.sleep(retries.pause_s * 2**number)
    raise GaveUp("nothing was tried")
