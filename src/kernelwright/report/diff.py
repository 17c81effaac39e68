"""What a candidate changed against its parent, as lines that a template colours."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Literal

from kernelwright.core.problem import Source
from kernelwright.report.plain import SOURCE_LIMIT, visible

# difflib takes time that grows with the square of the lines; a generated kernel of this length
# is not read as a diff anyway.
_LINE_LIMIT = 3000
_CONTEXT = 3


@dataclass(frozen=True, kw_only=True)
class DiffLine:
    """One line of a unified diff, made visible, with its leading sign."""

    kind: Literal["same", "added", "removed", "place", "file"]
    text: str


def unified(old: Source, new: Source) -> tuple[DiffLine, ...] | None:
    """The lines that differ, file by file, with context; None when a text is too large to compare.

    An empty result means that the texts are equal.
    """
    if any(_too_large(text) for source in (old, new) for text in source.files.values()):
        return None
    names = sorted(old.files.keys() | new.files.keys())
    return tuple(
        line for name in names for line in _of_file(name, old.files.get(name), new.files.get(name))
    )


def _of_file(name: str, old: str | None, new: str | None) -> list[DiffLine]:
    lines = difflib.unified_diff(
        (old or "").splitlines(), (new or "").splitlines(), lineterm="", n=_CONTEXT
    )
    body = list(lines)[2:]
    if not body:
        return []
    return [DiffLine(kind="file", text=visible(name)), *map(_line, body)]


def _line(text: str) -> DiffLine:
    match text[:1]:
        case "+":
            return DiffLine(kind="added", text=visible(text))
        case "-":
            return DiffLine(kind="removed", text=visible(text))
        case "@":
            return DiffLine(kind="place", text=text)
        case _:
            return DiffLine(kind="same", text=visible(text))


def _too_large(text: str) -> bool:
    return len(text) > SOURCE_LIMIT or text.count("\n") > _LINE_LIMIT
