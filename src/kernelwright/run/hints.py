"""What people tell the writers of a run while it goes on: the file ``hints.md`` in its folder."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path

HINTS_FILE = "hints.md"
MAX_BYTES = 16_000


@dataclass(frozen=True, kw_only=True)
class Told:
    """What the file says, as one text; none where it is missing or blank. `problem` is why it
    could not be read."""

    hints: tuple[str, ...] = ()
    problem: str | None = None


def nothing_told() -> Told:
    """What is told in a run that nobody gives hints."""
    return Told()


def read_hints(path: Path) -> Told:
    """The hints in the file `path`: UTF-8 text of at most `MAX_BYTES` bytes, of any form."""
    try:
        # Opening a pipe would wait for somebody to write into it.
        if not stat.S_ISREG(path.stat().st_mode):
            return Told(problem=f"{path} is no file, so no hints are read from it.")
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return Told()
    except OSError as error:
        return Told(problem=f"{path} cannot be read: {error.strerror or error}.")
    if len(content) > MAX_BYTES:
        return Told(
            problem=f"{path} is longer than {MAX_BYTES:,} bytes, so no hints are read from it. "
            "Shorten it."
        )
    try:
        text = content.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        return Told(problem=f"{path} is not UTF-8 text, so no hints are read from it.")
    return Told(hints=(text,) if text else ())
