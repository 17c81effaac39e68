"""C++ text as tokens with positions: what the mutations look at, and how they edit.

This is no parser. Comments are dropped, strings and preprocessor lines are tokens that nothing
looks into, and brackets know their partners; that is enough for kernels in a plain style.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

TokenKind = Literal["name", "number", "string", "directive", "mark"]
Edit = tuple[int, int, str]

_TOKEN = re.compile(
    r"""(?P<space>\s+)
    |(?P<comment>//[^\n]*|/\*.*?(?:\*/|\Z))
    |(?P<directive>\#(?:\\\n|[^\n])*)
    |(?P<string>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')
    |(?P<number>(?:\d|\.\d)(?:[eEpP][+-]|[\w.])*)
    |(?P<name>[A-Za-z_]\w*)
    |(?P<mark>::|->|\+\+|--|<<|>>|<=|>=|==|!=|&&|\|\||[-+*/%&|^]=|.)
    """,
    re.VERBOSE | re.DOTALL,
)
_SKIPPED = ("space", "comment")
_OPEN = {"(": ")", "[": "]", "{": "}"}


@dataclass(frozen=True)
class Token:
    """A piece of text and where it is, from `start` up to but not including `end`."""

    kind: TokenKind
    text: str
    start: int
    end: int


@dataclass(frozen=True)
class Code:
    """A text and its tokens. Tokens are named by their index, and spans are of indices too."""

    text: str

    @functools.cached_property
    def tokens(self) -> tuple[Token, ...]:
        """Everything but blanks and comments, in order."""
        return tuple(
            Token(found.lastgroup, found.group(), found.start(), found.end())  # type: ignore[arg-type]
            for found in _TOKEN.finditer(self.text)
            if found.lastgroup not in _SKIPPED
        )

    @functools.cached_property
    def partner(self) -> dict[int, int]:
        """The index of each bracket's other half, both ways. Brackets without one are left out."""
        open_at: list[int] = []
        found: dict[int, int] = {}
        for index, token in enumerate(self.tokens):
            if token.kind != "mark":
                continue
            if token.text in _OPEN:
                open_at.append(index)
            elif open_at and token.text == _OPEN[self.tokens[open_at[-1]].text]:
                other = open_at.pop()
                found[index], found[other] = other, index
        return found

    def at(self, index: int) -> str:
        """The text of token `index`; empty beyond either end."""
        return self.tokens[index].text if 0 <= index < len(self.tokens) else ""

    def indices(self, text: str) -> list[int]:
        """The tokens that read `text`, strings and directives apart."""
        return [
            index
            for index, token in enumerate(self.tokens)
            if token.text == text and token.kind not in ("string", "directive")
        ]

    def between(self, first: int, last: int) -> str:
        """The text from token `first` to token `last`, both included; empty when there is none."""
        return self.text[self.tokens[first].start : self.tokens[last].end] if first <= last else ""

    def line(self, index: int) -> int:
        """The line of token `index`, from 1."""
        return self.text.count("\n", 0, self.tokens[index].start) + 1

    def replace(self, first: int, last: int, text: str) -> Edit:
        """The edit that puts `text` in the place of tokens `first` to `last`."""
        return self.tokens[first].start, self.tokens[last].end, text

    def insert(self, before: int, text: str) -> Edit:
        """The edit that puts `text` in front of token `before`."""
        return self.tokens[before].start, self.tokens[before].start, text

    def remove(self, first: int, last: int) -> Edit:
        """The edit that takes tokens `first` to `last` away."""
        return self.replace(first, last, "")

    def edited(self, edits: Iterable[Edit]) -> str:
        """The text after `edits`, which do not overlap."""
        text = self.text
        for start, end, new in sorted(edits, reverse=True):
            text = text[:start] + new + text[end:]
        return text

    def statement(self, index: int) -> int:
        """The first token of the statement that token `index` is in."""
        while index > 0:
            before = self.tokens[index - 1]
            if before.kind == "directive" or before.text in (";", "{", "}"):
                break
            index -= 1
        return index

    def statement_end(self, index: int) -> int:
        """The semicolon that ends the statement that token `index` is in."""
        while index < len(self.tokens) and self.at(index) != ";":
            index = (self.partner.get(index, index) if self.at(index) in _OPEN else index) + 1
        return index
