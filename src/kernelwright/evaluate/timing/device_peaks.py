"""Measures what a GPU can do at most, in a process of its own that has torch.

Prints JSON: `read_gb_s`, gigabytes per second by how many bytes a copy reads and writes together,
`fma_gflops` of products in float32, and `tensor_gflops` of products in TensorFloat-32, the fastest
way that float32 can be computed in. Each is the best of several tries, timed by events.

    python -I -m kernelwright.evaluate.timing.device_peaks
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable

import torch

_SIZES = tuple(1 << shift for shift in range(23, 32))  # 8 MiB to 2 GiB, read and written
_SIDE = 8192
_TRIES = 7
_BYTES_A_TRY = 4 << 30


def _seconds(work: Callable[[int], object], times: int) -> float:
    """The time of one of `times` turns of `work`: the median of the tries."""
    took: list[float] = []
    event: Callable[..., torch.cuda.Event] = torch.cuda.Event
    for _ in range(_TRIES):
        start, end = event(enable_timing=True), event(enable_timing=True)
        start.record()
        for turn in range(times):
            work(turn)
        end.record()
        end.synchronize()
        took.append(start.elapsed_time(end) / 1e3 / times)
    return statistics.median(took[1:])


def copy_gb_s(nbytes: int) -> float:
    """How fast half of `nbytes` are copied, counting what is read and what is written. Smaller
    blocks than the cache's are copied again and again, so that they stay there."""
    source = torch.ones(nbytes // 2, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    times = max(4, min(200, _BYTES_A_TRY // nbytes))
    return nbytes / _seconds(lambda _: target.copy_(source), times) / 1e9


def product_gflops(*, tf32: bool) -> float:
    """How fast two square float32 matrices of random numbers are multiplied."""
    torch.backends.cuda.matmul.allow_tf32 = tf32
    left, right = (torch.randn(_SIDE, _SIDE, device="cuda") for _ in range(2))
    return 2 * _SIDE**3 / _seconds(lambda _: left @ right, 4) / 1e9


def main() -> None:
    """Measure and print."""
    found = {
        "read_gb_s": {size: copy_gb_s(size) for size in _SIZES},
        "fma_gflops": product_gflops(tf32=False),
        "tensor_gflops": product_gflops(tf32=True),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
