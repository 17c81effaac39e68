"""Sizes that nobody tests: calls on tensors of more than 2^31 elements.

No machine of ours could hold them next to a float64 oracle, so only one thing is looked for: an
index that wraps because it was worked out in 32 bits. How little memory is enough is described in
`native/far.c`.

Nobody has to wait for such a call. The largest tensor has seven times 2^31 elements, and an index
that wraps to below zero ends in a fault at once. Two calls come there in different ways:

- More rows, along an axis that only ever comes first, such as a batch. Of four threads that share
  the rows evenly the second begins where an index has wrapped; for tensors down to a fifth of the
  largest another thread does.
- Longer rows, along the axis that most elements lie next to each other on, with one thread. A walk
  down a column wraps after a few hundred steps, and workspaces that grow with the rows stay small.
  This needs a problem whose every axis is a constant of its file: another might be twice this one.

Only a kernel that gets there late in both can run into the limit first; then nothing was learnt,
and it is said.
"""

from __future__ import annotations

import dataclasses
import math
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kernelwright.core.evaluation import Crashed, Isolation, TimedOut
from kernelwright.core.problem import ITEM_BYTES, Problem, TensorSpec
from kernelwright.evaluate.isolation.sandbox import Limits
from kernelwright.evaluate.native.programs import executable, far
from kernelwright.evaluate.running.arena import PAGE, Arena, seal_table
from kernelwright.evaluate.running.life import LifeEnded
from kernelwright.evaluate.running.runner import Body, life
from kernelwright.problems.case import Case

_ELEMENTS = 7 * 2**31
_CALL_LIMIT_S = 5.0
_LOAD_LIMIT_S = 60.0
_PIECES = 20_000  # a process may have some 65,000 mappings
_MOST_TILE_BYTES = 64 << 20
_REGIONS = {1: "an input", 2: "an output"}


@dataclass(frozen=True)
class Reach:
    """Which axis is repeated and how often, and with how many threads it is called."""

    axis: str
    times: int
    threads: int


@dataclass(frozen=True)
class FarLook:
    """What calls on more than 2^31 elements said: how many came to their end, and a sentence for
    each of the others that says what was not learnt."""

    ended: int
    not_learnt: tuple[str, ...]


def reaches(problem: Problem) -> list[Reach]:
    """The ways to get seven times 2^31 elements by repeating tensors of the report."""
    many, long = _more_rows(problem), _longer_rows(problem)
    ways = [(many, 4)] if many else []
    if long and long != many:
        ways.append((long, 1))
    return [Reach(axis, _times(problem, axis), threads) for axis, threads in ways]


def _more_rows(problem: Problem) -> str | None:
    """An axis of the outputs that comes first in every tensor that has it."""
    tensors = [*problem.inputs, *problem.outputs]
    for axis in problem.axes:
        outputs = any(axis in spec.shape for spec in problem.outputs)
        later = any(axis in spec.shape[1:] for spec in tensors)
        if outputs and not later and _repeats(problem, axis):
            return axis
    return None


def _longer_rows(problem: Problem) -> str | None:
    """The axis that is the last one of most elements, when each axis is a constant of the file."""
    constants = {name for workload in problem.workloads for name in workload.constants}
    if not constants.issuperset(problem.axes):
        return None
    axes, elements = problem.report_workload.axes, Counter[str]()
    for spec in (*problem.inputs, *problem.outputs):
        if len(spec.shape) > 1 and isinstance(spec.shape[-1], str):
            elements[spec.shape[-1]] += spec.elements(axes)
    return next((axis for axis, _ in elements.most_common() if _repeats(problem, axis)), None)


def _times(problem: Problem, axis: str) -> int:
    axes = problem.report_workload.axes
    having = [s for s in (*problem.inputs, *problem.outputs) if axis in s.shape]
    return -(-_ELEMENTS // max(spec.elements(axes) for spec in having))


def _repeats(problem: Problem, axis: str) -> bool:
    """Whether the tensors that have `axis` have it once, and make whole pages of a size that can be
    held."""
    axes = problem.report_workload.axes
    return all(
        spec.shape.count(axis) == 1 and _whole_pages(spec, axes) <= _MOST_TILE_BYTES
        for spec in (*problem.inputs, *problem.outputs)
        if axis in spec.shape
    )


def look_far(
    problem: Problem, case: Case, runner: Body, level: Isolation, log: Path
) -> Crashed | FarLook:
    """Call a native candidate on tensors of more than 2^31 elements, in each way that there is.

    `case` is one at the report sizes. The crash of an index that wrapped, or what the calls said.

    Raises:
        SandboxError: the runner could not be started.
    """
    ways, ended, not_learnt = reaches(problem), 0, []
    for way in ways:
        found = _call(problem, case, way, runner, level, log)
        if isinstance(found, Crashed):
            return found
        if found is None:
            ended += 1
        else:
            not_learnt.append(f"with {way.axis} {way.times} times as large, {found}")
    if not ways:
        not_learnt.append("no axis can be repeated in whole pages")
    return FarLook(ended, tuple(not_learnt))


def _call(
    problem: Problem, case: Case, way: Reach, runner: Body, level: Isolation, log: Path
) -> Crashed | str | None:
    """One call; None when it came to its end, and a sentence when nothing was learnt."""
    inputs, outputs, table_fd = _lay_out(problem, case, way)
    try:
        with life(_far_body(runner, way), table_fd, inputs, outputs, level, log) as running:
            running.mute()
            running.ask("load", stage="load", limit_s=_LOAD_LIMIT_S)
            # Nobody is charged for a call that takes long.
            running.ask("buffer", stage="far", limit_s=_CALL_LIMIT_S, count=1, patient=False)
    except LifeEnded as ended:
        return _judged(ended, way)
    finally:
        inputs.close()
        outputs.close()
        os.close(table_fd)
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
    near, other = str(executable()), str(far())
    return dataclasses.replace(
        runner,
        argv=tuple(other if word == near else word for word in runner.argv),
        reads=(*runner.reads, far()),
        environment={**runner.environment, "OMP_NUM_THREADS": str(way.threads)},
        limits=Limits(memory_bytes=None),
    )


def _lay_out(problem: Problem, case: Case, way: Reach) -> tuple[Arena, Arena, int]:
    """A tile of each tensor in memory, and the table that says how often each comes."""
    axes = problem.report_workload.axes
    inputs, outputs = Arena(), Arena()
    specs = (*problem.inputs, *problem.outputs)
    piece = sum(_far_bytes(spec, axes, way) for spec in specs) // _PIECES
    slots = [
        (inputs if spec in problem.inputs else outputs).place(
            _tile_bytes(spec, axes, way, piece), "start"
        )
        for spec in specs
    ]
    inputs.allocate()
    outputs.allocate()
    for slot, spec in zip(slots, problem.inputs, strict=False):
        inputs.data(slot)[:] = np.resize(case.inputs[spec.name].view(np.uint8), slot.nbytes)
    inputs.seal()
    body = [len(problem.inputs), len(problem.outputs), len(problem.axes)]
    for slot, spec in zip(slots, specs, strict=True):
        body += [slot.offset, slot.nbytes, _far_bytes(spec, axes, way)]
    body += [axes[name] * (way.times if name == way.axis else 1) for name in problem.axes]
    return inputs, outputs, seal_table(body)


def _tile_bytes(spec: TensorSpec, axes: dict[str, int], way: Reach, piece: int) -> int:
    """The tensor, as often as makes whole pages and at least `piece` bytes where it is repeated."""
    if way.axis not in spec.shape:
        return max(spec.nbytes(axes), 1)
    whole = _whole_pages(spec, axes)
    return whole * -(-piece // whole)


def _whole_pages(spec: TensorSpec, axes: dict[str, int]) -> int:
    return math.lcm(max(spec.nbytes(axes), 1), PAGE)


def _far_bytes(spec: TensorSpec, axes: dict[str, int], way: Reach) -> int:
    times = way.times if way.axis in spec.shape else 1
    return max(spec.elements(axes) * times * ITEM_BYTES[spec.dtype], 1)
