"""Sizes that nobody tests: calls on tensors of more than 2^31 elements.

No machine of ours could hold them next to a float64 oracle, so only one thing is looked for: an
index that wraps because it was worked out in 32 bits, which ends in a fault. How little memory is
enough is described in `native/far.c`, and which sizes come there soon in `reach`.

Nobody waits for such a call to end. Once a kernel has touched every tensor of more than 2^31
elements beyond that, which the page tables tell, it has had its chance to wrap. Only one that gets
there late in every way can run into the limit first; then nothing was learnt, and it is said.
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kernelwright.core.evaluation import Crashed, Isolation, TimedOut
from kernelwright.core.problem import ITEM_BYTES, Problem
from kernelwright.evaluate.correctness.reach import PIECES, WRAP, Reach, reaches
from kernelwright.evaluate.isolation.sandbox import Limits
from kernelwright.evaluate.native.programs import executable, far
from kernelwright.evaluate.running.arena import PAGE, Arena, Slot, seal_table
from kernelwright.evaluate.running.life import LifeEnded
from kernelwright.evaluate.running.runner import Body, life
from kernelwright.evaluate.running.touched import any_touched
from kernelwright.problems.case import Case

_CALL_LIMIT_S = 10.0
_LOAD_LIMIT_S = 60.0
_REGIONS = {1: "an input", 2: "an output"}
# Where the first tensor goes: far from where Linux puts programs, heaps, libraries and stacks.
_FIRST_ADDRESS = 1 << 44
# A page that the kernel mapped beside one that was touched is nearer than this.
_AROUND = 1 << 20
# A kernel that has come beyond 2^31 in every tensor may still walk through one of them again: as
# long as that took, within these bounds.
_SETTLED_S, _LONGEST_SETTLED_S = 0.5, 1.5


@dataclass(frozen=True)
class FarLook:
    """What calls on more than 2^31 elements said: how many came to their end, or beyond 2^31 in
    every tensor, and a sentence for each of the others that says what was not learnt."""

    reached: int
    not_learnt: tuple[str, ...]


def look_far(
    problem: Problem, case: Case, runner: Body, level: Isolation, log: Path
) -> Crashed | FarLook:
    """Call a native candidate on tensors of more than 2^31 elements, in each way that there is.

    `case` is one at the report sizes. The crash of an index that wrapped, or what the calls said.

    Raises:
        SandboxError: the runner could not be started.
    """
    ways, reached, not_learnt = reaches(problem), 0, []
    for way in ways:
        found = _call(problem, case, way, runner, level, log)
        if isinstance(found, Crashed):
            return found
        if found is None:
            reached += 1
        else:
            not_learnt.append(f"with {way.axis} {way.times} times as large, {found}")
    if not ways:
        not_learnt.append("no axis can be repeated in whole pages")
    return FarLook(reached, tuple(not_learnt))


@dataclass
class _Watch:
    """Whether a process has come to each of `beyond`, ranges of addresses, with time to spare."""

    pid: int
    beyond: list[tuple[int, int]]
    started_s: float = dataclasses.field(default_factory=time.monotonic)
    _came_s: float | None = None

    def enough(self) -> bool:
        """Whether it got there, and has had some time to do so again."""
        self.beyond = [span for span in self.beyond if not any_touched(self.pid, *span)]
        if self.beyond:
            return False
        now = time.monotonic()
        self._came_s = self._came_s or now
        took_s = self._came_s - self.started_s
        return now - self._came_s > min(_SETTLED_S + took_s, _LONGEST_SETTLED_S)


def _call(
    problem: Problem, case: Case, way: Reach, runner: Body, level: Isolation, log: Path
) -> Crashed | str | None:
    """One call; None when it came to its end or far enough, a sentence when nothing was learnt."""
    watch: _Watch | None = None
    try:
        with (
            _laid_out(problem, case, way) as far_tensors,
            life(
                _far_body(runner, way), far_tensors.table_fd, far_tensors.inputs,
                far_tensors.outputs, level, log,
            ) as running,
        ):  # fmt: skip
            running.mute()
            running.ask("load", stage="load", limit_s=_LOAD_LIMIT_S)
            watch = _Watch(running.pid, far_tensors.beyond)
            running.ask("buffer", stage="far", limit_s=_CALL_LIMIT_S, count=1, enough=watch.enough)
    except LifeEnded as ended:
        if watch is not None and not watch.beyond and isinstance(ended.outcome, TimedOut):
            return None
        return _judged(ended, way)
    return None


def _judged(ended: LifeEnded, way: Reach) -> Crashed | str:
    """Only a fault next to a tensor is an index; a workspace that cannot be had is not."""
    outcome = ended.outcome
    if isinstance(outcome, Crashed) and ended.region in _REGIONS:
        return outcome.model_copy(
            update={
                "detail": f"With {way.axis} {way.times} times as large it reads or writes "
                f"outside of {_REGIONS[ended.region]}: an index wraps beyond 2^31 elements. "
                "Compute indices in int64_t."
            }
        )
    if isinstance(outcome, TimedOut):
        return f"none wrapped in {_CALL_LIMIT_S:.0f} s of a call, and no more was waited for"
    return f"the call did not come to an end ({outcome.kind})"


def _far_body(runner: Body, way: Reach) -> Body:
    """`runner` with the other program, and with all the address space that it wants."""
    at = runner.argv.index(str(executable()))
    # In front of it stand the variables that it gets, of which the last of a name counts.
    other = (f"OMP_NUM_THREADS={way.threads}", str(far()))
    return dataclasses.replace(
        runner,
        argv=(*runner.argv[:at], *other, *runner.argv[at + 1 :]),
        reads=(*runner.reads, far()),
        limits=Limits(memory_bytes=None),
    )


@dataclass(frozen=True)
class _FarTensors:
    """A tile of each tensor in memory, the table that says how often each comes and where, and the
    addresses of those with more than 2^31 elements that lie beyond that."""

    inputs: Arena
    outputs: Arena
    table_fd: int
    beyond: list[tuple[int, int]]


@contextmanager
def _laid_out(problem: Problem, case: Case, way: Reach) -> Iterator[_FarTensors]:
    inputs, outputs = Arena(), Arena()
    slots = _tiles(problem, case, way, inputs, outputs)
    axes, address = problem.report_workload.axes, _FIRST_ADDRESS
    body = [len(problem.inputs), len(problem.outputs), len(problem.axes)]
    beyond = []
    for slot, spec in zip(slots, (*problem.inputs, *problem.outputs), strict=True):
        whole = way.nbytes(spec, axes)
        address += _pages(whole) + 2 * PAGE  # no less lies in front of it than it is long
        body += [slot.offset, slot.nbytes, whole, address]
        if way.elements(spec, axes) > WRAP:
            wraps_at = address + _pages(WRAP * ITEM_BYTES[spec.dtype]) + _AROUND
            beyond.append((wraps_at, max(address + _pages(whole), wraps_at + PAGE)))
        address += _pages(whole) + 2 * PAGE
    body += [axes[name] * (way.times if name == way.axis else 1) for name in problem.axes]
    table_fd = seal_table(body)
    try:
        yield _FarTensors(inputs, outputs, table_fd, beyond)
    finally:
        inputs.close()
        outputs.close()
        os.close(table_fd)


def _tiles(
    problem: Problem, case: Case, way: Reach, inputs: Arena, outputs: Arena
) -> Sequence[Slot]:
    """A tile of each tensor, inputs before outputs; those of the inputs hold `case`."""
    axes, specs = problem.report_workload.axes, (*problem.inputs, *problem.outputs)
    piece = sum(way.nbytes(spec, axes) for spec in specs) // PIECES
    slots = [
        (inputs if spec in problem.inputs else outputs).place(
            way.tile_bytes(spec, axes, piece), "start"
        )
        for spec in specs
    ]
    inputs.allocate()
    outputs.allocate()
    for slot, spec in zip(slots, problem.inputs, strict=False):
        inputs.data(slot)[:] = np.resize(case.inputs[spec.name].view(np.uint8), slot.nbytes)
    inputs.seal()
    return slots


def _pages(nbytes: int) -> int:
    """The bytes of the whole pages that `nbytes` take."""
    return -(-nbytes // PAGE) * PAGE
