"""Workloads that are written down beside a reference file, instead of derived from it.

A part of a larger program is judged at the sizes of the whole. They are in ``NAME.workloads.json``
beside ``NAME.py``: for each workload its id, split and the constants of the file. They are no part
of the file's text, which models read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from pydantic import Field, ValidationError

from kernelwright.core.errors import ProblemError
from kernelwright.core.problem import Source, Split
from kernelwright.core.record import Record
from kernelwright.problems.naming import workloads_file
from kernelwright.problems.shapes import Observer
from kernelwright.problems.workloads import Choice, Sizes


class Declared(Record):
    """One workload: the values of all constants of the file that differ between them."""

    id: str = Field(min_length=1)
    split: Split
    constants: dict[str, int]


def to_text(workloads: Iterable[Declared]) -> str:
    """The text of that file."""
    return json.dumps([each.model_dump() for each in workloads], indent=1) + "\n"


def declared(source: Source) -> tuple[Declared, ...]:
    """The workloads that come with `source`; none where they are to be derived.

    Raises:
        ProblemError: they are not written as they must be, or none is the report's.
    """
    name = workloads_file(source.main_file)
    if name not in source.files:
        return ()
    try:
        found = tuple(Declared.model_validate(each) for each in json.loads(source.files[name]))
    except (ValueError, TypeError, ValidationError) as error:
        raise ProblemError(f"{name} is no list of workloads with id, split, constants.") from error
    if [each.split for each in found].count("report") != 1:
        raise ProblemError(f"{name} must have one workload of the split 'report'.")
    return found


def choose_declared(
    observer: Observer, workloads: Sequence[Declared]
) -> tuple[Sizes, list[Choice]]:
    """The constants that differ, and those workloads under which the program runs, report first:
    that has the file's own constants.

    Raises:
        ProblemError: it does not run at all.
    """
    first = next(each for each in workloads if each.split == "report")
    varied = {
        name: value
        for name, value in first.constants.items()
        if len({each.constants.get(name, value) for each in workloads}) > 1
    }
    base = observer.first()
    chosen = [Choice(id=first.id, split="report", observation=base)]
    for each in workloads:
        sizes = {name: each.constants.get(name, value) for name, value in varied.items()}
        seen = None if each is first else observer.try_constants(sizes)
        if seen is not None and seen.structure == base.structure:
            chosen.append(Choice(id=each.id, split=each.split, observation=seen))
    return varied, chosen
