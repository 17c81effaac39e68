"""What a planner and a critic say, read from their replies: lenient about form.

A remark is words for the next model, shortened, and nothing else; a planner's choice can only be
one of the actions that it was given. What cannot be read is None, and the attempt goes on.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from kernelwright.generate.parse import LONGEST_REPLY, cleaned

_LONGEST_REMARK = 1200
# A word at the beginning of a line, with a colon, in whatever bullets and bold a model likes.
_FIELD = re.compile(
    r"^[ \t>#*_-]*(?P<name>action|reason|keep|blame)[ \t]*[*_]*[ \t]*:[ \t*_]*",
    re.IGNORECASE | re.MULTILINE,
)


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The action that a planner chose, by name, and why; None when it wants none of them."""

    action: str | None
    reason: str


def choice_in(reply: str, actions: Iterable[str]) -> Choice | None:
    """What a planner chose of `actions`; None when it names nothing of the kind.

    >>> choice_in("**Action:** Split the reduction\\nReason: one row", ["split-the-reduction"])
    Choice(action='split-the-reduction', reason='one row')
    """
    said = _fields(reply)
    words = re.findall(r"[a-z]+", said.get("action", "").partition("\n")[0].lower())
    named = next((a for a in actions if _begins(words, a.split("-"))), None)
    if named is None and words[:1] != ["none"]:
        return None
    return Choice(action=named, reason=said.get("reason", ""))


def critique_in(reply: str) -> str | None:
    """What a critic would keep, and what it blames; None when it says neither."""
    said = _fields(reply)
    titles = {"keep": "Keep", "blame": "To blame"}
    lines = [f"{title}: {said[name]}" for name, title in titles.items() if said.get(name)]
    return "\n".join(lines) or None


def _begins(words: list[str], name: list[str]) -> bool:
    return words[: len(name)] == name


def _fields(reply: str) -> dict[str, str]:
    """What follows each word; of several the last that says something, since models correct
    themselves."""
    text = cleaned(reply[:LONGEST_REPLY])
    found = list(_FIELD.finditer(text))
    ends = [*(field.start() for field in found[1:]), len(text)]
    said: dict[str, str] = {}
    for field, end in zip(found, ends, strict=False):
        remark = text[field.end() : end].strip()
        if remark:
            said[field["name"].lower()] = remark[:_LONGEST_REMARK].rstrip()
    return said
