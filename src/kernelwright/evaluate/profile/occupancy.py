"""Occupancy: how many of a multiprocessor's threads a kernel leaves room for.

The limits and the units of allocation are those of NVIDIA's CUDA C++ Programming Guide, section
"Compute Capabilities", table "Technical Specifications per Compute Capability", and of the
occupancy calculator that came with the toolkit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

WARP = 32
BLOCK_SIZES = tuple(range(WARP, 1025, WARP))
_REGISTER_UNIT = 256  # registers are given to a warp in this unit, from 7.0 to 9.0
_SHARED_UNIT = 128  # bytes, from 8.0 on
_RESERVED_SHARED = 1024  # bytes that the driver takes of each block, from 8.0 on


@dataclass(frozen=True, kw_only=True)
class Multiprocessor:
    """What one multiprocessor has. Shared memory is in bytes, the most that can be set aside."""

    threads: int
    blocks: int
    registers: int
    shared_bytes: int


LIMITS: dict[str, Multiprocessor] = {
    "sm_80": Multiprocessor(threads=2048, blocks=32, registers=65536, shared_bytes=164 << 10),
    "sm_86": Multiprocessor(threads=1536, blocks=16, registers=65536, shared_bytes=100 << 10),
    "sm_89": Multiprocessor(threads=1536, blocks=24, registers=65536, shared_bytes=100 << 10),
    "sm_90": Multiprocessor(threads=2048, blocks=32, registers=65536, shared_bytes=228 << 10),
}


def most_shared_bytes(arch: str) -> int | None:
    """The most shared memory that one block can have; None for an architecture not in `LIMITS`.

    >>> most_shared_bytes("sm_90")
    232448
    """
    has = LIMITS.get(arch)
    return None if has is None else has.shared_bytes - _RESERVED_SHARED


def occupancy(
    arch: str, block_threads: int, *, registers: int, shared_bytes: int = 0
) -> float | None:
    """The share of `arch`'s threads that can be there at once, from 0 to 1.

    `registers` are per thread, `shared_bytes` per block, static and dynamic together. None for
    an architecture that is not in `LIMITS`; 0.0 when not even one block fits.

    >>> occupancy("sm_90", 256, registers=32), occupancy("sm_90", 256, registers=128)
    (1.0, 0.25)
    """
    has = LIMITS.get(arch)
    if has is None:
        return None
    warps = _up(block_threads, WARP) // WARP
    warp_registers = _up(max(registers, 1) * WARP, _REGISTER_UNIT)
    shared = _up(shared_bytes + _RESERVED_SHARED, _SHARED_UNIT)
    blocks = min(
        has.blocks,
        has.threads // (warps * WARP),
        has.registers // warp_registers // warps,
        has.shared_bytes // shared,
    )
    return blocks * warps * WARP / has.threads


def best_occupancy(
    arch: str, *, registers: int, shared_bytes: int = 0, sizes: Sequence[int] = BLOCK_SIZES
) -> float | None:
    """The most that any block of `sizes` threads can reach, when the launch is not known."""
    reached = [occupancy(arch, n, registers=registers, shared_bytes=shared_bytes) for n in sizes]
    return max((share for share in reached if share is not None), default=None)


def _up(number: int, unit: int) -> int:
    return -(-number // unit) * unit
