"""A case on its way between two processes: a message, and the shared memory its arrays lie in.

The arrays lie one after another: the inputs, then of each output what it must be, and its slack if
it has any. The message says their shapes; their types follow from the problem. No torch.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Any

import numpy as np

from kernelwright.core.agreement import Expected
from kernelwright.core.errors import WorkerError
from kernelwright.core.formats import Array, storage_dtype
from kernelwright.core.problem import Problem
from kernelwright.core.tolerance import Tolerance
from kernelwright.problems.case import Case
from kernelwright.problems.channel import Closed, Message, Shared, share


def pack(case: Case) -> tuple[Message, int]:
    """`case` as a message, and the memory that goes with it, which is the caller's to close."""
    arrays = list(case.inputs.values())
    for one in case.expected:
        arrays += [one.values] if one.slack is None else [one.values, one.slack]
    fd, offsets = share(arrays)
    message: Message = {
        "workload_id": case.workload_id,
        "distribution": case.distribution,
        "eager_s": case.eager_s,
        "arrays": [[list(a.shape), at] for a, at in zip(arrays, offsets, strict=True)],
        "expected": [
            {
                "name": one.name,
                "dtype": one.dtype,
                "tolerance": None if one.tolerance is None else vars(one.tolerance),
                "has_slack": one.slack is not None,
            }
            for one in case.expected
        ],
    }
    return message, fd


def unpack(problem: Problem, message: Message, memory: Shared) -> Case:
    """The case of `problem` that was packed; its arrays are read-only, and lie in `memory`.

    Raises:
        WorkerError: this is not a packed case.
    """
    try:
        arrays = _Arrays(message, memory)
        case = Case(
            workload_id=message["workload_id"],
            distribution=message["distribution"],
            inputs={s.name: arrays.next(storage_dtype(s.dtype)) for s in problem.inputs},
            expected=tuple(_expected(one, arrays) for one in message["expected"]),
            eager_s=message["eager_s"],
        )
        arrays.end()
        return case
    except (Closed, LookupError, TypeError, ValueError) as error:
        raise WorkerError(f"The reference's process sent a broken case: {error}") from error


class _Arrays:
    def __init__(self, message: Message, memory: Shared) -> None:
        self._left = deque(message["arrays"])
        self._memory = memory

    def next(self, dtype: np.dtype[Any]) -> Array:
        shape, offset = self._left.popleft()
        return self._memory.array(dtype, math.prod(shape), offset).reshape(shape)

    def end(self) -> None:
        if self._left:
            raise ValueError(f"{len(self._left)} arrays are left over")


def _expected(one: dict[str, Any], arrays: _Arrays) -> Expected:
    limit = one["tolerance"]
    # Of a float output the answer is the oracle's, in float64.
    dtype = storage_dtype("float64" if limit is not None else one["dtype"])
    return Expected(
        name=one["name"],
        dtype=one["dtype"],
        values=arrays.next(dtype),
        tolerance=None if limit is None else Tolerance(**limit),
        slack=arrays.next(dtype) if one["has_slack"] else None,
    )
