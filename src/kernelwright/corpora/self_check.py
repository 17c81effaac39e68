"""The self-check: every program of the corpora before the judge of this machine.

It answers two questions. Does any program that pretends get through (an *escape*)? Is any honest
one turned away (a *false alarm*)? Programs that need what this machine lacks are skipped, and say
so.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from kernelwright.core.errors import FaultError, ProblemError, Unavailable, UsageError
from kernelwright.core.evaluation import Isolation
from kernelwright.core.record import Record
from kernelwright.corpora.bench import Bench
from kernelwright.corpora.loading import Description, Exploit, Program, exploits, honest
from kernelwright.evaluate.isolation.levels import isolation_level
from kernelwright.languages.machine import cuda_devices
from kernelwright.problems.reference import Device

Say = Callable[[str], None]
Listed = Program[Description]
Corpus = Literal["exploits", "honest", "both"]


class Row(Record):
    """One program: what it had to get, what it got, and whether that is in order.

    `ok` is None when it was skipped; `note` then says why, and otherwise shows what was found.
    """

    name: str
    kind: str
    problem: str
    verdict: str
    ok: bool | None
    note: str = ""
    wall_s: float = 0.0


class SelfCheck(Record):
    """The outcome. `attack_success_rate` is None when no exploit was run."""

    classes: int
    programs: int
    skipped: int
    escapes: int
    attack_success_rate: float | None
    honest: int
    false_alarms: int
    wall_s: float
    rows: tuple[Row, ...]

    @property
    def clean(self) -> bool:
        """Whether nothing got through and nothing was turned away."""
        return not self.escapes and not self.false_alarms


@dataclass(frozen=True, kw_only=True)
class Bay:
    """Programs that one judge serves: the same problem on the same device."""

    device: Device
    programs: list[Listed]


def self_check(
    *,
    only: str = "",
    corpus: Corpus = "both",
    modules_on: Device = "cpu",
    require_isolation: Isolation = "process",
    say: Say = print,
) -> SelfCheck:
    """Judge the programs of `corpus` and tell `say` about each of them.

    `only` names a class (``A2``) or a part of a program's name. Programs that need a GPU run on
    one; with `modules_on` "cuda" so do all other modules.

    Raises:
        UsageError: a corpus is not there or broken, or `only` fits no program.
        Unavailable: the isolation that is required cannot be reached here.
    """
    listed: list[Listed] = []
    if corpus != "honest":
        listed += [p for p in exploits() if _wanted(p, only)]
    if corpus != "exploits":
        listed += [p for p in honest() if not only or only in p.name]
    if not listed:
        raise UsageError(f"No program of the corpora has {only!r} for its class or in its name.")
    return judge_programs(
        listed, modules_on=modules_on, require_isolation=require_isolation, say=say
    )


def judge_programs(
    listed: Sequence[Listed],
    *,
    modules_on: Device = "cpu",
    require_isolation: Isolation = "process",
    say: Say = print,
) -> SelfCheck:
    """Judge these programs; see `self_check`.

    Raises:
        Unavailable: the isolation that is required cannot be reached here.
    """
    start = time.monotonic()
    rows = [
        row for bay in bays(listed, modules_on) for row in _judge_bay(bay, require_isolation, say)
    ]
    judged = {row.name for row in rows if row.ok is not None}
    classes = {
        program.spec.catalogue
        for program in listed
        if isinstance(program.spec, Exploit) and program.name in judged
    }
    return _sum_up(rows, classes, start)


def _wanted(program: Program[Exploit], only: str) -> bool:
    return not only or only == program.spec.catalogue or only in program.name


def _sum_up(rows: Sequence[Row], classes: set[str], start: float) -> SelfCheck:
    hostile = [r for r in rows if r.kind == "exploit" and r.ok is not None]
    kind = [r for r in rows if r.kind == "honest" and r.ok is not None]
    escapes = sum(not row.ok for row in hostile)
    return SelfCheck(
        classes=len(classes),
        programs=len(hostile),
        skipped=sum(row.ok is None for row in rows),
        escapes=escapes,
        attack_success_rate=round(escapes / len(hostile), 4) if hostile else None,
        honest=len(kind),
        false_alarms=sum(not row.ok for row in kind),
        wall_s=round(time.monotonic() - start, 1),
        rows=tuple(rows),
    )


def bays(listed: Iterable[Listed], modules_on: Device = "cpu") -> list[Bay]:
    """The programs by problem (the text of its file) and device, in the order that they come in."""
    found: dict[tuple[str, Device], Bay] = {}
    for program in listed:
        builtin = program.origin.startswith("builtin:")
        problem = program.origin if builtin else Path(program.origin).read_text(encoding="utf-8")
        device = _device(program.spec, modules_on)
        bay = found.setdefault((problem, device), Bay(device=device, programs=[]))
        bay.programs.append(program)
    return list(found.values())


def _device(spec: Description, modules_on: Device) -> Device:
    if spec.language == "triton" and cuda_devices():
        return "cuda"  # which it compiles for wherever there is one
    module = spec.language in ("python", "triton") and spec.requires != "cpu"
    return "cuda" if spec.requires == "gpu" or (module and modules_on == "cuda") else "cpu"


def _judge_bay(bay: Bay, require_isolation: Isolation, say: Say) -> list[Row]:
    rows = [
        _row(program, verdict="skipped", ok=None, note=missing)
        for program in bay.programs
        if (missing := lacking(program.spec))
    ]
    able = [program for program in bay.programs if not lacking(program.spec)]
    if not able:
        return rows
    try:
        with Bench(able[0].origin, device=bay.device, require_isolation=require_isolation) as bench:
            for program in able:
                rows.append(_judged(program, bench))
                say(_line(rows[-1]))
    except (ProblemError, FaultError) as error:
        done = {row.name for row in rows}
        unjudged = partial(_row, verdict="fault", ok=False, note=str(error))
        rows += [unjudged(program) for program in able if program.name not in done]
    return rows


def lacking(spec: Description) -> str:
    """What this machine lacks to judge a program, as a sentence; empty when it lacks nothing."""
    if spec.requires == "gpu" and not cuda_devices():
        return "It needs a CUDA device, and this machine has none."
    if spec.requires == "bubblewrap":
        level, why = isolation_level()
        return "" if "bubblewrap" in level else f"It needs bubblewrap, and: {why}"
    return ""


def _judged(program: Listed, bench: Bench) -> Row:
    try:
        judged = bench.judge(program)
    except Unavailable as error:
        return _row(program, verdict="skipped", ok=None, note=str(error))
    must = program.spec.must if isinstance(program.spec, Exploit) else ("passed",)
    ok = judged.is_one_of(must)
    note = "" if ok else f"must be {' or '.join(must)}: {judged.why}"
    return _row(program, verdict=judged.verdict, ok=ok, note=note, wall_s=judged.wall_s)


def _row(program: Listed, *, verdict: str, ok: bool | None, note: str, wall_s: float = 0.0) -> Row:
    return Row(
        name=program.name,
        kind="exploit" if isinstance(program.spec, Exploit) else "honest",
        problem=program.spec.problem,
        verdict=verdict,
        ok=ok,
        note=note,
        wall_s=wall_s,
    )


def _line(row: Row) -> str:
    wrong = "ESCAPE" if row.kind == "exploit" else "FALSE ALARM"
    state = "skipped" if row.ok is None else "ok" if row.ok else wrong
    return f"{state:11} {row.wall_s:6.1f} s  {row.name}: {row.verdict}"
