"""What `seeded_bugs` stores and shows: rates per class, what found the bugs, and who got away."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from kernelwright.seeding.bug import CLASSES

EXAMINED = Path(__file__).with_name("seeded_bugs_examined.json")
FULL_SIZE = "index_overflow_32"
Row = dict[str, Any]


def explained(rows: Iterable[Row]) -> list[Row]:
    """The rows with what examination by hand said about those that were not detected."""
    said: dict[str, Row] = {}
    for group in json.loads(EXAMINED.read_text(encoding="utf-8")):
        for which in group["bugs"]:
            said[which] = {"verdict": group["verdict"], "reason": group["reason"]}
    found = []
    for row in rows:
        known = said.get(f"{row['problem']}, {row['summary']}")
        if row["verdict"] == "missed" and known:
            row = row | known
        found.append(row)
    return found


def table(rows: Sequence[Row]) -> list[Row]:
    """Per class: seeded, not compiled, equivalent, detected, missed, and the rate."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        counts[row["class"]][row["verdict"]] += 1
    found = []
    for kind in CLASSES:
        if kind in counts:
            seen = counts[kind]
            real = seen["detected"] + seen["missed"]
            found.append(
                {
                    "class": kind,
                    "seeded": sum(seen.values()),
                    **{v: seen[v] for v in ("not_compiled", "equivalent", "detected", "missed")},
                    "rate": round(seen["detected"] / real, 4) if real else None,
                }
            )
    return found


def report(rows: Sequence[Row], took_s: float) -> Row:
    """Everything that is stored: totals, the table, how bugs were found, and every bug."""
    scaled = [row for row in rows if row["class"] != FULL_SIZE]
    return {
        "bugs": len(rows),
        "problems": len({row["problem"] for row in rows}),
        "rate": _rate(scaled),
        "rate_with_full_size": _rate(rows),
        "wall_s": round(took_s, 1),
        "classes": table(rows),
        "found_by": dict(Counter(row["by"] for row in rows if row["by"]).most_common()),
        "rows": list(rows),
    }


def _rate(rows: Iterable[Row]) -> float | None:
    counted = Counter(row["verdict"] for row in rows)
    real = counted["detected"] + counted["missed"]
    return round(counted["detected"] / real, 4) if real else None


def markdown(said: Row) -> str:
    """The report for people."""
    lines = [
        "# Seeded bugs",
        "",
        f"{said['bugs']} transcription bugs, seeded by rule into a correct C++ kernel of each of "
        f"{said['problems']} built-in problems, judged as a search and then a promotion would, "
        "without timing.",
        "",
        f"Detected: **{_percent(said['rate'])}** of those that change what the kernel does at any "
        "size that can be tested, and "
        f"{_percent(said['rate_with_full_size'])} when 32-bit index overflow is counted at its "
        "full size, where it takes more than 2^31 elements to show.",
        "",
        "| class | seeded | not compiled | equivalent | detected | missed | rate |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in said["classes"]:
        cells = [CLASSES[row["class"]], row["seeded"], row["not_compiled"], row["equivalent"]]
        cells += [row["detected"], row["missed"], _percent(row["rate"])]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    lines += ["", "## What found them", "", "| stage and kind | bugs |", "|---|---|"]
    lines += [f"| {by} | {count} |" for by, count in said["found_by"].items()]
    for verdict, title in (("missed", "Missed"), ("equivalent", "Equivalent: no bug at all")):
        lines += ["", f"## {title}", "", *_listed(said["rows"], verdict)]
    return "\n".join(lines) + "\n"


def _listed(rows: Sequence[Row], verdict: str) -> list[str]:
    reasons: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        if row["verdict"] == verdict:
            why = row.get("reason", "Not examined yet.")
            reasons[why].append(f"{row['problem']} ({CLASSES[row['class']]}), {row['summary']}")
    lines = []
    for why, which in sorted(reasons.items()):
        lines += [f"{why[0].upper()}{why[1:].rstrip('.')}:", "", *(f"- {w}" for w in which), ""]
    return lines or ["None.", ""]


def _percent(share: float | None) -> str:
    return "not measured" if share is None else f"{100 * share:.1f}%"
