"""What searches of one problem are compared on: live with a judge, or in a recorded pool."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from kernelwright.compare.pool import Pool, PooledDraft
from kernelwright.core import names
from kernelwright.core.candidate import Candidate
from kernelwright.core.cards import only_card
from kernelwright.core.errors import WorkerError
from kernelwright.core.evaluation import Effort, Environment, Evaluation
from kernelwright.core.problem import Problem
from kernelwright.core.protocols import Evaluator, Store, Writer
from kernelwright.core.run import RunSpec
from kernelwright.core.statistics import score
from kernelwright.evaluate.environment import environment
from kernelwright.evaluate.judge import Judge
from kernelwright.generate.listed_writer import SketchWriter
from kernelwright.knowledge import actions
from kernelwright.knowledge.lessons.applying import Advised, fitting
from kernelwright.knowledge.lessons.lesson import Lesson
from kernelwright.knowledge.sketches.drafts import Covered, NotCovered
from kernelwright.library.records import device_name
from kernelwright.problems.reference import Reference
from kernelwright.run.equipment import drafters, furnished, library_of
from kernelwright.run.folder import RunFolder
from kernelwright.run.lessons import not_drawn_from
from kernelwright.run.spec import SKETCH, TUNER, device_of
from kernelwright.search.drafting import Drafter

POOLED_JUDGE = "pool"

# The ground of one problem, for searches that are told some lessons. One that was drawn from this
# very problem is left out: it would have the answer.
Told = Callable[[Sequence[Lesson]], "Ground"]


@dataclass(frozen=True, kw_only=True)
class Ground:
    """One problem, its writers, and who judges them. `origin` is where the problem was read.

    `worth` is the speedup of a candidate over the best baseline by a verdict that no search sees,
    so that a lucky figure helps nobody; None when it did not pass. `told` are the lessons of which
    its writers make use.
    """

    name: str
    origin: str
    problem: Problem
    environment: Environment
    drafters: tuple[Drafter, ...]
    writers: Callable[[Store], Mapping[str, Writer]]
    evaluator: Evaluator
    worth: Callable[[Candidate], Awaitable[float | None]]
    languages: tuple[str, ...]
    told: tuple[Lesson, ...] = ()


@dataclass(frozen=True)
class PooledEvaluator:
    """Answers with the verdict that a pool has; implements `core.protocols.Evaluator`."""

    pool: Pool

    async def evaluate(self, candidate: Candidate, effort: Effort) -> Evaluation:
        """What was recorded.

        Raises:
            WorkerError: the candidate is not in the pool, which no writer of a pool's ground makes.
        """
        verdict = self.pool.seen.get(candidate.id)
        if verdict is None:
            raise WorkerError(f"The candidate {candidate.id} is not in the pool.")
        return Evaluation(
            candidate_id=candidate.id,
            effort=effort,
            outcome=verdict.outcome,
            environment=self.pool.head.environment,
            evaluator=POOLED_JUDGE,
            lane=candidate.lane,
            isolation="process",
            stage_s=verdict.stage_s,
        )


def pooled(name: str, pool: Pool, lessons: Sequence[Lesson] = ()) -> Ground:
    """The ground that is a pool: its sketch writer has the pool's drafts, as `lessons` advise, and
    the tuner their settings. See `Told`."""
    device = device_name(pool.head.environment)
    fair = not_drawn_from(pool.head.problem, lessons)
    advised = {
        language: Advised.of(covered, fitting(fair, language, device))
        for language, covered in _drafts_by_language(pool).items()
    }
    found = {language: each.covered for language, each in advised.items()}

    def sketches(language: str) -> Covered | NotCovered:
        return found.get(language) or NotCovered(reason=f"The pool has no draft in {language}.")

    def carrying(action: str, language: str) -> Covered | NotCovered:
        drafts = sketches(language)
        made = drafts.made_by(actions.sketches_of(action)) if isinstance(drafts, Covered) else None
        return made or NotCovered(reason=f"The pool has no draft that carries out {action!r}.")

    async def worth(candidate: Candidate) -> float | None:
        return pool.worth(candidate)

    languages = tuple(found)
    spec = RunSpec(problem=pool.head.origin, writers=(SKETCH,), languages=languages)
    writers = {
        SKETCH: SketchWriter(drafts=sketches, carrying=carrying),
        TUNER: names.load("writer", TUNER)(),
    }
    return Ground(
        name=name,
        origin=pool.head.origin,
        problem=pool.head.problem,
        environment=pool.head.environment,
        drafters=drafters(spec, frozenset(), lambda _language: 0, sketches),
        writers=lambda _store: writers,
        evaluator=PooledEvaluator(pool),
        worth=worth,
        languages=languages,
        told=tuple(lesson for each in advised.values() for lesson in each.heeded),
    )


def _drafts_by_language(pool: Pool) -> Mapping[str, Covered]:
    made: dict[str, list[PooledDraft]] = {}
    for draft in pool.head.drafts:
        made.setdefault(draft.candidate.language, []).append(draft)
    return {
        language: Covered(
            candidates=tuple(draft.candidate for draft in theirs),
            sketches=tuple(draft.sketch for draft in theirs),
        )
        for language, theirs in made.items()
    }


@contextmanager
def live(name: str, spec: RunSpec, folder: RunFolder) -> Iterator[Told]:
    """The ground that is this machine: the writers of `spec`, which is complete, and two judges,
    one for the searches and one for what they chose. What a writer is told has nothing of the
    problem itself.

    Raises:
        UsageError: the problem or this machine does not allow it.
    """
    device = device_of(spec)
    spec = spec.model_copy(update={"decontaminate": True})
    with only_card(spec.device), Reference.open(spec.problem, device=device) as reference:
        problem = reference.load()
        isolation = spec.require_isolation
        with (
            Judge(problem, reference, device=device, require_isolation=isolation) as judge,
            Judge(problem, reference, device=device, require_isolation=isolation) as second,
        ):
            library = library_of(spec)
            here = environment(device)

            async def worth(candidate: Candidate) -> float | None:
                return score((await second.evaluate(candidate, "search")).outcome)

            def told(lessons: Sequence[Lesson]) -> Ground:
                parts = furnished(
                    spec, problem, reference, judge, library,
                    here=here, lessons=lessons,
                )  # fmt: skip
                theirs = drafters(spec, frozenset(), parts.library_drafts, parts.sketches)
                return Ground(
                    name=name,
                    origin=spec.problem,
                    problem=problem,
                    environment=here,
                    drafters=theirs,
                    writers=lambda store: parts.writers(store, folder),
                    evaluator=judge,
                    worth=worth,
                    languages=spec.languages,
                    told=parts.heeded(),
                )

            yield told
