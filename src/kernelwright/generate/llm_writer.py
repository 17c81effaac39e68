"""The writer that asks a language model: one request, one reply, at most one candidate.

A draft is asked for with the language's guide; a refinement with the parent's text and the judge's
diagnosis. The model's reply is data: it can become a program and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from kernelwright.core.candidate import Candidate, ModelCall, Plan, Proposal, Tunable
from kernelwright.core.errors import UsageError
from kernelwright.core.problem import Problem, Source
from kernelwright.core.protocols import (
    Assignment,
    Example,
    Language,
    Message,
    Model,
    ModelReply,
    ModelRequest,
)
from kernelwright.core.run import Attempt
from kernelwright.generate.feedback import diagnosis
from kernelwright.generate.outline import dialect_of
from kernelwright.generate.parse import NoProgram, parse_reply
from kernelwright.generate.prompting import Shown, draft_prompt, refine_prompt, system_prompt
from kernelwright.languages.tunables import parse_tunables

_DECLARATION = re.compile(r"^([ \t]*(?://|#)[ \t]*)tunable([ \t]*:)", re.IGNORECASE)
# A run has fewer steps than this, so that no two of its runs share a sample.
_STEPS = 1_000_000


def no_page(_action: str, _language: str) -> str | None:
    """Nothing to tell of an action."""
    return None


def no_examples(_language: str) -> Sequence[Example]:
    """Nothing to show."""
    return ()


@dataclass(frozen=True, kw_only=True)
class LlmWriter:
    """Asks `model` for each plan and tells it the hints. `put` keeps a blob and returns its key.

    `examples` has verified kernels in a language that come near; a draft is asked for with them.
    `page` says how an action is done in a language; it is told to whoever is asked for that action.
    `seed` is the run's: the same request in another run is another sample.
    """

    model: Model
    languages: Mapping[str, Language]
    put: Callable[[bytes], str]
    max_tokens: int = 8192
    temperature: float | None = None
    seed: int = 0
    role: str = "writer"
    examples: Callable[[str], Sequence[Example]] = no_examples
    page: Callable[[str, str], str | None] = no_page
    reads_hints: ClassVar[bool] = True

    async def propose(self, assignment: Assignment) -> Proposal:
        """The candidate that the model writes, or the reason why its reply is none.

        Raises:
            ModelError: it did not reply.
        """
        step, plan = assignment.step, assignment.plan
        language = self.languages.get(plan.language)
        if language is None:
            reason = f"No language called {plan.language!r} is open in this run."
            return Proposal(step=step, plan=plan, reason=reason)
        if plan.kind == "tune":
            reason = "A language model is not asked to guess numbers; a tuner sets them."
            return Proposal(step=step, plan=plan, reason=reason)
        request = self._request(assignment, language)
        reply = await self.model.reply(request)
        result = candidate_in(reply, assignment.problem, language)
        return Proposal(
            step=step,
            plan=plan,
            candidate=result if isinstance(result, Candidate) else None,
            reason=None if isinstance(result, Candidate) else result,
            model_calls=(self._call(request, reply),),
        )

    def _request(self, assignment: Assignment, language: Language) -> ModelRequest:
        return ModelRequest(
            messages=(
                Message(role="system", text=system_prompt()),
                Message(role="user", text=self._prompt(assignment, language)),
            ),
            temperature=self.temperature,
            max_tokens=self.max_tokens,
            sample=self.seed * _STEPS + assignment.step,
        )

    def _prompt(self, assignment: Assignment, language: Language) -> str:
        """The user's message. A plan whose parents are gone, or wrote nothing, is a draft."""
        plan, problem = assignment.plan, assignment.problem
        guide = language.guide(problem)
        parents = [_shown(a, a.candidate, problem) for a in assignment.parents if a.candidate]
        same = [p for p in parents if p.language == plan.language]
        action = self.page(plan.action, plan.language) if plan.action is not None else None
        if plan.kind in ("refine", "combine") and same:
            return refine_prompt(
                problem, guide=guide, hints=plan.hints, parents=same, action=action
            )
        return draft_prompt(
            problem,
            guide=guide,
            hints=plan.hints,
            variant=_drafted(plan),
            models=[p for p in parents if p.language != plan.language],
            examples=self.examples(plan.language),
            action=action,
        )

    def _call(self, request: ModelRequest, reply: ModelReply) -> ModelCall:
        return ModelCall(
            role=self.role,
            model=self.model.name,
            request=self.put(request.model_dump_json(indent=1).encode()),
            reply=self.put(reply.text.encode("utf-8", "replace")),
            usage=reply.usage,
            cost_usd=reply.cost_usd,
            latency_s=reply.latency_s,
            finish=reply.finish,
            cached=reply.cached,
        )


def _drafted(plan: Plan) -> int:
    return plan.variant if plan.kind == "draft" else 0


def _shown(attempt: Attempt, candidate: Candidate, problem: Problem) -> Shown:
    judged = attempt.evaluation
    return Shown(
        language=candidate.language,
        source=candidate.source.text,
        diagnosis=diagnosis(judged, problem) if judged else "It was not judged.",
        values=candidate.values,
    )


def candidate_in(reply: ModelReply, problem: Problem, language: Language) -> Candidate | str:
    """The candidate in a model's reply, or the reason why there is none."""
    file, _, entry = language.entry_point.partition("::")
    program = parse_reply(
        reply.text, entry=entry, dialect=dialect_of(file), cut_off=reply.finish == "length"
    )
    if isinstance(program, NoProgram):
        return program.reason
    text, tunables = declared_tunables(program.text)
    return Candidate(
        problem_id=problem.id,
        language=language.name,
        source=Source(files={file: text}, entry_point=f"{file}::{program.entry}"),
        lane=language.lane,
        tunables=tunables,
    )


def declared_tunables(text: str) -> tuple[str, Sequence[Tunable]]:
    """`text` and the tunables it declares, with declarations that are none turned into comments.

    A malformed declaration is no reason to drop a program: it may define the number itself, and
    when it does not, the compiler says so.
    """
    lines = text.split("\n")
    good: list[str] = []
    for at, line in enumerate(lines):
        if not _DECLARATION.match(line):
            continue
        try:
            parse_tunables("\n".join([*good, line]))
            good.append(line)
        except UsageError:
            lines[at] = _DECLARATION.sub(r"\1malformed tunable\2", line)
    return "\n".join(lines), parse_tunables("\n".join(good))
