"""What is special about a hidden workload, in classes: enough to mend a kernel by, and no size."""

from __future__ import annotations

from kernelwright.core.evaluation import Trait
from kernelwright.core.problem import Problem, Workload

_VECTOR = 8  # elements; the widest vectors of float32 that CPUs have


def hidden_traits(problem: Problem, workload: Workload) -> tuple[Trait, ...]:
    """The classes that the sizes of `workload` fall into; none where its sizes may be told.

    "empty" has an axis of size 0 and "size_one" one of size 1, where the report's are others. In a
    "tail" an axis is no multiple of a vector, and "larger" has one that is longer than reported.
    """
    if workload.split != "hidden":
        return ()
    own = problem.report_workload.axes
    sizes = [(size, own.get(axis, size)) for axis, size in workload.axes.items()]
    found: list[tuple[Trait, bool]] = [
        ("empty", any(size == 0 for size, _ in sizes)),
        ("size_one", any(size == 1 != usual for size, usual in sizes)),
        ("tail", any(size > 1 and size % _VECTOR for size, _ in sizes)),
        ("larger", any(size > usual for size, usual in sizes)),
    ]
    return tuple(trait for trait, holds in found if holds)
