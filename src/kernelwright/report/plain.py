"""Text of unknown origin made safe to show: nothing in it can hide, and it has an end.

A candidate's source, its log and a compiler's words are written by others. Escaping for HTML is
the template's; this is for what escaping leaves alone: control and direction characters, and size.
"""

from __future__ import annotations

import re

SOURCE_LIMIT = 60_000
LOG_LIMIT = 20_000

# C0 (less tab and newline), C1, soft hyphen, direction marks and overrides, zero-width
# characters, line separators, byte-order mark, annotations, lone surrogates and tags.
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u115f\u1160\u180e\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e01ef]"
)


def visible(text: str) -> str:
    """`text` with every character that a reader could not see spelt out.

    >>> visible("a\\x1b[31mb\\u202ec")
    'a␛[31mb⟨U+202E⟩c'
    """
    return _HIDDEN.sub(_spelt, text)


def shortened(text: str, limit: int) -> str:
    """`text`, or its first `limit` characters and how many more there are."""
    if len(text) <= limit:
        return text
    return f"{text[:limit]}\n… {len(text) - limit:,} more characters"


def one_line(text: str, limit: int = 160) -> str:
    """The first line of `text` that says something, made visible and cut to `limit`."""
    first = next((line.strip() for line in text.splitlines() if line.strip()), "")
    shown = visible(first)
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def _spelt(found: re.Match[str]) -> str:
    code = ord(found.group())
    if code < 0x20:
        return chr(0x2400 + code)
    return "␡" if code == 0x7F else f"⟨U+{code:04X}⟩"
