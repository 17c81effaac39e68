"""What is written down about a kernel of the library: what it is, and what it was found to be.

``entry.json`` is a `Description` and ``certificate.json`` a `Certificate`. The kernel, its problem
and the problem's graph stand beside them as files that people read.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from kernelwright.core.candidate import Lane, Tunable
from kernelwright.core.evaluation import Environment, Evaluation
from kernelwright.core.problem import Direction, TensorSpec
from kernelwright.core.record import Record

FORMAT: Literal[1] = 1


class Constant(Record):
    """A number that the kernel's text gives a name to, and may be set to another.

    `at` are its places among the constants of the problem's graph, all of which it stands for.
    """

    name: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    at: tuple[int, ...] = Field(min_length=1)


class Tuned(Record):
    """The values of the tunables that were best on one device, as `device_name` calls it."""

    device: str
    settings: dict[str, int]


class Computed(Record):
    """What the kernel computes: its problem's tensors, and the names in the problem's graph.

    `key`, `tensors`, `outputs`, `axes` and `constants` are those of `normal.form.NormalForm`.
    """

    title: str
    origin: str
    direction: Direction
    reference: str
    inputs: tuple[TensorSpec, ...]
    written: tuple[TensorSpec, ...]
    sizes: tuple[str, ...]
    key: str
    tensors: tuple[str, ...]
    outputs: tuple[str, ...]
    axes: tuple[tuple[str, ...], ...]
    constants: tuple[float, ...]


class Provenance(Record):
    """Who wrote the kernel: ``agent:<name>``, ``sketch``, ``llm``, ``hand``; the model if there was
    one, the day as 2031-01-31, and the run that it comes from."""

    writer: str
    model: str | None = None
    day: str
    run: str | None = None


class Description(Record):
    """One kernel of the library. `files` are those of its source, the first being the main one."""

    format: Literal[1] = FORMAT
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_.-]*$")
    language: str
    lane: Lane
    entry_point: str
    files: tuple[str, ...] = Field(min_length=1)
    build_options: tuple[str, ...] = ()
    tunables: tuple[Tunable, ...] = ()
    tuned: tuple[Tuned, ...] = ()
    constants: tuple[Constant, ...] = ()
    computes: Computed
    provenance: Provenance


class Judgement(Record):
    """What the judge said on one device: the whole evaluation with its samples, but for its log.

    `commit` is that of the checkout that judged, None where there was none.
    """

    device: str
    day: str
    version: str
    commit: str | None = None
    settings: dict[str, int] = {}
    evaluation: Evaluation


class Certificate(Record):
    """What was checked. `files` has the SHA-256 of every other file of the folder."""

    format: Literal[1] = FORMAT
    files: dict[str, str]
    judgements: tuple[Judgement, ...] = Field(min_length=1)


def device_name(environment: Environment) -> str:
    """What one set of tuned values is for: a GPU by its model, a CPU with its number of threads."""
    if environment.device == "cpu":
        return f"{environment.cpu}, {environment.threads} threads"
    return environment.device.partition(",")[0]
