"""What NVIDIA's compute-sanitizer writes, read as text that a candidate may have had a hand in.

Its library runs in the candidate's process, which also inherits the file that the report goes to.
So a line counts only where it is of a known kind, a report without its last line is no clean one,
and what is shown are few characters, and plain ones. Of what was written after hidden workloads
were seen no words are shown that a candidate could choose.

What a finding says of threads, blocks, addresses and sizes of allocations is left out in any case:
the tool may report later than it finds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Tool = Literal["memcheck", "racecheck", "initcheck", "synccheck"]

_MARK = "========="
_BANNER = "COMPUTE-SANITIZER"
# How a finding of each tool begins, by the manual's examples. A warning of racecheck is a race
# within a warp, which the manual calls possibly intended.
_FINDINGS: dict[Tool, re.Pattern[str]] = {
    "memcheck": re.compile(r"Invalid __\w+__ |Malloc/Free error encountered"),
    "racecheck": re.compile(r"Error: Race reported between |Potential invalid __shared__ "),
    "initcheck": re.compile(r"Uninitialized __global__ memory read "),
    "synccheck": re.compile(r"Barrier error detected|Warpgroup MMA sequence error detected"),
}
_SUMMARY = re.compile(
    r"ERROR SUMMARY: ([\d,]+) errors?"
    r"|RACECHECK SUMMARY: [\d,]+ hazards? displayed \(([\d,]+) errors?, [\d,]+ warnings?\)"
)
_SAYS_NOTHING = re.compile(r"ERROR SUMMARY: .* not printed|Warning: Race reported between ")
# After which the tool itself says that it may be wrong.
_DOUBTS = re.compile(r"Results might be incorrect|Internal Sanitizer ")
_PLACE = re.compile(r"at |and \w+ access at |Device Frame: ?")
_HOW_MANY = re.compile(r" \[[\d,]+ hazards?\]")
_FILE = re.compile(r" in (\S+):\d+$")
# What it says of itself in words that leave nobody room for others.
_OWN_WORDS = frozenset(
    {
        "Error: process didn't terminate successfully",
        "Target application returned an error",
        "Error: Target application terminated before first instrumented API call",
        "Error: No attachable process found. compute-sanitizer timed-out.",
        "Error: Device not supported",
    }
)
_NOT_SHOWN = "that is not shown, since hidden workloads were seen by then"
_SHOWN_CHARACTERS, _SHOWN_PLACES = 200, 6


@dataclass(frozen=True)
class Finding:
    """One error: its kind, the places in the device's code that have to do with it, and whether
    these may be shown."""

    kind: str
    places: tuple[str, ...]
    shown: bool = True

    @property
    def files(self) -> frozenset[str]:
        """The names of the source files of those places, where the build knows them."""
        found = (_FILE.search(text) for text in (self.kind, *self.places))
        return frozenset(match[1] for match in found if match)

    def __str__(self) -> str:
        if not self.shown:
            return f"an error {_NOT_SHOWN}"
        return "\n    ".join((self.kind, *self.places[:_SHOWN_PLACES]))


@dataclass(frozen=True)
class Report:
    """What one tool wrote about one life.

    `complaints` are what it says of itself, or what is not known here; `doubted` says that after
    one of them findings are not to be relied on. `errors` is its own count of them at the end, None
    when the report has none.
    """

    findings: tuple[Finding, ...]
    complaints: tuple[str, ...]
    errors: int | None
    doubted: bool


def read(text: str, tool: Tool, shown: int | None = None) -> Report:
    """The report of `tool`, as it stands in `text`, of which no more than the first `shown`
    characters may be shown."""
    findings: list[Finding] = []
    complaints: list[str] = []
    counts: list[int] = []
    doubted = False
    for paragraph in _paragraphs(text, len(text) if shown is None else shown):
        head = paragraph.lines[0]
        if summary := _SUMMARY.fullmatch(head):
            counts.append(int((summary[1] or summary[2]).replace(",", "")))
        elif _FINDINGS[tool].match(head):
            places = tuple(_plain(line) for line in paragraph.lines[1:] if _PLACE.match(line))
            findings.append(Finding(_plain(head), places, paragraph.shown))
        elif head != _BANNER and not _SAYS_NOTHING.match(head):
            shows = paragraph.shown or head in _OWN_WORDS
            complaints.append(_plain(head) if shows else f"something {_NOT_SHOWN}")
            doubted |= bool(_DOUBTS.search(head))
    return Report(tuple(findings), tuple(complaints), max(counts, default=None), doubted)


@dataclass(frozen=True)
class _Paragraph:
    lines: list[str]
    shown: bool


def _paragraphs(text: str, shown: int) -> list[_Paragraph]:
    """The tool's lines, each that is indented with the one that it belongs to."""
    found: list[_Paragraph] = []
    end = 0
    for line in text.splitlines(keepends=True):
        end += len(line)
        said = line.removeprefix(_MARK)
        if said == line or not said.strip():
            continue
        if said.startswith("  ") and found and found[-1].shown == (end <= shown):
            found[-1].lines.append(said.strip())
        else:
            found.append(_Paragraph([said.strip()], end <= shown))
    return found


def _plain(line: str) -> str:
    """`line` without how many hazards there are, and without what could hide in it."""
    plain = re.sub(r"[^ -~]", "?", _HOW_MANY.sub("", line))
    return plain if len(plain) <= _SHOWN_CHARACTERS else plain[: _SHOWN_CHARACTERS - 1] + "…"
