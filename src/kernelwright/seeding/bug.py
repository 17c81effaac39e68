"""A seeded bug: the changed text, which class it is of, and what was changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from kernelwright.seeding.code import Code, Edit

CLASSES: dict[str, str] = {
    "off_by_one": "off-by-one bound",
    "missing_tail": "missing tail mask",
    "wrong_axis": "wrong axis",
    "wrong_epsilon": "wrong epsilon",
    "dropped_term": "dropped term",
    "accumulate_type": "wrong accumulate type",
    "unguarded_max": "unguarded max",
    "race": "race on a shared accumulator",
    "index_overflow": "index overflow, scaled down to 16 bits",
    "index_overflow_32": "index overflow of 32 bits",
    "swapped_strides": "swapped strides",
    "uninitialised": "uninitialised accumulator",
    "missing_sync": "missing sync",
    "wrong_sign": "wrong sign",
    "wrong_comparison": "wrong comparison",
    "max_min_swapped": "max and min swapped",
    "stale_variable": "stale variable",
    "wrong_broadcast": "wrong broadcasting",
    "integer_division": "integer division",
    "missing_scale": "missing scale",
    "index_shifted": "index shifted",
    "missing_clamp": "missing clamp",
    "early_return": "early return",
    "temporary_reused": "temporary reused",
}


@dataclass(frozen=True, kw_only=True)
class Bug:
    """A kernel with one mistake in it. `summary` says what was changed and on which line."""

    kind: str
    summary: str
    text: str


Mutation = Callable[[Code], Iterator[Bug]]


def bug(code: Code, kind: str, index: int, summary: str, edits: Sequence[Edit]) -> Bug:
    """The bug that `edits` make of `code`; token `index` says on which line it is.

    Raises:
        KeyError: `kind` is no class of bugs.
    """
    CLASSES[kind]
    return Bug(kind=kind, summary=f"line {code.line(index)}: {summary}", text=code.edited(edits))
