"""Long arrays in parts that are worked on side by side.

What is done with each must be NumPy's work for the most part, which does not hold the interpreter.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

_MOST_THREADS = 8
_THREADS = min(_MOST_THREADS, len(os.sched_getaffinity(0)))
# Elements at a time. A chunk that stays in the cache is best for one thread; many threads take
# turns at the interpreter, and the longer a chunk, the fewer turns: comparing 16M elements took
# eight of them 70 ms in chunks of 2^15, and 26 ms in chunks of 2^17.
CHUNK = 1 << (15 if _THREADS < 4 else 17)
PART = 1 << 19


@functools.cache
def _pool() -> ThreadPoolExecutor | None:
    return ThreadPoolExecutor(_THREADS, "kernelwright-parts") if _THREADS > 1 else None


def in_parts(size: int, work: Callable[[int, int], T]) -> list[T]:
    """What `work` gives for each part of `size` elements, from one index up to another, in order.
    Parts begin at whole chunks."""
    ranges = [(start, min(start + PART, size)) for start in range(0, size, PART)]
    pool = _pool() if len(ranges) > 1 else None
    if pool is None:
        return [work(*one) for one in ranges]
    return list(pool.map(lambda one: work(*one), ranges))
