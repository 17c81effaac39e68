"""Sizes that nobody tests: one call on tensors of more than 2^31 elements.

No machine of ours could hold them next to a float64 oracle, so only one thing is looked for: an
index that wraps because it was worked out in 32 bits. How little memory is enough is described in
`native/far.c`. It needs a problem with an axis that only ever comes first, such as a batch, along
which a tensor can be repeated.

Nobody has to wait for such a call. The largest tensor has seven times 2^31 elements, so that of
four threads that share its rows evenly the second begins where an index that wraps is below zero,
which ends in a fault at once; for tensors down to a fifth of its size another thread does. Only a
kernel that gets there late, with one thread or with its rows dealt out one by one, can run into the
limit first; then nothing was learnt, and it is said.
"""

from __future__ import annotations

import dataclasses
import math
import os
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
_THREADS = "4"
_CALL_LIMIT_S = 5.0
_LOAD_LIMIT_S = 60.0
_PIECES = 20_000  # a process may have some 65,000 mappings
_MOST_TILE_BYTES = 64 << 20
_REGIONS = {1: "an input", 2: "an output"}


@dataclass(frozen=True)
class Reach:
    """Which axis is repeated, and how often."""

    axis: str
    times: int


def reach(problem: Problem) -> Reach | str:
    """How to get seven times 2^31 elements by repeating a tensor of the report; else why not."""
    axes = problem.report_workload.axes
    tensors = [*problem.inputs, *problem.outputs]
    for axis in problem.axes:
        having = [spec for spec in tensors if axis in spec.shape]
        outputs = [spec for spec in problem.outputs if axis in spec.shape]
        if not outputs or any(axis in spec.shape[1:] for spec in having):
            continue
        if any(_whole_pages(spec, axes) > _MOST_TILE_BYTES for spec in having):
            continue
        largest = max(spec.elements(axes) for spec in having)
        if largest:
            return Reach(axis, -(-_ELEMENTS // largest))
    return "no axis comes first in every tensor that has it, with sizes that make whole pages"


def look_far(
    problem: Problem, case: Case, runner: Body, level: Isolation, log: Path
) -> Crashed | str | None:
    """Call a native candidate once on tensors of more than 2^31 elements.

    `case` is one at the report sizes. The crash of an index that wrapped, a sentence that says
    what was not learnt, or None when the call came to its end.

    Raises:
        SandboxError: the runner could not be started.
    """
    found = reach(problem)
    if isinstance(found, str):
        return found
    inputs, outputs, table_fd = _lay_out(problem, case, found)
    try:
        with life(_far_body(runner), table_fd, inputs, outputs, level, log) as running:
            running.mute()
            running.ask("load", stage="load", limit_s=_LOAD_LIMIT_S)
            running.ask("buffer", stage="far", limit_s=_CALL_LIMIT_S, count=1)
    except LifeEnded as ended:
        return _judged(ended, found)
    finally:
        inputs.close()
        outputs.close()
        os.close(table_fd)
    return None


def _judged(ended: LifeEnded, found: Reach) -> Crashed | str:
    """Only a fault next to a tensor is an index; a workspace that cannot be had is not."""
    outcome = ended.outcome
    if isinstance(outcome, Crashed) and ended.region in _REGIONS:
        return outcome.model_copy(
            update={
                "detail": f"With {found.axis} {found.times} times as large it reads or writes "
                f"outside of {_REGIONS[ended.region]}: an index wraps beyond 2^31 elements. "
                "Compute indices in int64_t."
            }
        )
    if isinstance(outcome, TimedOut):
        return f"none wrapped in {_CALL_LIMIT_S:.0f} s of a call, and no more was waited for"
    return f"the call did not come to an end ({outcome.kind})"


def _far_body(runner: Body) -> Body:
    """`runner` with the other program, and with all the address space that it wants."""
    near, other = str(executable()), str(far())
    return dataclasses.replace(
        runner,
        argv=tuple(other if word == near else word for word in runner.argv),
        reads=(*runner.reads, far()),
        environment={**runner.environment, "OMP_NUM_THREADS": _THREADS},
        limits=Limits(memory_bytes=None),
    )


def _lay_out(problem: Problem, case: Case, found: Reach) -> tuple[Arena, Arena, int]:
    """A tile of each tensor in memory, and the table that says how often each comes."""
    axes = problem.report_workload.axes
    inputs, outputs = Arena(), Arena()
    specs = (*problem.inputs, *problem.outputs)
    piece = sum(_far_bytes(spec, axes, found) for spec in specs) // _PIECES
    slots = [
        (inputs if spec in problem.inputs else outputs).place(
            _tile_bytes(spec, axes, found, piece), "start"
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
        body += [slot.offset, slot.nbytes, _far_bytes(spec, axes, found)]
    body += [axes[name] * (found.times if name == found.axis else 1) for name in problem.axes]
    return inputs, outputs, seal_table(body)


def _tile_bytes(spec: TensorSpec, axes: dict[str, int], found: Reach, piece: int) -> int:
    """The tensor, as often as makes whole pages and at least `piece` bytes where it is repeated."""
    if found.axis not in spec.shape:
        return max(spec.nbytes(axes), 1)
    whole = _whole_pages(spec, axes)
    return whole * -(-piece // whole)


def _whole_pages(spec: TensorSpec, axes: dict[str, int]) -> int:
    return math.lcm(max(spec.nbytes(axes), 1), PAGE)


def _far_bytes(spec: TensorSpec, axes: dict[str, int], found: Reach) -> int:
    times = found.times if found.axis in spec.shape else 1
    return max(spec.elements(axes) * times * ITEM_BYTES[spec.dtype], 1)
