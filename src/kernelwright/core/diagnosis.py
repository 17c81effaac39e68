"""What limits a kernel: one named bottleneck, the figures that show it, and what to try.

Only the values; how one is come to is in `evaluate.profile`.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from kernelwright.core.record import Record

Bottleneck = Literal[
    "memory_bound", "compute_bound", "call_overhead", "latency_bound", "register_spills",
    "strided_access", "not_vectorised", "low_occupancy", "unknown",
]  # fmt: skip

MEANINGS: dict[Bottleneck, str] = {
    "memory_bound": "It moves its data about as fast as this machine can.",
    "compute_bound": "It does its arithmetic about as fast as this machine can.",
    "call_overhead": "A call is so short that starting it, and its threads, is most of it.",
    "latency_bound": "It waits: neither memory nor arithmetic is near what this machine can do.",
    "register_spills": "It needs more registers than there are, and keeps values in memory.",
    "strided_access": "It steps through memory, so most of each cache line is moved for nothing.",
    "not_vectorised": "A loop of it computes one element at a time.",
    "low_occupancy": "Too few threads fit on a multiprocessor to hide how long memory takes.",
    "unknown": "Nothing that could be looked at says what limits it.",
}


class Figure(Record):
    """One number that was counted or measured. `unit` is empty for a plain count."""

    name: str
    value: float
    unit: str = ""

    @property
    def text(self) -> str:
        """It in words: three digits, or all of a number that has no fraction.

        >>> Figure(name="moves", value=20.126, unit="GB/s").text
        'moves: 20.1 GB/s'
        >>> Figure(name="spilled", value=10688, unit="bytes a thread").text
        'spilled: 10,688 bytes a thread'
        """
        whole = self.value >= 1000 or self.value == round(self.value)
        number = f"{self.value:,.0f}" if whole else f"{self.value:.3g}"
        return f"{self.name}: {number} {self.unit}".rstrip()


class Position(Record):
    """Where a kernel is under the roofline, for one call at the report size.

    `nbytes` must be moved and `flops` computed at least. `peak_gb_s` is how fast so many bytes can
    be read here at best, by a program that finds them in its caches where they fit;
    `inputs_gb_s` how fast from where the inputs of this call were, main memory when they were
    cold. `peak_gflops` is the best arithmetic in float32; all are on all threads.
    `tensor_gflops` is that of a GPU's units that round what they multiply; None where there are
    none. `flops` is 0 where none are counted, and says nothing of the arithmetic then.
    """

    nbytes: int = Field(gt=0)
    flops: int = Field(ge=0)
    call_ns: float = Field(gt=0)
    peak_gb_s: float = Field(gt=0)
    inputs_gb_s: float = Field(gt=0)
    peak_gflops: float = Field(gt=0)
    tensor_gflops: float | None = None

    @property
    def moving_ns(self) -> float:
        """The shortest time in which the bytes can be moved."""
        return self.nbytes / self.peak_gb_s

    @property
    def computing_ns(self) -> float:
        """The shortest time in which the arithmetic can be done: on the units that round what they
        multiply, where there are such. A kernel that splits its operands into parts for them can be
        as accurate as one in float32."""
        return self.flops / max(self.peak_gflops, self.tensor_gflops or 0.0)

    @property
    def arithmetic_ns(self) -> float:
        """The time that the arithmetic takes at the roof above this call: float32's, or that of the
        units that round where the call is faster than those of float32 can be."""
        plain_ns = self.flops / self.peak_gflops
        return plain_ns if self.call_ns >= plain_ns else self.computing_ns

    @property
    def side(self) -> Literal["memory", "compute"]:
        """What the roof above this call is made of."""
        return "memory" if self.moving_ns >= self.arithmetic_ns else "compute"

    @property
    def headroom(self) -> float:
        """How many times faster the floor is."""
        return self.call_ns / max(self.moving_ns, self.computing_ns)

    @property
    def slowdown(self) -> float:
        """How many times longer it took than the roof above this call, with its inputs where they
        were; below 1 when they were nearer than we know. At most `headroom`."""
        return self.call_ns / max(self.nbytes / self.inputs_gb_s, self.arithmetic_ns)

    @property
    def intensity(self) -> float:
        """Operations for each byte that must be moved."""
        return self.flops / self.nbytes


class Diagnosis(Record):
    """What limits a candidate.

    `figures` are those that show the bottleneck; what is not known is left out. `headroom` is how
    many times faster the floor is, below which no kernel for the problem can go on this machine;
    None when it was not measured. `hints` are sentences for a writer, `not_known` says what could
    not be looked at, and why. `position` is where it is under the roofline; None when it was not
    timed, and in logs of before it was kept. `counters` are what the GPU itself counted during one
    call, for which only `kernelwright profile` asks.
    """

    bottleneck: Bottleneck
    figures: tuple[Figure, ...] = Field(default=(), max_length=3)
    headroom: float | None = Field(default=None, gt=0)
    hints: tuple[str, ...] = ()
    not_known: tuple[str, ...] = ()
    position: Position | None = None
    counters: tuple[Figure, ...] = Field(default=(), max_length=8)

    @property
    def meaning(self) -> str:
        """The bottleneck as a sentence."""
        return MEANINGS[self.bottleneck]
