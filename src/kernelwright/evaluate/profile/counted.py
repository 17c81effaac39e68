"""A diagnosis with what a GPU's own counters say: figures of the call, and what they hint at.

A pure function, as `diagnose` is, whose name for the bottleneck is kept where it was found in the
code or at the roof. Where all that was found is that the kernel waits, the counters may tell why.
"""

from __future__ import annotations

from collections.abc import Iterator

from kernelwright.core.diagnosis import Bottleneck, Diagnosis, Figure
from kernelwright.core.problem import Problem
from kernelwright.evaluate.profile.counters import STALLS, Counters
from kernelwright.evaluate.profile.diagnose import HINTS

# Caches are emptied before a launch, tables are read besides, and a sector is more than a number:
# what is read or written this much more often, by a megabyte at least, is read or written again.
_AGAIN, _MARGIN_BYTES = 1.25, 1 << 20
# In percent: memory that is this busy is what a kernel waits for; with fewer warps than this there
# are too few to hide how long memory takes.
_BUSY, _FEW = 60.0, 25.0
# The share of all waiting that the longest must have to be worth a hint.
_MOST = 0.4
_UNEXPLAINED: tuple[Bottleneck, ...] = ("latency_bound", "unknown")
_PERCENT = {
    "memory is busy": "memory_percent",
    "multiprocessors are busy": "arithmetic_percent",
    "occupancy, achieved": "occupancy_percent",
    "found in the L2 cache": "l2_hit_percent",
}
_STALL_HINTS = {
    "long_scoreboard": (
        "Its warps wait for global memory: have more loads under way at once, by unrolling, wider "
        "loads, or copies that are started a round ahead."
    ),
    "short_scoreboard": (
        "Its warps wait for shared memory or special functions: look for bank conflicts, and for "
        "divisions, roots and exponentials that can be fewer."
    ),
    "barrier": "Its warps wait for each other: use fewer barriers, or give each the same work.",
    "lg_throttle": "It queues too many loads and stores: let each move more bytes (float4).",
    "mio_throttle": "It queues too much for shared memory: move more with each access, or fewer.",
    "math_pipe_throttle": "An arithmetic unit is full: use another, such as the tensor cores.",
}


def counted(diagnosis: Diagnosis, counters: Counters, problem: Problem) -> Diagnosis:
    """`diagnosis` with what was counted during one call for `problem` at its report size."""
    bottleneck = _bottleneck(diagnosis.bottleneck, counters)
    hints = diagnosis.hints
    if bottleneck != diagnosis.bottleneck:
        former = HINTS[diagnosis.bottleneck]
        hints = (*HINTS[bottleneck], *(hint for hint in hints if hint not in former))
    return diagnosis.model_copy(
        update={
            "bottleneck": bottleneck,
            "counters": tuple(_figures(counters, problem)),
            "hints": (*hints, *_traffic(counters, problem), *_waiting(counters)),
        }
    )


def _bottleneck(found: Bottleneck, counters: Counters) -> Bottleneck:
    """What the counters explain of a kernel that waits."""
    if found not in _UNEXPLAINED:
        return found
    busy, occupancy = counters.average("memory_percent"), counters.average("occupancy_percent")
    if busy is not None and busy >= _BUSY:
        return "memory_bound"
    return "low_occupancy" if occupancy is not None and occupancy <= _FEW else found


def _must(problem: Problem) -> tuple[int, int]:
    """The bytes of all inputs and of all outputs."""
    axes = problem.report_workload.axes
    given, taken = problem.inputs, problem.outputs
    return sum(t.nbytes(axes) for t in given), sum(t.nbytes(axes) for t in taken)


def _figures(counters: Counters, problem: Problem) -> Iterator[Figure]:
    read, written = counters.total("read_bytes"), counters.total("written_bytes")
    if read is not None and written is not None:
        yield Figure(name="read from memory", value=read / 1e6, unit="MB")
        yield Figure(name="written to memory", value=written / 1e6, unit="MB")
        share = 100 * (read + written) / max(sum(_must(problem)), 1)
        yield Figure(name="of the bytes of inputs and outputs", value=share, unit="%")
    for name, field in _PERCENT.items():
        value = counters.average(field)
        if value is not None:
            yield Figure(name=name, value=value, unit="%")
    for stall, cycles in list(counters.stalls.items())[:1]:
        name = f"waits most for {STALLS[stall]} ({stall.replace('_', ' ')})"
        yield Figure(name=name, value=cycles, unit="cycles an instruction")


def _traffic(counters: Counters, problem: Problem) -> Iterator[str]:
    """What it says that more was moved than there is."""
    given, taken = _must(problem)
    read, written = counters.total("read_bytes"), counters.total("written_bytes")
    again = _times(read, given), _times(written, taken)
    many = len(counters.kernels)
    if many > 1 and any(again):
        yield (
            f"Its {many} launches hand each other tensors through memory: do the work in fewer, "
            "and keep what lies between in registers or shared memory."
        )
        return
    if again[0]:
        yield (
            f"It reads {again[0]:.1f} times the bytes of its inputs from memory: something is read "
            "again after it left the caches. Let blocks that share data run side by side, or keep "
            "it in shared memory."
        )
    if again[1]:
        yield (
            f"It writes {again[1]:.1f} times the bytes of its outputs to memory: look for spilled "
            "registers, a workspace, or lines that are written in parts."
        )


def _times(moved: float | None, least: int) -> float | None:
    """How many times `least` was moved; None where that is about once."""
    if moved is None or moved <= _AGAIN * least + _MARGIN_BYTES:
        return None
    return moved / max(least, 1)


def _waiting(counters: Counters) -> Iterator[str]:
    stalls = counters.stalls
    for name, cycles in list(stalls.items())[:1]:
        if name in _STALL_HINTS and cycles >= max(_MOST * sum(stalls.values()), 1.0):
            yield _STALL_HINTS[name]
