"""From facts to a diagnosis, by plain rules in a fixed order. A pure function.

The first rule that holds names the bottleneck. A rule that is more certain, or names what lies
behind another, comes first; each says why where it stands. Hints say what has worked against it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kernelwright.core.diagnosis import Bottleneck, Diagnosis, Figure, Position
from kernelwright.evaluate.profile.disassembly import Facts
from kernelwright.evaluate.profile.occupancy import best_occupancy
from kernelwright.evaluate.profile.x86 import Loop, hot

# A peak is never quite reached by code that does anything else beside, and a median is not a best
# time: within this factor of the floor there is nothing left that a rewrite would find.
NEAR = 1.5
# Further than `NEAR` and not as far as this, the roof explains most of the time, unless the code
# itself shows another reason.
_TOWARDS = 3.0
# Waking a team of threads and waiting for its last one takes some microseconds, and so does a
# launch on a GPU: in a call this short they are a large part of it.
_SHORT_NS = 10_000.0
# Below a quarter of its threads a multiprocessor has too few of them to hide how long memory
# takes, unless each has much independent work.
_FEW = 0.25
_PRODUCTS = 3  # of an operand in two parts with another one, leaving out that of the small parts
_NOT_TIMED = "how far from the roofline it is: no time of it was taken, or no peak of this device"

_Found = tuple[Bottleneck, tuple[Figure, ...]]
_Rule = Callable[[Facts, Position | None], _Found | None]

HINTS: dict[Bottleneck, tuple[str, ...]] = {
    "memory_bound": (
        "Only moving fewer bytes helps: read each input once, write each output once, and keep "
        "what lies between in registers or cache.",
    ),
    "compute_bound": (
        "Only less arithmetic helps, or a unit with more of it, such as a narrower type.",
    ),
    "call_overhead": (
        "Do the small sizes on one thread (`#pragma omp parallel for if(n > …)`), and use one "
        "parallel region, or one launch, for all of the work.",
    ),
    "latency_bound": (
        "Give the machine more independent work: several accumulators instead of one, a loop that "
        "is unrolled, all threads busy with equal shares.",
    ),
    "register_spills": (
        "Hold fewer values at once: a smaller tile, more threads for the same tile, or less "
        "unrolling.",
    ),
    "strided_access": (
        "Let the innermost loop run along the last axis, where elements are neighbours; work on a "
        "block of columns at a time, or transpose a tile that fits in cache.",
    ),
    "not_vectorised": (
        "Make the rounds of the loop independent, mark pointers `__restrict`, and put "
        "`#pragma omp simd` before it. A sum is kept in its order unless it says "
        "`#pragma omp simd reduction(+:sum)`.",
    ),
    "low_occupancy": (
        "Use fewer registers or less shared memory for each thread, or a block of another size.",
    ),
    "unknown": (),
}


def diagnose(facts: Facts, position: Position | None) -> Diagnosis:
    """What limits the candidate; `position` is None when it was not timed."""
    found = next((said for rule in _RULES if (said := rule(facts, position))), ("unknown", ()))
    bottleneck, figures = found
    return Diagnosis(
        bottleneck=bottleneck,
        figures=figures,
        headroom=position.headroom if position else None,
        hints=(*HINTS[bottleneck], *_beside(bottleneck, facts, position)),
        not_known=(*facts.not_known, *([] if position else [_NOT_TIMED])),
        position=position,
    )


def _at_the_roof(_: Facts, position: Position | None) -> _Found | None:
    # First, since near the floor nothing that the code shows can cost much.
    return _roof(position, NEAR)


def _spilling(facts: Facts, _: Position | None) -> _Found | None:
    # Before what the roofline says: it does not count the bytes that spilling moves.
    spilling = [kernel for kernel in facts.kernels if kernel.spills]
    if not spilling:
        return None
    worst = max(spilling, key=lambda kernel: kernel.spill_bytes or kernel.local_accesses)
    figures = [_count("loads and stores of spilled values", worst.local_accesses)]
    if worst.spill_bytes is not None:
        figures.insert(0, Figure(name="spilled", value=worst.spill_bytes, unit="bytes a thread"))
    if worst.registers is not None:
        figures.append(_count("registers of a thread", worst.registers))
    return "register_spills", tuple(figures)


def _short(_: Facts, position: Position | None) -> _Found | None:
    # Before the code's faults: a loop that takes no time is not worth a rewrite.
    if position is None or position.call_ns >= _SHORT_NS:
        return None
    floor_ns = position.call_ns / position.headroom
    return "call_overhead", (
        Figure(name="time of a call", value=position.call_ns / 1e3, unit="µs"),
        Figure(name="floor", value=floor_ns / 1e3, unit="µs"),
    )


def _striding(facts: Facts, _: Position | None) -> _Found | None:
    # Before "not vectorised", which mostly follows from it.
    strided = [loop for loop in hot(facts.loops) if loop.strided]
    if not strided:
        return None
    worst = max(strided, key=_elements)
    return "strided_access", (
        _count("loops that compute", len(hot(facts.loops))),
        _count("of which step through memory", len(strided)),
        _count("loads in a round of the largest", worst.loads),
    )


def _one_at_a_time(facts: Facts, _: Position | None) -> _Found | None:
    # One scalar loop among vectorised ones takes most of the time: they do 4 to 16 elements in
    # a round where it does one.
    busy = hot(facts.loops)
    scalar = [loop for loop in busy if not loop.vectorised]
    if not scalar:
        return None
    worst = max(scalar, key=_elements)
    return "not_vectorised", (
        _count("loops that compute", len(busy)),
        _count("of which on one element at a time", len(scalar)),
        _count("operations in a round of the largest", _elements(worst)),
    )


def _few_threads(facts: Facts, _: Position | None) -> _Found | None:
    for kernel in facts.kernels:
        if kernel.registers is None:
            continue
        shared = kernel.shared_bytes or 0
        share = best_occupancy(kernel.arch, registers=kernel.registers, shared_bytes=shared)
        if share is not None and share <= _FEW:
            return "low_occupancy", (
                Figure(name="occupancy, at most", value=100 * share, unit="%"),
                _count("registers of a thread", kernel.registers),
                Figure(name="shared memory of a block", value=shared, unit="bytes"),
            )
    return None


def _towards_the_roof(_: Facts, position: Position | None) -> _Found | None:
    return _roof(position, _TOWARDS)


def _waiting(_: Facts, position: Position | None) -> _Found | None:
    # What is left of a kernel far from both roofs whose code shows no fault.
    if position is None:
        return None
    return "latency_bound", (_bandwidth(position), *_arithmetic(position))


_RULES: Sequence[_Rule] = (
    _at_the_roof, _spilling, _short, _striding, _one_at_a_time, _few_threads, _towards_the_roof,
    _waiting,
)  # fmt: skip


def _roof(position: Position | None, within: float) -> _Found | None:
    # From where the inputs were: a cold call is not to blame that its caches were empty, though
    # the floor, which holds for every kernel, allows for full ones.
    if position is None or position.slowdown > within:
        return None
    if position.side == "memory":
        peak = Figure(name="bandwidth at best", value=position.inputs_gb_s, unit="GB/s")
        moved = Figure(name="must be moved", value=position.nbytes / 1e6, unit="MB")
        return "memory_bound", (_bandwidth(position), peak, moved)
    peak = Figure(name="arithmetic at best", value=position.peak_gflops, unit="GFLOP/s")
    ratio = Figure(name="intensity", value=position.intensity, unit="FLOP/byte")
    return "compute_bound", (*_arithmetic(position), peak, ratio)


def _bandwidth(position: Position) -> Figure:
    return Figure(name="moves", value=position.nbytes / position.call_ns, unit="GB/s")


def _arithmetic(position: Position) -> tuple[Figure, ...]:
    """Nothing for a problem whose arithmetic is not counted: 0 would be read as a measurement."""
    if position.flops == 0:
        return ()
    return (Figure(name="computes", value=position.flops / position.call_ns, unit="GFLOP/s"),)


def _beside(bottleneck: Bottleneck, facts: Facts, position: Position | None) -> tuple[str, ...]:
    """What else was seen and may matter, whatever the bottleneck."""
    said = []
    if bottleneck == "compute_bound" and position and _could_split(position):
        said.append(
            "The units for float32 are the limit, and those for matrix products are faster: split "
            "each float32 operand into two parts of float16 or TF32 (x = high + low) and add three "
            "of their products, high·high + high·low + low·high, nearly as accurate as float32."
        )
    # Near a roof a call in a loop costs nothing any more.
    called = {name for loop in hot(facts.loops) for name in loop.calls}
    if called and bottleneck not in ("memory_bound", "compute_bound"):
        said.append(
            f"Its loops call {', '.join(sorted(called))} for each element, which keeps them from "
            "being vectorised: compute it with arithmetic alone, such as a polynomial after "
            "reducing the range."
        )
    if any(kernel.narrow for kernel in facts.kernels):
        said.append(
            "Every access of global memory is of 32 bits or fewer: let a thread move 128 bits at "
            "once (float4), where sizes and addresses allow."
        )
    return tuple(said)


def _could_split(position: Position) -> bool:
    """Whether the products of parts on the units that round could beat what float32 units can."""
    plain = position.call_ns >= position.flops / position.peak_gflops
    return plain and (position.tensor_gflops or 0.0) > _PRODUCTS * position.peak_gflops


def _elements(loop: Loop) -> int:
    """The operations of one round."""
    return loop.scalar + loop.packed + sum(loop.calls.values())


def _count(name: str, number: int) -> Figure:
    return Figure(name=name, value=number)
