"""What any language asks of a candidate's text before it plans a build.

The builder carries a plan out inside the sandbox; what is refused here is what would make the plan
itself something else than it seems: a file name that leads out of the folder, an option that is
a program, an entry point that is more than a name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from importlib.resources import files

from kernelwright.core.candidate import Candidate
from kernelwright.core.errors import BuildRefused

MAX_BYTES = 256 * 1024
MAX_FILES = 16
_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")


def check_source(candidate: Candidate, suffix: str, *, reserved: Iterable[str] = ()) -> None:
    """Refuse a candidate whose files cannot be written as they are named.

    `suffix` is what the main file's name must end with; `reserved` are names that the language's
    own files have.

    Raises:
        BuildRefused: saying which file or name, and what is allowed.
    """
    source = candidate.source
    if len(source.files) > MAX_FILES:
        raise BuildRefused(f"The candidate has {len(source.files)} files; {MAX_FILES} are allowed.")
    for name, text in source.files.items():
        _check_file(name, text)
        if name in reserved:
            raise BuildRefused(f"The file name {name!r} is the build's own. Rename the file.")
    total = sum(len(text.encode()) for text in source.files.values())
    if total > MAX_BYTES:
        raise BuildRefused(f"The candidate has {total:,} bytes of text; {MAX_BYTES:,} are allowed.")
    if source.main_file not in source.files:
        raise BuildRefused(
            f"The entry point {source.entry_point!r} names a file that is not there."
        )
    if not source.main_file.endswith(suffix):
        raise BuildRefused(f"The main file {source.main_file!r} must end with {suffix!r}.")
    if not _NAME.fullmatch(source.name):
        raise BuildRefused(f"The entry point's name {source.name!r} is not an identifier.")


def _check_file(name: str, text: str) -> None:
    if not _FILE_NAME.fullmatch(name):
        raise BuildRefused(
            f"The file name {name!r} is not plain: letters, digits, '_', '-' and '.' only, "
            "and not '.' first."
        )
    try:
        text.encode()
    except UnicodeEncodeError:
        raise BuildRefused(f"The file {name!r} is not valid text (a lone surrogate).") from None
    if "\0" in text:
        raise BuildRefused(f"The file {name!r} has a NUL character; source text has none.")


def check_options(options: Sequence[str], allowed: Sequence[str]) -> None:
    """Refuse options that match none of the regular expressions `allowed`.

    Raises:
        BuildRefused: naming the first such option.
    """
    for option in options:
        if not any(re.fullmatch(pattern, option) for pattern in allowed):
            shown = ", ".join(pattern.replace("\\", "") for pattern in allowed)
            known = f"Allowed: {shown}." if shown else "In this language none are taken."
            raise BuildRefused(f"The build option {option!r} is not allowed. {known}")


def own_file(*path: str) -> str:
    """The text of a file that ships beside this module."""
    return files(__package__).joinpath(*path).read_text(encoding="utf-8")
