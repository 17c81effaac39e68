"""The writer that is a team: a critic, a planner and a coder, each of which is one call of a model.

The critic reads the parents' verdicts and says what to keep and what is to blame. The planner
chooses one action from the table, with a reason. The coder writes the program, told how that action
is done and what the others said. What a critic or a planner says is words for the coder; where
nothing can be read of it, the coder goes on without.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from kernelwright.core.action import Action
from kernelwright.core.candidate import Proposal
from kernelwright.core.protocols import Assignment, Language, Model
from kernelwright.generate.asking import Asking, Calls, asked
from kernelwright.generate.briefing import PLAIN, Briefing, drafted, language_for, parents_in
from kernelwright.generate.programs import proposal_of
from kernelwright.generate.prompting import critic_prompts, planner_prompts, system_prompt
from kernelwright.generate.remarks import Choice, choice_in, critique_in

PLANNER, CODER, CRITIC = "planner", "coder", "critic"


@dataclass(frozen=True, kw_only=True)
class Team:
    """Asks the model of each role in turn. The planner chooses among `actions`; it is not asked
    where the plan names one, or none of them is told in the plan's language."""

    planner: Model
    coder: Model
    critic: Model
    languages: Mapping[str, Language]
    asking: Asking
    briefing: Briefing = PLAIN
    actions: Sequence[Action] = ()
    reads_hints: ClassVar[bool] = True

    async def propose(self, assignment: Assignment) -> Proposal:
        """The candidate that the coder writes, or the reason why its reply is none.

        Raises:
            ModelError: a model did not reply; it says which calls were answered before.
        """
        plan = assignment.plan
        language = language_for(plan, self.languages)
        if isinstance(language, str):
            return Proposal(step=assignment.step, plan=plan, reason=language)
        with self.asking.calls(assignment.step) as calls:
            critique = await self._critique(assignment, calls)
            choice = await self._choice(assignment, critique, calls)
            prompt = await asyncio.to_thread(
                self.briefing.prompt,
                assignment,
                language,
                action=choice.action,
                notes=_notes(critique, choice),
            )
            reply = await calls.ask(CODER, self.coder, asked(system_prompt(), prompt))
        return proposal_of(reply, assignment, language, calls.made)

    async def _critique(self, assignment: Assignment, calls: Calls) -> str | None:
        """What the critic says of the parents; None when none was judged, or it says nothing."""
        parents = parents_in(assignment, assignment.plan.language)
        if not parents or not any(parent.evaluation for parent in assignment.parents):
            return None
        prompts = critic_prompts(assignment.problem, parents=parents)
        reply = await calls.ask(CRITIC, self.critic, asked(*prompts))
        return critique_in(reply.text)

    async def _choice(self, assignment: Assignment, critique: str | None, calls: Calls) -> Choice:
        """The action to carry out and why: the plan's own, else the planner's."""
        plan = assignment.plan
        actions = [action for action in self.actions if plan.language in action.languages]
        nothing = Choice(action=plan.action, reason="")
        if plan.action is not None or not actions:
            return nothing
        prompts = planner_prompts(
            assignment.problem,
            language=plan.language,
            hints=plan.hints,
            variant=drafted(plan),
            parents=parents_in(assignment, plan.language),
            actions=actions,
            notes=critique,
        )
        reply = await calls.ask(PLANNER, self.planner, asked(*prompts))
        return choice_in(reply.text, [action.name for action in actions]) or nothing


def _notes(critique: str | None, choice: Choice) -> str | None:
    """What the others said, for the coder."""
    why = f"Why {choice.action or 'no optimisation by name'}: {choice.reason}"
    return "\n".join([critique or "", why if choice.reason else ""]).strip() or None
