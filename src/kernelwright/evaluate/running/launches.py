"""The launches that a call of a module comes to, as a file that needs no Python to be run.

`native/launches.h` reads it. All of it is 64-bit words, then the kernels' machine code. A *program*
is what one choice of sizes comes to: memory of its own, and steps in order.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

MAGIC = 0x534548434E55414C
_TENSOR, _SCRATCH, _VALUE = 1, 2, 0
_LAUNCH, _FILL = 0, 1


@dataclass(frozen=True)
class Kernel:
    """Machine code for one kernel, a cubin; the dynamic shared memory and threads of a block."""

    image: bytes
    name: str
    shared_bytes: int
    threads: int


@dataclass(frozen=True)
class Place:
    """An address: so many bytes into a tensor of the call, inputs first, or into `scratch`."""

    of: Literal["tensor", "scratch"]
    index: int
    offset: int = 0


@dataclass(frozen=True)
class Launch:
    """Kernel number `kernel` on a grid. An argument that is no address is its at most 8 bytes."""

    kernel: int
    grid: tuple[int, int, int]
    arguments: tuple[Place | bytes, ...]


@dataclass(frozen=True)
class Fill:
    """`count` elements of `width` bytes (1, 2 or 4) set to `pattern`."""

    at: Place
    count: int
    width: int
    pattern: int


@dataclass(frozen=True)
class Program:
    """What a call with these sizes of the axes does; `scratch` are bytes of memory of its own."""

    axes: tuple[int, ...]
    scratch: tuple[int, ...]
    steps: tuple[Launch | Fill, ...]


def packed(kernels: Sequence[Kernel], programs: Sequence[Program]) -> bytes:
    """The file. All `programs` have the same number of axes.

    >>> len(packed([], [Program((4,), (), ())]))
    64
    """
    body = [word for program in programs for word in _program(program)]
    axes = len(programs[0].axes) if programs else 0
    at = 8 * (5 + 5 * len(kernels) + len(body))
    head, images = [MAGIC, axes, len(kernels), len(programs), at], b""
    for kernel in kernels:
        name = kernel.name.encode() + b"\0"
        place = at + len(images)
        head += [place, len(kernel.image), place + len(kernel.image)]
        head += [kernel.shared_bytes, kernel.threads]
        images += kernel.image + name
        images += bytes(-len(images) % 8)
    return struct.pack(f"<{len(head) + len(body)}q", *head, *body) + images


def images(file: bytes) -> list[bytes]:
    """The machine code of each kernel in `file`, which may be anything.

    >>> images(packed([Kernel(b"code", "k", 0, 32)], []))
    [b'code']

    Raises:
        ValueError: it is no such file.
    """
    try:
        magic, _, count = struct.unpack_from("<3q", file)
        listed = struct.iter_unpack("<5q", file[40 : 40 + 40 * count])
        found = [file[at : at + size] for at, size, *_ in listed if at > 0 and size > 0]
    except struct.error as error:
        raise ValueError(str(error)) from error
    if magic != MAGIC or len(found) != count:
        raise ValueError("a file of launches begins otherwise")
    return found


def _program(program: Program) -> Iterable[int]:
    yield from program.axes
    yield len(program.scratch)
    yield from program.scratch
    yield len(program.steps)
    for step in program.steps:
        if isinstance(step, Fill):
            yield _FILL
            yield from (*_place(step.at), step.count, step.width, step.pattern)
        else:
            yield _LAUNCH
            yield from (step.kernel, *step.grid, len(step.arguments))
            for argument in step.arguments:
                yield from _argument(argument)


def _argument(argument: Place | bytes) -> tuple[int, int, int]:
    if isinstance(argument, Place):
        return _place(argument)
    return _VALUE, 0, int.from_bytes(argument.ljust(8, b"\0"), "little", signed=True)


def _place(place: Place) -> tuple[int, int, int]:
    return _TENSOR if place.of == "tensor" else _SCRATCH, place.index, place.offset
