"""How long a round trip to a native runner takes when there is nothing to do.

Measured on a runner that has loaded no candidate, so that no candidate can stretch it and have
the difference taken off its time.
"""

from __future__ import annotations

from pathlib import Path

from kernelwright.core.errors import SandboxError
from kernelwright.core.evaluation import Isolation
from kernelwright.evaluate.cases import CaseSet
from kernelwright.evaluate.native_runner import executable
from kernelwright.evaluate.runner import Body, LifeEnded, life
from kernelwright.evaluate.sandbox import Limits
from kernelwright.evaluate.timing import median_ping

_LIMIT_S = 10.0


def runner_round_trip_ns(cases: CaseSet, level: Isolation, folder: Path, pings: int) -> int:
    """The median of `pings` round trips, in nanoseconds.

    Raises:
        SandboxError: a runner with nothing in it does not answer.
    """
    idle = Body(
        argv=(str(executable()), "none"), reads=(executable(),), environment={}, limits=Limits()
    )
    log = folder / "idle.log"
    with life(idle, cases.table_fd, cases.inputs, cases.outputs, level, log) as running:
        try:
            taken = [
                running.ask("ping", stage="timing", limit_s=_LIMIT_S).elapsed_ns
                for _ in range(pings)
            ]
        except LifeEnded as ended:
            raise SandboxError(f"An idle runner does not answer: {ended.outcome}") from ended
    return median_ping(taken)
