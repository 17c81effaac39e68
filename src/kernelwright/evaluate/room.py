"""What the evaluations of one judge share, and what each of them gathers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from kernelwright.core.candidate import Lane
from kernelwright.core.evaluation import Agreement, Clock, Isolation
from kernelwright.core.problem import Problem
from kernelwright.evaluate.building.builder import Builder
from kernelwright.evaluate.correctness.exam import Exam
from kernelwright.evaluate.defences import Defences
from kernelwright.evaluate.places import Places
from kernelwright.evaluate.running.zygote import Zygote
from kernelwright.evaluate.timing.bench import Bench
from kernelwright.problems.reference import Device


@dataclass(frozen=True, kw_only=True)
class Room:
    """What a judge has ready for every candidate of its problem.

    `setup` is the file that modules are told the problem by, and lies in `folder`, the judge's own.
    Candidates take `places` side by side while they are verified, and in quiet to be timed.
    """

    problem: Problem
    device: Device
    level: Isolation
    defences: Defences
    folder: Path
    setup: Path
    places: Places
    builder: Builder
    zygote: Zygote
    exam: Exam
    bench: Bench


@dataclass
class Findings:
    """What an evaluation gathers on its way, whatever its outcome. Times are in seconds; `lane` is
    the one that it ran in."""

    lane: Lane
    stage_s: dict[str, float] = field(default_factory=dict)
    checks: Counter[str] = field(default_factory=Counter)
    not_checked: list[str] = field(default_factory=list)
    agreements: tuple[Agreement, ...] = ()
    clock: Clock | None = None
    log: str = ""
