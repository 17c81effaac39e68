"""The door to the notes: ``text/<language>.md`` and ``text/<bottleneck>.md``, written by us.

How a language is written is in its guide (`languages/guides`), how an optimisation is done on the
pages of the actions. A note says when which of them is worth it, and why.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.resources import files
from typing import get_args

from kernelwright.core.diagnosis import Bottleneck
from kernelwright.core.protocols import Passage

ABOUT_LANGUAGES = ("cpp", "triton", "cuda")
ABOUT_BOTTLENECKS: tuple[Bottleneck, ...] = tuple(
    name for name in get_args(Bottleneck) if name != "unknown"
)
# What the diagnosis says of one kind of device only.
_NOT_IN: dict[str, tuple[Bottleneck, ...]] = {
    "cpp": ("low_occupancy",),
    "triton": ("not_vectorised",),
    "cuda": ("not_vectorised",),
}
_HEADING = re.compile(r"^## (.+)$", re.MULTILINE)


def passages(language: str) -> Iterator[Passage]:
    """The notes on `language`, none where there are none, and those on every bottleneck that it can
    have; one for each part of a page."""
    if language in ABOUT_LANGUAGES:
        yield from _parts(language, f"notes on {language}")
    for bottleneck in (b for b in ABOUT_BOTTLENECKS if b not in _NOT_IN.get(language, ())):
        yield from _parts(bottleneck, f"notes on {bottleneck.replace('_', ' ')}")


def _parts(page: str, source: str) -> Iterator[Passage]:
    text = files(__package__).joinpath("text", f"{page}.md").read_text(encoding="utf-8")
    _, *parts = _HEADING.split(text)
    for title, part in zip(parts[::2], parts[1::2], strict=True):
        yield Passage(source=source, title=title, text=part.strip())
