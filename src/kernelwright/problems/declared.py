"""Workloads that are written down beside a reference file, instead of derived from it.

A part of a larger program is judged at the sizes of the whole. They are in ``NAME.workloads.json``
beside ``NAME.py``: for each workload its id, split and the constants of the file. They are no part
of the file's text, which models read. No torch.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from pydantic import Field, ValidationError

from kernelwright.core.errors import ProblemError
from kernelwright.core.problem import Source, Split
from kernelwright.core.record import Record
from kernelwright.problems.naming import workloads_file


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
