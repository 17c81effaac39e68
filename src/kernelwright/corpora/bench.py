"""One problem's judge, and the programs that are put before it.

Programs of one problem share a judge and so its baselines, which take seconds to start. Each
program is still judged in processes of its own.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from kernelwright.core.errors import FaultError, UsageError
from kernelwright.core.evaluation import Isolation
from kernelwright.corpora.loading import Description, Program
from kernelwright.corpora.verdicts import FAULT, shown, words
from kernelwright.evaluate.defences import ALL_ON, Defences
from kernelwright.evaluate.judge import Judge
from kernelwright.languages.reading import candidate_from_file
from kernelwright.problems.reference import Device, Reference

_TRIES = 2  # a fault of ours may be the machine's mood; twice in a row it is the program's doing


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What became of one program: its verdict's words, and the same for a person to read.

    `why` holds what was said besides, such as where an output went wrong.
    """

    words: frozenset[str]
    verdict: str
    why: str
    wall_s: float

    def is_one_of(self, expected: tuple[str, ...]) -> bool:
        """Whether one of `expected` is what was said."""
        return bool(self.words & set(expected))


class Bench:
    """The judge of one problem; a context manager.

    Raises on entry:
        ProblemError: the problem cannot be read.
        Unavailable: the isolation that is required cannot be reached here.
    """

    def __init__(
        self,
        origin: str,
        *,
        device: Device = "cpu",
        require_isolation: Isolation = "process",
        defences: Defences = ALL_ON,
    ):
        self._reference = Reference.open(origin, device=device)
        try:
            self._problem = self._reference.load()
            self._judge = Judge(
                self._problem,
                self._reference,
                device=device,
                require_isolation=require_isolation,
                defences=defences,
            )
        except BaseException:
            self._reference.close()
            raise

    def judge(self, program: Program[Description]) -> Judged:
        """Judge `program`, once more when the first try ended in a fault of ours.

        Raises:
            Unavailable: its language cannot be built or run here.
        """
        start = time.monotonic()
        for left in reversed(range(_TRIES)):
            try:
                found, verdict, why = self._judge_once(program)
                break
            except FaultError as error:
                found, verdict, why = frozenset({FAULT}), FAULT, str(error)
                if not left:
                    break
        return Judged(
            words=found, verdict=verdict, why=why, wall_s=round(time.monotonic() - start, 2)
        )

    def _judge_once(self, program: Program[Description]) -> tuple[frozenset[str], str, str]:
        try:
            made = candidate_from_file(self._problem, program.path, program.spec.language)
        except UsageError as error:
            return frozenset({"rejected", "rejected:unreadable"}), "rejected:unreadable", str(error)
        made = made.model_copy(update={"build_options": program.spec.options})
        evaluation = self._judge.judge(made, program.spec.effort)
        return words(evaluation), shown(evaluation), evaluation.outcome.model_dump_json()[:2000]

    def close(self) -> None:
        """End the judge's processes and the reference's."""
        self._judge.close()
        self._reference.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
