"""A run's parts as fakes: a whole `optimize` in milliseconds, with no torch and no compiler."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from kernelwright.core.candidate import Candidate
from kernelwright.core.cut import Cut
from kernelwright.core.evaluation import Evaluation
from kernelwright.core.problem import Problem, Source
from kernelwright.core.protocols import Evaluator, Store, Writer
from kernelwright.core.record import Record
from kernelwright.core.run import RunSpec
from kernelwright.knowledge.lessons.lesson import Lesson
from kernelwright.problems.admission import Admission
from kernelwright.run.equipment import Equipment
from kernelwright.run.folder import RunFolder
from kernelwright.run.patience import Retries
from kernelwright.testing.evaluators import NumberWriter, ScriptedEvaluator, row_problem


@dataclass(kw_only=True)
class FakeEquip:
    """An `Equip` over a `NumberWriter` and a `ScriptedEvaluator`.

    `opened` has the origins that it was asked for; `closed` counts how often it was taken down. The
    library has `library` kernels for the problem, which `writer` hands out too; `remarks` are said.
    The problem is cut as `cut` says, and writers make use of `heeded`.
    Writers that `writers` makes for the run's store and folder stand in for `writer`, by name.
    """

    writer: Writer = field(default_factory=NumberWriter)
    writers: Callable[[Store, RunFolder], Mapping[str, Writer]] = lambda _store, _folder: {}
    evaluator: Evaluator = field(default_factory=ScriptedEvaluator)
    opened: list[str | Source] = field(default_factory=list)
    closed: int = 0
    library: int = 0
    remarks: tuple[str, ...] = ()
    cut: Callable[[], Cut] | None = None
    heeded: tuple[Lesson, ...] = ()

    @contextmanager
    def __call__(
        self, spec: RunSpec, origin: str | Source, known: Problem | None
    ) -> Iterator[Equipment]:
        """The parts; every writer of `spec`, and the tuner, is `writer`."""
        self.opened.append(origin)
        try:
            yield Equipment(
                problem=known or row_problem(),
                evaluator=self.evaluator,
                admit=_admitted,
                writers=lambda store, folder: {
                    **dict.fromkeys((*spec.writers, "tuner"), self.writer),
                    **self.writers(store, folder),
                },
                deliver=_deliver,
                retries=Retries(pause_s=0.0),
                library_drafts=lambda _language: self.library,
                remarks=self.remarks,
                cut=self.cut,
                heeded=lambda: self.heeded,
            )
        finally:
            self.closed += 1


def _admitted() -> Record:
    return Admission(problem_id=row_problem().id, mutants=())


def _deliver(folder: RunFolder, candidate: Candidate, _evaluation: Evaluation) -> tuple[Path, ...]:
    return (folder.write("best.cpp", candidate.source.text),)
