"""How long a round trip to a native runner takes when there is nothing to do.

Measured on a runner that has loaded no candidate, so that no candidate can stretch it and have
the difference taken off its time.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from kernelwright.core.errors import SandboxError
from kernelwright.core.evaluation import Isolation
from kernelwright.evaluate.isolation.sandbox import Limits
from kernelwright.evaluate.native.programs import executable, gpu_runner
from kernelwright.evaluate.running.life import LifeEnded
from kernelwright.evaluate.running.runner import Body, life
from kernelwright.evaluate.timing.keeper import Keeper
from kernelwright.evaluate.timing.staging import Staging

_LIMIT_S = 10.0


def least_ping(ping: Callable[[], int], count: int) -> int:
    """The nanoseconds of the shortest of `count` round trips.

    What is taken off a block must have been in it. On a busy machine the median may be longer than
    a whole block, and a kernel would come out as taking no time at all.
    """
    return min(ping() for _ in range(count))


def runner_round_trip_ns(
    staging: Staging, level: Isolation, folder: Path, pings: int, keeper: Keeper | None = None
) -> int:
    """The shortest of `pings` round trips of a runner that is stopped in between, in nanoseconds.
    With a `keeper` it is a runner on a GPU, and outputs are sampled before the clock is read.

    Raises:
        SandboxError: a runner with nothing in it does not answer.
    """
    program = executable() if keeper is None else gpu_runner()
    lent = () if keeper is None else ("0", keeper.handles)
    idle = Body(
        argv=(str(program), *lent, "none"), reads=(program,), environment={},
        limits=Limits(memory_bytes=None) if keeper else Limits(), gpu=keeper is not None,
    )  # fmt: skip
    outputs = staging.outputs if keeper is None else keeper.nothing
    log = folder / "idle.log"
    with life(idle, staging.table_fd, staging.inputs, outputs, level, log) as running:

        def ping() -> int:
            running.pause()
            if keeper is not None:
                keeper.take_device()
            return running.ask(
                "ping", stage="timing", limit_s=_LIMIT_S, wake=True,
                then=None if keeper is None else keeper.sample,
            ).elapsed_ns  # fmt: skip

        try:
            return least_ping(ping, pings)
        except LifeEnded as ended:
            raise SandboxError(f"An idle runner does not answer: {ended.outcome}") from ended
