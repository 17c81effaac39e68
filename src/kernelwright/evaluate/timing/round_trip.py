"""How long it takes when there is nothing to do: a round trip to a runner, a queue of no calls.

Measured on a runner that has loaded no candidate, so that no candidate can stretch it and have
the difference taken off its time.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from kernelwright.core.cards import passed_on
from kernelwright.core.errors import SandboxError
from kernelwright.core.evaluation import Isolation
from kernelwright.evaluate.isolation.sandbox import Limits
from kernelwright.evaluate.native.programs import executable, gpu_runner
from kernelwright.evaluate.running.life import LifeEnded
from kernelwright.evaluate.running.runner import Body, life
from kernelwright.evaluate.timing.baseline import Baseline
from kernelwright.evaluate.timing.gate import Gate
from kernelwright.evaluate.timing.keeper import Keeper
from kernelwright.evaluate.timing.staging import Staging

_LIMIT_S = 10.0


def least_ping(ping: Callable[[], int], count: int) -> int:
    """The nanoseconds of the shortest of `count` round trips.

    What is taken off a block must have been in it. On a busy machine the median may be longer than
    a whole block, and a kernel would come out as taking no time at all.
    """
    return min(ping() for _ in range(count))


def runner_round_trip_ns(staging: Staging, level: Isolation, folder: Path, pings: int) -> int:
    """The shortest of `pings` round trips of a runner that is stopped in between, in nanoseconds.

    Raises:
        SandboxError: a runner with nothing in it does not answer.
    """
    program, log = executable(), folder / "idle.log"
    idle = Body(argv=(str(program), "none"), reads=(program,), environment={}, limits=Limits())
    with (
        life(idle, staging.table_fd, staging.inputs, staging.outputs, level, log) as running,
        _answering(),
    ):

        def ping() -> int:
            running.pause()
            return running.ask("ping", stage="timing", limit_s=_LIMIT_S, wake=True).elapsed_ns

        return least_ping(ping, pings)


def runner_queue_ns(keeper: Keeper, level: Isolation, folder: Path, times: int) -> int:
    """The shortest of `times` queues of no calls of a native runner on a GPU, in nanoseconds: from
    opening the gate until words were noted of outputs that nobody wrote.

    Raises:
        SandboxError: a runner with nothing in it does not answer.
    """
    program, layout = gpu_runner(), keeper.layout
    idle = Body(
        argv=(str(program), "0", keeper.handles, "none"), reads=(program,),
        environment=passed_on(),
        limits=Limits(memory_bytes=None), gpu=True,
    )  # fmt: skip
    gate = Gate(layout.names)
    with (
        life(
            idle, layout.table_fd, layout.numbers, layout.names, level, folder / "idle.log"
        ) as running,
        _answering(),
    ):

        def queue() -> int:
            running.resume()
            running.ask("queue", stage="timing", limit_s=_LIMIT_S, token=gate.renew())
            running.pause()
            elapsed_ns = _opened_ns(gate, keeper)
            running.resume()
            running.ask("collect", stage="timing", limit_s=_LIMIT_S)
            return elapsed_ns

        return least_ping(queue, times)


def baseline_queue_ns(baseline: Baseline, keeper: Keeper, times: int) -> int:
    """As `runner_queue_ns`, of the baselines' process.

    Raises:
        WorkerError: the baselines' process broke.
    """

    def queue() -> int:
        baseline.queue(0, lambda: False)
        elapsed_ns = _opened_ns(baseline.gate, keeper)
        baseline.collect()
        return elapsed_ns

    return least_ping(queue, times)


def _opened_ns(gate: Gate, keeper: Keeper) -> int:
    keeper.flush()
    gate.settle()
    start = time.perf_counter_ns()
    gate.open()
    gate.wait(_LIMIT_S)
    keeper.sample()
    return time.perf_counter_ns() - start


@contextlib.contextmanager
def _answering() -> Iterator[None]:
    try:
        yield
    except LifeEnded as ended:
        raise SandboxError(f"An idle runner does not answer: {ended.outcome}") from ended
