"""Tunables as they stand in a candidate's text: one comment line each.

``// tunable: TILE = 64 in {16, 64, 256}``, with ``#`` for Python. Writers, the command line and the
delivered file all speak this form.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable

from kernelwright.core.candidate import Candidate, Tunable
from kernelwright.core.errors import BuildRefused, UsageError

MAX_CHOICES = 64
# No pattern here may match newlines or back up over a long match: the text may be hostile, and
# a search that takes the square of its length would hang us.
_LINE = re.compile(r"^[ \t]*(?://|#)[ \t]*tunable[ \t]*:(.*)$", re.MULTILINE | re.IGNORECASE)
_FORM = re.compile(r"([A-Za-z_]\w*)\s*=\s*([-+]?\d{1,10})\s+in\s*[{(\[](.*)[})\]]\.?")
_LIMIT = 2**31 - 1


def parse_tunables(text: str) -> tuple[Tunable, ...]:
    """The tunables that `text` declares, in order, with their choices sorted.

    >>> parse_tunables("// tunable: TILE = 64 in {16, 64, 256}")
    (Tunable(name='TILE', choices=(16, 64, 256), default=64),)

    Raises:
        UsageError: a line that begins as a declaration is none, or a name is declared twice.
    """
    found: dict[str, Tunable] = {}
    for line in _LINE.findall(text):
        tunable = _tunable(line)
        if tunable.name in found:
            raise UsageError(
                f"The tunable {tunable.name} is declared twice. Keep one of the lines."
            )
        found[tunable.name] = tunable
    return tuple(found.values())


def _tunable(line: str) -> Tunable:
    line = line.strip()
    shown = textwrap.shorten(line, 100)
    wanted = "Write it as `tunable: NAME = 64 in {16, 64, 256}`, the name in capitals"
    match = _FORM.fullmatch(line)
    if match is None or not re.fullmatch(r"[A-Z][A-Z0-9_]*", match[1]):
        raise UsageError(f"`tunable: {shown}` is not a declaration. {wanted}.")
    listed = [item.strip() for item in match[3].split(",") if item.strip()]
    if not listed or not all(re.fullmatch(r"[-+]?\d{1,10}", item) for item in listed):
        raise UsageError(f"`tunable: {shown}` lists something else than integers. {wanted}.")
    choices = tuple(sorted({int(item) for item in listed}))
    default = int(match[2])
    if default not in choices:
        raise UsageError(f"`tunable: {shown}`: {default} is not one of its own choices. Add it.")
    if len(choices) > MAX_CHOICES or max(map(abs, choices)) > _LIMIT:
        raise UsageError(
            f"The tunable {match[1]} has too many or too large choices: at most {MAX_CHOICES}, "
            "each within 32 bits."
        )
    return Tunable(name=match[1], choices=choices, default=default)


def settled_text(candidate: Candidate) -> str:
    """The candidate's main text with its tunables declared at the values it has now.

    Reading that text back gives a candidate that behaves the same. Existing declarations are
    replaced where they stand; one that is missing is added at the top. Constants of a Python
    module are set too.

    Raises:
        BuildRefused: a Python module without the constant; it could not have been built.
    """
    text, mark = candidate.source.text, "#" if candidate.lane == "module" else "//"
    lines = {t.name: _declared(t, candidate.values[t.name], mark) for t in candidate.tunables}
    declared = {t.name for t in parse_tunables(text)}
    text = _LINE.sub(lambda m: lines.get(_tunable(m[1]).name, m[0]), text)
    missing = [line for name, line in lines.items() if name not in declared]
    text = "\n".join([*missing, text])
    return with_constants(text, candidate.values) if candidate.lane == "module" else text


def _declared(tunable: Tunable, value: int, mark: str) -> str:
    choices = sorted({*tunable.choices, value})
    return f"{mark} tunable: {tunable.name} = {value} in {{{', '.join(map(str, choices))}}}"


def check_macros(candidate: Candidate, parameters: Iterable[str]) -> None:
    """Refuse tunables that, as macros, would change what the shim or the candidate says.

    Raises:
        BuildRefused: naming the tunable.
    """
    taken = set(parameters)
    for tunable in candidate.tunables:
        if tunable.name in taken:
            raise BuildRefused(
                f"The tunable {tunable.name} has the name of a parameter. Rename the tunable."
            )
        if _defines(candidate.source.text, tunable.name):
            raise BuildRefused(
                f"The tunable {tunable.name} is defined in the text as well, so the tuner could "
                "not set it. Remove that definition; the build defines it."
            )


def _defines(text: str, name: str) -> bool:
    """Whether `text` itself gives `name` a value, other than as a macro guarded by ``#ifndef``.

    >>> _defines("constexpr int TILE = 64;", "TILE"), _defines("int n = TILE;", "TILE")
    (True, False)
    """
    if re.search(rf"^[ \t]*#[ \t]*ifndef[ \t]+{name}\b", text, re.MULTILINE):
        return False
    macro = rf"^[ \t]*#[ \t]*define[ \t]+{name}\b"
    constant = rf"\b(?:int|int64_t|int32_t|size_t|long|unsigned|auto)\s+{name}\s*="
    return re.search(rf"{macro}|{constant}", text, re.MULTILINE) is not None


def with_constants(text: str, values: dict[str, int]) -> str:
    """Python `text` with each module-level ``NAME = number`` set to the value of that name.

    >>> with_constants("BLOCK = 1024  # elements", {"BLOCK": 256})
    'BLOCK = 256  # elements'

    Raises:
        BuildRefused: a name has no such line, so setting it would change nothing.
    """
    for name, value in values.items():
        annotation = r"(?::[ \t]*[\w.\[\]]+[ \t]*)?"
        pattern = rf"^({name}[ \t]*{annotation}=[ \t]*)[-+]?\d[\d_]*(?=[ \t]*(?:#|$))"
        text, count = re.subn(pattern, rf"\g<1>{value}", text, flags=re.MULTILINE)
        if count == 0:
            raise BuildRefused(
                f"The tunable {name} has no line `{name} = {value}` at the left margin, so setting "
                "it would change nothing. Add that line and use the constant."
            )
    return text
