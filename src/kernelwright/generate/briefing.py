"""What whoever writes a program is told of a plan: the problem, the guide, parents and verdicts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from kernelwright.core.candidate import Candidate, Plan
from kernelwright.core.evaluation import Passed
from kernelwright.core.problem import Problem
from kernelwright.core.protocols import Assignment, Example, Language, Passage
from kernelwright.core.run import Attempt
from kernelwright.generate.features import words
from kernelwright.generate.feedback import diagnosis
from kernelwright.generate.prompting import Shown, draft_prompt, refine_prompt


def no_page(_action: str, _language: str) -> str | None:
    """Nothing to tell of an action."""
    return None


def no_examples(_language: str) -> Sequence[Example]:
    """Nothing to show."""
    return ()


def no_passages(_query: str, _language: str, _action: str | None) -> Sequence[Passage]:
    """Nothing that is known beside."""
    return ()


def language_for(plan: Plan, languages: Mapping[str, Language]) -> Language | str:
    """The language of a plan for a model, or the reason why none can carry it out."""
    if plan.language not in languages:
        return f"No language called {plan.language!r} is open in this run."
    if plan.kind == "tune":
        return "A language model is not asked to guess numbers; a tuner sets them."
    return languages[plan.language]


def parents_in(assignment: Assignment, language: str) -> list[Shown]:
    """The parents whose candidates are in `language`, where the plan builds on such."""
    if assignment.plan.kind not in ("refine", "combine"):
        return []
    return [shown for shown in _parents(assignment) if shown.language == language]


@dataclass(frozen=True, kw_only=True)
class Briefing:
    """`examples` has verified kernels in a language that come near; a draft is asked for with them.
    `page` says how an action is done in a language. `passages` has what is known that fits some
    words, in a language, where an action's page is shown already."""

    examples: Callable[[str], Sequence[Example]] = no_examples
    page: Callable[[str, str], str | None] = no_page
    passages: Callable[[str, str, str | None], Sequence[Passage]] = no_passages

    def prompt(
        self,
        assignment: Assignment,
        language: Language,
        *,
        action: str | None = None,
        notes: str | None = None,
    ) -> str:
        """The user's message that asks for a program. A plan whose parents are gone, or wrote
        nothing, is a draft. `action` is the name of the optimisation to carry out, the plan's own
        unless given; `notes` are what others said of it."""
        plan, problem = assignment.plan, assignment.problem
        guide = language.guide(problem)
        named = action or plan.action
        page = self.page(named, plan.language) if named is not None else None
        parents = parents_in(assignment, plan.language)
        passages = self.passages(_query(assignment, named), plan.language, named)
        if parents:
            return refine_prompt(
                problem,
                guide=guide,
                hints=plan.hints,
                parents=parents,
                action=page,
                notes=notes,
                passages=passages,
            )
        return draft_prompt(
            problem,
            guide=guide,
            hints=plan.hints,
            variant=drafted(plan),
            models=[p for p in _parents(assignment) if p.language != plan.language],
            examples=self.examples(plan.language),
            action=page,
            notes=notes,
            passages=passages,
        )


PLAIN = Briefing()


def drafted(plan: Plan) -> int:
    """How many drafts were asked for before this one."""
    return plan.variant if plan.kind == "draft" else 0


def _query(assignment: Assignment, action: str | None) -> str:
    """The words that what is known is searched by: the problem, what limits or ails the parents,
    and the action."""
    outcomes = [parent.evaluation.outcome for parent in assignment.parents if parent.evaluation]
    ails = [
        (outcome.profile.bottleneck if outcome.profile else "")
        if isinstance(outcome, Passed)
        else outcome.kind
        for outcome in outcomes
    ]
    return " ".join([words(assignment.problem), assignment.plan.language, action or "", *ails])


def _parents(assignment: Assignment) -> list[Shown]:
    return [
        _shown(parent, parent.candidate, assignment.problem)
        for parent in assignment.parents
        if parent.candidate
    ]


def _shown(attempt: Attempt, candidate: Candidate, problem: Problem) -> Shown:
    judged = attempt.evaluation
    return Shown(
        language=candidate.language,
        source=candidate.source.text,
        diagnosis=diagnosis(judged, problem) if judged else "It was not judged.",
        values=candidate.values,
    )
