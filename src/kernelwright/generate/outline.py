"""What a program defines, read from its text without running or compiling it.

Good enough to find a function by name in what a model wrote, broken programs included; the
compiler has the last word. Time is linear in the length of the text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Dialect = Literal["c", "python"]

_C_SUFFIXES = (".c", ".cc", ".cpp", ".cu", ".cuh", ".h", ".hip", ".metal")
_NOISE = re.compile(
    r"""
    //[^\n]*                       # a comment
    | /\*.*?(?:\*/|\Z)             # another
    | ^[ \t]*\#(?:\\\n|[^\n])*     # a preprocessor line, continued ones as well
    | "C"(?=\s*\{|\s+\w)           # kept: it is what we look for
    | "(?:\\.|[^"\\\n])*"          # a string
    | '(?:\\.|[^'\\\n])*'          # a character
    """,
    re.VERBOSE | re.DOTALL | re.MULTILINE,
)
_BRACE = re.compile(r"[{};]")
_LINKAGE = re.compile(r'extern\s*"C"')
# Not by a parser of Python: a text can be made to crash that, and this process with it.
_PYTHON_NAME = re.compile(
    r"^(?:class[ \t]+|(?:async[ \t]+)?def[ \t]+|(?=\w+[ \t]*=[^=]))(?P<name>\w+)"
    r"(?:[ \t]*\((?P<bases>[^()\n]*)\)[ \t]*:)?",
    re.MULTILINE,
)


@dataclass(frozen=True, kw_only=True)
class Definition:
    """A function or class at the top level. `public` is ``extern "C"``, or a class of Python."""

    name: str
    public: bool


def dialect_of(file: str) -> Dialect:
    """How to read `file`, by the end of its name."""
    return "c" if file.endswith(_C_SUFFIXES) else "python"


def definitions(text: str, dialect: Dialect) -> list[Definition]:
    """What `text` defines at its top level, in order."""
    return _c_functions(text) if dialect == "c" else _python_names(text)


def _c_functions(text: str) -> list[Definition]:
    """Functions with a body, by following the braces.

    >>> _c_functions('extern "C" { void f(int n) { if (n) { } } } static int g() { return 1; }')
    [Definition(name='f', public=True), Definition(name='g', public=False)]
    """
    code = _NOISE.sub(lambda m: m[0] if m[0] == '"C"' else " ", text)
    found: list[Definition] = []
    depth, head_start, linkage_depth = 0, 0, 0
    for brace in _BRACE.finditer(code):
        head = code[head_start : brace.start()]
        # Inside a function nothing is looked at, so the heads together are no longer than the text.
        if brace[0] == "{":
            if depth == 0 and _LINKAGE.fullmatch(head.strip()):
                linkage_depth += 1
            else:
                name = _function_name(head) if depth == 0 else None
                if name is not None:
                    public = linkage_depth > 0 or _LINKAGE.search(head) is not None
                    found.append(Definition(name=name, public=public))
                depth += 1
        elif brace[0] == "}":
            if depth == 0:
                linkage_depth = max(0, linkage_depth - 1)
            depth = max(0, depth - 1)
        head_start = brace.end()
    return found


def _function_name(head: str) -> str | None:
    """The name before the last top-level parentheses of what stands before a brace.

    >>> _function_name("__global__ void __launch_bounds__(256) f(float (*g)(int), int n)")
    'f'
    """
    close = head.rfind(")")
    depth = 0
    for at in range(close, -1, -1):
        depth += {")": 1, "(": -1}.get(head[at], 0)
        if depth == 0:
            named = re.search(r"(\w+)\s*$", head[max(0, at - 200) : at])
            return named[1] if named else None
    return None


def _python_names(text: str) -> list[Definition]:
    """Classes, functions and other names that are bound at the left margin.

    >>> _python_names("class ModelNew(nn.Module):\\n    pass\\ndef helper(): pass")
    [Definition(name='ModelNew', public=True), Definition(name='helper', public=False)]
    """
    return [
        Definition(name=found["name"], public="Module" in (found["bases"] or ""))
        for found in _PYTHON_NAME.finditer(text)
    ]
