"""Calls of tools in plain text: what a model writes to call one, and how that is read.

A call is a line outside every fenced block that begins with ``Call:`` and the name of a tool; for
``look_up`` the words to look up follow. A reply calls one tool; the program that a call is about
stands in the same reply, or is the last one that did. A reply without a call is the final answer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

from kernelwright.generate.parse import prose

Tool = Literal["build", "judge", "profile", "look_up"]
TOOLS: tuple[Tool, ...] = get_args(Tool)

_LONGEST_WORDS = 300
_CALL = re.compile(
    r"^[ \t>#*_`-]*call[ \t]*[*_`]*[ \t]*:[ \t*_`]*(?P<tool>\w*)(?P<words>.*)$",
    re.IGNORECASE | re.MULTILINE,
)


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call: the name that a model gave, which may be that of no tool, and what follows it."""

    name: str
    words: str

    @property
    def tool(self) -> Tool | None:
        """The tool that is called; None when there is none of this name."""
        return next((tool for tool in TOOLS if tool == self.name), None)


def call_in(reply: str) -> Call | None:
    """The first call in `reply`; None when it calls nothing.

    >>> call_in("Let me see.\\nCall: look_up shared memory")
    Call(name='look_up', words='shared memory')
    >>> call_in("```cpp\\n// Call: judge\\n```") is None
    True
    """
    found = _CALL.search(prose(reply))
    if found is None:
        return None
    words = found["words"].strip(" \t*_`:.()\"'")[:_LONGEST_WORDS]
    return Call(name=found["tool"].lower().strip("_"), words=words)
