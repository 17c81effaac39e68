"""What a run knows beside its problem: the device, our notes, and what other runs tried.

Whoever is asked for a program is told a little of it, and may look up the rest.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

from kernelwright.core.errors import FaultError, ProblemError
from kernelwright.core.evaluation import Environment
from kernelwright.core.problem import Problem
from kernelwright.core.protocols import Passage
from kernelwright.core.run import RunSpec
from kernelwright.evaluate.environment import cpu_flags
from kernelwright.generate.looking_up import Source, Task
from kernelwright.knowledge import notes
from kernelwright.knowledge.hardware import device
from kernelwright.library.finding import Shelves
from kernelwright.library.near import keys_of, print_of
from kernelwright.problems.reference import Reference
from kernelwright.run.memory import Memory, runs_in

_MOST_KEPT = 1000  # problems of other runs, by which their graphs are known


def about_device(here: Environment | None) -> Passage | None:
    """The row of the device that candidates run on; None where it is not known, or has none."""
    if here is None:
        return None
    row = device(here.gpu.name if here.gpu else here.device, cpu_flags())
    if row is None:
        return None
    named = f"{row.name}, {here.cpu}, {here.threads} threads" if here.kind == "cpu" else row.name
    return Passage(source="the table of devices, by their makers", title=named, text=row.text)


def sources_of(spec: RunSpec, shelves: Shelves) -> tuple[Source, ...]:
    """Notes, and what was tried in the runs that `spec` remembers: with `decontaminate` nothing of
    the problem on the `shelves`, nor of one that is nearly the same.

    Raises:
        UsageError: there is no run in a folder.
    """
    if not spec.memory:
        return (_notes,)
    runs = runs_in(spec.memory)
    if not spec.decontaminate:
        return (_notes, Memory(runs))
    return (_notes, Memory(runs, left_out=functools.partial(_near, shelves)))


def _notes(task: Task) -> Iterator[Passage]:
    return notes.passages(task.language.name)


def _near(shelves: Shelves, other: Problem) -> bool:
    """Whether `other` is the problem on the shelves, or nearly; also where nobody can say."""
    text = other.reference.text
    if shelves.near(print_of(text, ())):
        return True
    keys = _keys(other.model_dump_json())
    return keys is None or shelves.near(print_of(text, keys))


@functools.lru_cache(_MOST_KEPT)
def _keys(said: str) -> frozenset[str] | None:
    """The keys of a problem's graph, none where it cannot be traced; None after a fault of ours. A
    problem is traced once for all runs of this process, each takes some seconds."""
    problem = Problem.model_validate_json(said)
    try:
        with Reference.open(
            problem.reference, direction=problem.direction, known=problem
        ) as reference:
            return keys_of(problem, reference.trace())
    except ProblemError:
        return frozenset()
    except FaultError:
        return None
