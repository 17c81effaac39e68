"""From a model's reply to a program: lenient about form, and nothing in it is ever run.

A reply is text from outside. It can become a program, which the judge then treats as hostile, or
the reason why there is none; it can do nothing else.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass

from kernelwright.generate.outline import Dialect, definitions

LONGEST_REPLY = 400_000
_FENCE = re.compile(r" {0,3}(?P<marks>`{3,}|~{3,})(?P<info>[^`]*)")
_THOUGHT_END = re.compile(r"</(?:think|thinking|thought|reasoning)>", re.IGNORECASE)
_THOUGHT_BEGIN = re.compile(r"<(?:think|thinking|thought|reasoning)>", re.IGNORECASE)
_ENTITY = re.compile(r"&(?:lt|gt|amp|quot|#39|#x27);")
_INVISIBLE = dict.fromkeys(map(ord, "\ufeff\u200b\u200c\u200d\u2060\x00"), "") | {0xA0: " "}
_C_BEGIN = re.compile(
    r"\s*(?:#\s*(?:include|define|pragma|if)|//|/\*|extern\b|template\b|using\b|namespace\b|"
    r"static\b|inline\b|struct\b|typedef\b|constexpr\b|const\b|void\b|__global__|__device__)"
)
_PYTHON_BEGIN = re.compile(r"(?:import |from \w[\w.]* import|class \w|def \w|@|#|\"\"\")")
_PYTHON_LINE = re.compile(
    r"[ \t@#)\]}\"']"
    r"|(?:import|from|class|def|async|if|elif|else|for|while|with|try|except|finally)\b"
    r"|[\w.\[\], ]+=|\w[\w.]*\("
)


@dataclass(frozen=True, kw_only=True)
class Program:
    """A program found in a reply, and the name of the function or class that it starts at."""

    text: str
    entry: str


@dataclass(frozen=True, kw_only=True)
class NoProgram:
    """Why a reply holds no program."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class _Block:
    text: str
    closed: bool


def parse_reply(
    reply: str, *, entry: str, dialect: Dialect, cut_off: bool = False
) -> Program | NoProgram:
    """The program in `reply` that defines `entry`.

    Of several blocks that define it the last is taken, since models correct themselves. When none
    does, a program with exactly one public definition is taken under that one's name. `cut_off`
    says that the reply ended because it was long enough, so that an open block is not whole.
    """
    if not reply.strip():
        return NoProgram(reason=_empty(cut_off))
    if len(reply) > LONGEST_REPLY:
        return NoProgram(
            reason=f"The reply has {len(reply):,} characters; a program has at most "
            f"{LONGEST_REPLY:,} here."
        )
    text = cleaned(reply)
    blocks = _blocks(text)
    whole = [_mended(b.text) for b in blocks if b.closed or not cut_off]
    found = _choose([t for t in whole if t.strip()], entry, dialect)
    if found is None and not blocks and not cut_off:
        found = _choose([_mended(_unfenced(text, dialect))], entry, dialect)
    return found or NoProgram(reason=_why_not(text, blocks, entry, cut_off))


def _empty(cut_off: bool) -> str:
    if cut_off:
        return (
            "The reply was cut off before it said anything. Raise max_tokens: a model that thinks "
            "first needs room for both."
        )
    return "The reply was empty."


def cleaned(reply: str) -> str:
    """A reply as plain text with the model's thinking taken out, unless there is nothing else."""
    text = reply.encode("utf-8", "replace").decode("utf-8")
    text = text.replace("\r\n", "\n").replace("\r", "\n").translate(_INVISIBLE)
    # Some servers swallow the opening tag, others the closing one. What ends with a closing tag is
    # thinking from the opening one on, or altogether; an opening one that nothing closes is noise.
    *thoughts, last = _THOUGHT_END.split(text)
    before = (_THOUGHT_BEGIN.split(t, maxsplit=1) for t in thoughts)
    said = "\n".join([*(b[0] for b in before if len(b) > 1), _THOUGHT_BEGIN.sub("\n", last)])
    return said if said.strip() else _THOUGHT_END.sub("\n", _THOUGHT_BEGIN.sub("\n", text))


def prose(reply: str) -> str:
    """What a reply says outside its fenced blocks, without the model's thinking."""
    said: list[str] = []
    marks: str | None = None
    for line in cleaned(reply[:LONGEST_REPLY]).split("\n"):
        fence = _FENCE.fullmatch(line.rstrip())
        if marks is None:
            if fence:
                marks = fence["marks"]
            else:
                said.append(line)
        elif fence and fence["marks"].startswith(marks) and not fence["info"].strip():
            marks = None
    return "\n".join(said)


def holds_block(reply: str) -> bool:
    """Whether there is a fenced block in a reply, whole or not."""
    return bool(_blocks(cleaned(reply[:LONGEST_REPLY])))


def _blocks(text: str) -> list[_Block]:
    """The fenced blocks of `text`; the last may lack its closing fence."""
    blocks: list[_Block] = []
    lines: list[str] | None = None
    marks = ""
    for line in text.split("\n"):
        fence = _FENCE.fullmatch(line.rstrip())
        if lines is None:
            if fence:
                lines, marks = [], fence["marks"]
        elif fence and fence["marks"].startswith(marks):
            blocks.append(_Block(text="\n".join(lines), closed=True))
            # A fence with a language begins the next block, where a model forgot to end this one.
            lines = [] if fence["info"].strip() else None
        else:
            lines.append(line)
    if lines is not None:
        blocks.append(_Block(text="\n".join(lines), closed=False))
    return blocks


def _mended(text: str) -> str:
    """`text` with entities of HTML undone, when it is clear that it was escaped as a whole.

    >>> _mended("#include &lt;cmath&gt;").strip()
    '#include <cmath>'
    """
    escaped = _ENTITY.search(text) is not None and re.search(r"[<>]", text) is None
    return (html.unescape(text) if escaped else text).strip("\n") + "\n"


def _unfenced(text: str, dialect: Dialect) -> str:
    """The part of a reply without fences that looks like a program."""
    begin = _C_BEGIN if dialect == "c" else _PYTHON_BEGIN
    lines = text.split("\n")
    first = next((i for i, line in enumerate(lines) if begin.match(line)), 0)
    lines = lines[first:]
    if dialect == "c":
        last = max((i for i, line in enumerate(lines) if "}" in line), default=len(lines) - 1)
        return "\n".join(lines[: last + 1])
    while lines and not _PYTHON_LINE.match(lines[-1]):
        lines.pop()
    return "\n".join(lines)


def _choose(texts: list[str], entry: str, dialect: Dialect) -> Program | None:
    outlines = [(text, definitions(text, dialect)) for text in texts]
    for text, defined in reversed(outlines):
        if any(d.name == entry for d in defined):
            return Program(text=text, entry=entry)
    single = [(t, [d.name for d in defined if d.public]) for t, defined in outlines]
    single = [(t, names) for t, names in single if names]
    if len(single) == 1 and len(single[0][1]) == 1:
        return Program(text=single[0][0], entry=single[0][1][0])
    return None


def _why_not(text: str, blocks: list[_Block], entry: str, cut_off: bool) -> str:
    if cut_off:
        return "The reply was cut off before its program ended. Raise max_tokens."
    begin = " ".join(text.split())[:100]
    if not blocks:
        return f"The reply holds no program that defines {entry!r}. It begins: {begin!r}"
    count = "a block of code" if len(blocks) == 1 else f"{len(blocks)} blocks of code"
    return f"The reply has {count}, and none defines {entry!r}. It begins: {begin!r}"
