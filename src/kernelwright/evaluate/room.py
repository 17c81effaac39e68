"""What the evaluations of one judge share, and what each of them gathers."""

from __future__ import annotations

import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from kernelwright.core.candidate import Lane
from kernelwright.core.evaluation import Agreement, Clock, Isolation
from kernelwright.core.problem import Problem
from kernelwright.evaluate.building.builder import Builder
from kernelwright.evaluate.building.compile_cache import CompileCache
from kernelwright.evaluate.building.headers import Headers
from kernelwright.evaluate.correctness.exam import Exam
from kernelwright.evaluate.defences import Defences
from kernelwright.evaluate.places import Places
from kernelwright.evaluate.running.bodies import write_setup
from kernelwright.evaluate.running.zygote import Zygote
from kernelwright.evaluate.timing.bench import Bench
from kernelwright.problems.reference import Device, Reference


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

    @classmethod
    def furnished(
        cls,
        problem: Problem,
        reference: Reference,
        device: Device,
        level: Isolation,
        defences: Defences,
    ) -> Room:
        """A room with nothing drawn, built or started yet; a folder is made for it."""
        folder = Path(tempfile.mkdtemp(prefix="kernelwright-"))
        setup, places = folder / "problem.json", Places.of(device)
        write_setup(problem, device, setup)
        return cls(
            problem=problem,
            device=device,
            level=level,
            defences=defences,
            folder=folder,
            setup=setup,
            places=places,
            builder=Builder(
                folder, level, cache=CompileCache.of_user(level), headers=Headers.of_user(level)
            ),
            zygote=Zygote(folder, gpu=device == "cuda"),
            exam=Exam(problem, reference, defences, device),
            bench=Bench(
                problem, reference, device=device, level=level, folder=folder, defences=defences,
                places=places,
            ),
        )  # fmt: skip


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
