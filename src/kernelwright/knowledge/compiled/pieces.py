"""The helpers of torch that generated code calls, in text of our own (``pieces.h``), by name."""

from __future__ import annotations

import functools
import importlib.resources
import re
from collections.abc import Mapping


@functools.cache
def paragraphs() -> Mapping[str, str]:
    """Each paragraph of ``pieces.h`` by the name that it begins with and defines."""
    text = importlib.resources.files(__package__).joinpath("pieces.h").read_text("utf-8")
    found = {}
    for paragraph in text.strip().split("\n\n")[1:]:
        name = re.match(r"// (\w+):", paragraph)
        assert name is not None, paragraph
        found[name[1]] = paragraph
    return found


def pieces(written: str) -> list[str]:
    """The paragraphs that `written` uses, and those that they use, in order."""
    known = paragraphs()
    wanted, chosen = set(re.findall(r"\w+", written)), set[str]()
    while more := {name for name in known if name in wanted} - chosen:
        chosen |= more
        wanted |= {word for name in more for word in re.findall(r"\w+", known[name])}
    return [text for name, text in known.items() if name in chosen]
