"""Running deliberately wrong programs against the oracle: what the judge's cases must notice.

The wrong programs are made in `wrong_outputs` and `wrong_programs`, and what else is required in
`requirements`; what the result means is in `admission`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from kernelwright.core.errors import ProblemError
from kernelwright.core.problem import Problem, Workload
from kernelwright.problems.admission import Admission, Mutant
from kernelwright.problems.drawing import draw_values
from kernelwright.problems.gradient_mutants import gradient_mutants
from kernelwright.problems.oracle import Answer, Oracle
from kernelwright.problems.requirements import Use, margin, sensitivity, use, variation
from kernelwright.problems.scene import Make, NotApplicable, Scene
from kernelwright.problems.twins import Values
from kernelwright.problems.wrong_outputs import output_mutants
from kernelwright.problems.wrong_programs import program_mutants

# How much processor time mutants may take at the report size before the rest are only tried at
# other sizes.
_QUICK_S = 12.0
# Where to go on first with those that are left: an epsilon shows when all else is small.
_TELLING = ("file", "small", "large")
_COUNTS = ("report", "report_killed", "suite", "suite_killed")


@dataclass
class _Tally:
    name: str
    make: Make
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_COUNTS, 0))
    skipped: str | None = None

    def record(self) -> Mutant:
        report, suite = self.counts["report"], self.counts["suite"]
        dead = (report == 0 or self.counts["report_killed"] > 0) and (
            suite == 0 or self.counts["suite_killed"] > 0
        )
        if report + suite == 0:
            return Mutant(
                name=self.name, status="not_applicable", reason=self.skipped or "no case fits"
            )
        reason = (
            f"failed {self.counts['report_killed']} of {report} cases at the report size and "
            f"{self.counts['suite_killed']} of {suite} at others"
        )
        status = "killed" if dead else "survived"
        return Mutant.model_validate(
            {"name": self.name, "status": status, "reason": reason, **self.counts}
        )


def admit(
    oracle: Oracle,
    problem: Problem,
    distributions: Sequence[str],
    seed: int,
    *,
    thorough: bool = False,
) -> Admission:
    """Run every mutant on one case after another until it has failed: at the report size each under
    another distribution, at other sizes from the smallest on. Then look at what else is required.

    This takes a few seconds. With `thorough` no case is left out: every distribution at the report
    size, every other size, and the reference's own error under every distribution at every size.
    """
    course = _Course(oracle, problem, tuple(distributions), seed, thorough)
    first = course.scene(problem.report_workload, course.usual, seed)
    course.tallies = [_Tally(name=name, make=make) for name, make in _mutants(problem, first)]
    course.at_report_size(first)
    course.at_other_sizes()
    if thorough:
        course.at_every_draw()
    requirements = (*sensitivity(problem, first), *variation(problem, first.answer))
    return Admission(
        problem_id=problem.id,
        mutants=tuple(tally.record() for tally in course.tallies),
        requirements=(*requirements, margin(course.uses)),
    )


def _mutants(problem: Problem, scene: Scene) -> Iterator[tuple[str, Make]]:
    yield from output_mutants(problem)
    yield from program_mutants(problem, scene)
    yield from gradient_mutants(problem)


@dataclass
class _Course:
    """The cases that mutants are run on, one after another; `uses` says of each how much of its
    tolerance the reference itself used."""

    oracle: Oracle
    problem: Problem
    distributions: tuple[str, ...]
    seed: int
    thorough: bool
    tallies: list[_Tally] = field(default_factory=list)
    uses: list[Use] = field(default_factory=list)

    @property
    def usual(self) -> str:
        """Normal draws, or what comes nearest to them."""
        known = ("normal", *self.distributions, "file")
        return next(d for d in known if d in (*self.distributions, "file"))

    def scene(self, workload: Workload, distribution: str, seed: int) -> Scene:
        """A case from `seed`, another from the next one, and one that was before."""
        twins = self.oracle.twins(workload.constants)
        answer = self._answer(workload, distribution, seed)

        def drawn(like: str, seed: int) -> Values:
            return draw_values(twins, self.problem.inputs, workload, like, seed)

        other = drawn(answer.distribution, seed + 1)
        return Scene(
            twins=twins,
            specs=self.problem.inputs,
            answer=answer,
            other_values=other,
            other_outputs=twins.run(other),
            previous=twins.run(drawn("file", seed + 7)),
        )

    def _answer(self, workload: Workload, distribution: str, seed: int) -> Answer:
        answer = self.oracle.sound_answer(self.problem, workload, distribution, seed)
        self.uses.append(use(answer))
        return answer

    def at_report_size(self, first: Scene) -> None:
        """The first case is there; one of each other distribution follows, while there is need."""
        until = float("inf") if self.thorough else time.process_time() + _QUICK_S
        self._try_all(first, "report", until)
        known = [d for d in (*_TELLING, *self.distributions) if d in ("file", *self.distributions)]
        for turn, distribution in enumerate(d for d in dict.fromkeys(known) if d != self.usual):
            if time.process_time() > until or not self._needed("report"):
                break
            seed = self.seed + 2 + 2 * turn
            scene = self.scene(self.problem.report_workload, distribution, seed)
            self._try_all(scene, "report", until)

    def at_other_sizes(self) -> None:
        """From the smallest on."""
        for workload in sorted(self.problem.workloads, key=self.problem.traffic_bytes):
            if workload.split != "report" and self._alive("suite"):
                self._try_all(self.scene(workload, self.usual, self.seed), "suite", float("inf"))

    def at_every_draw(self) -> None:
        """The reference alone, under every distribution at every size, each from its own seed."""
        for turn, workload in enumerate(self.problem.workloads):
            for distribution in self.distributions:
                self._answer(workload, distribution, self.seed + turn)

    def _needed(self, where: str) -> bool:
        """Whether a mutant that could be tried has not failed yet."""
        return any(tally.counts[where] for tally in self._alive(where))

    def _alive(self, where: str) -> list[_Tally]:
        return [t for t in self.tallies if self.thorough or not t.counts[f"{where}_killed"]]

    def _try_all(self, scene: Scene, where: str, until: float) -> None:
        for tally in self._alive(where):
            if time.process_time() < until:
                _try(tally, scene, where)


def _try(tally: _Tally, scene: Scene, where: str) -> None:
    try:
        outputs = tally.make(scene)
    except NotApplicable as reason:
        tally.skipped = str(reason)
        return
    except ProblemError:
        # A program that raises is noticed without any comparison.
        return
    tally.counts[where] += 1
    tally.counts[f"{where}_killed"] += not scene.passes(outputs)
