"""What limits a candidate, for a terminal. It returns what `rich` prints, and prints nothing."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Group
from rich.text import Text

from kernelwright.core.diagnosis import Diagnosis
from kernelwright.evaluate.profile.counters import Counters, KernelCounters
from kernelwright.evaluate.profile.disassembly import Facts
from kernelwright.evaluate.profile.sass import GpuKernel
from kernelwright.evaluate.profile.x86 import Loop, hot
from kernelwright.report.formats import counted, duration
from kernelwright.report.plain import visible

_MOST_LAUNCHES = 5


def diagnosed(diagnosis: Diagnosis) -> Group:
    """The bottleneck, the figures that show it, the headroom and the hints."""
    name = diagnosis.bottleneck.replace("_", " ")
    lines = [Text(f"{name}: {diagnosis.meaning}", style="bold")]
    lines += [Text(f"  {visible(figure.text)}") for figure in diagnosis.figures]
    if diagnosis.headroom is not None:
        lines.append(Text(f"  headroom to the roofline: {diagnosis.headroom:.3g}×"))
    lines += [Text(f"  counted: {visible(figure.text)}") for figure in diagnosis.counters]
    lines += [Text(f"hint: {visible(hint)}") for hint in diagnosis.hints]
    lines += [Text(f"not known: {visible(what)}") for what in diagnosis.not_known]
    return Group(*lines)


def found(facts: Facts) -> Group:
    """What the compiler made of a candidate: a line for each loop that computes, or kernel."""
    lines = [_loop(loop) for loop in hot(facts.loops)]
    lines += [_kernel(kernel) for kernel in facts.kernels]
    return Group(*(Text(visible(line)) for line in lines))


def launches(counters: Counters) -> Group:
    """What was counted during each launch of a call: a line for each of the longest."""
    longest = sorted(counters.kernels, key=lambda kernel: -(kernel.ns or 0.0))[:_MOST_LAUNCHES]
    lines = [_launch(kernel) for kernel in longest]
    if len(counters.kernels) > len(longest):
        lines.append(f"and {counted(len(counters.kernels) - len(longest), 'shorter one')}")
    return Group(*(Text(visible(line)) for line in lines))


def _launch(kernel: KernelCounters) -> str:
    figures = [
        ("reads {:,.3g} MB", _mega(kernel.read_bytes)),
        ("writes {:,.3g} MB", _mega(kernel.written_bytes)),
        ("memory {:.0f}% busy", kernel.memory_percent),
        ("multiprocessors {:.0f}% busy", kernel.arithmetic_percent),
        ("occupancy {:.0f}%", kernel.occupancy_percent),
        ("L2 hits {:.0f}%", kernel.l2_hit_percent),
    ]
    took = [] if kernel.ns is None else [duration(kernel.ns)]
    said = [*took, *(words.format(value) for words, value in figures if value is not None)]
    return f"launch of {kernel.name}: {', '.join(said)}"


def _mega(nbytes: float | None) -> float | None:
    return None if nbytes is None else nbytes / 1e6


def _loop(loop: Loop) -> str:
    widths = _numbers((f"of {bits} bits", count) for bits, count in loop.widths.items())
    counts = _numbers(
        [
            ("packed", loop.packed), ("scalar", loop.scalar), ("multiply-adds", loop.fma),
            ("loads", loop.loads), ("stores", loop.stores), ("gathers", loop.gathers),
            *((f"calls of {name}", count) for name, count in loop.calls.items()),
        ]
    )  # fmt: skip
    how = "vectorised" if loop.vectorised else "one element at a time"
    steps = ", steps through memory" if loop.strided else ""
    return (
        f"loop in {loop.function} at {loop.address:#x}: {how}{steps}; "
        f"{counted(loop.instructions, 'instruction')}: {counts}{f' ({widths})' if widths else ''}"
    )


def _kernel(kernel: GpuKernel) -> str:
    takes = _numbers(
        (name, number)
        for name, number in [
            ("registers", kernel.registers), ("bytes of shared memory", kernel.shared_bytes),
            ("bytes of stack", kernel.stack_bytes), ("bytes spilled", kernel.spill_bytes),
        ]
        if number is not None
    )  # fmt: skip
    moves = [(f"loads of {bits} bits", count) for bits, count in kernel.loads.items()]
    moves += [(f"stores of {bits} bits", count) for bits, count in kernel.stores.items()]
    mix = [
        (name.replace("_", " "), count)
        for name, count in kernel.mix.items()
        if name not in ("global_loads", "global_stores")
    ]
    return (
        f"kernel {kernel.name} ({kernel.arch}): {takes or 'resources not known'}; "
        f"{counted(kernel.instructions, 'instruction')}: {_numbers([*moves, *mix])}"
    )


def _numbers(pairs: Iterable[tuple[str, int]]) -> str:
    return ", ".join(f"{number:,} {name}" for name, number in pairs if number)
