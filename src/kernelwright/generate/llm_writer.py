"""The writer that asks a language model: one request, one reply, at most one candidate.

A draft is asked for with the language's guide; a refinement with the parent's text and the judge's
diagnosis. The model's reply is data: it can become a program and nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from kernelwright.core.candidate import Proposal
from kernelwright.core.protocols import Assignment, Language, Model
from kernelwright.generate.asking import Asking, asked
from kernelwright.generate.briefing import PLAIN, Briefing, language_for
from kernelwright.generate.programs import proposal_of
from kernelwright.generate.prompting import system_prompt

WRITER = "writer"  # the role


@dataclass(frozen=True, kw_only=True)
class LlmWriter:
    """Asks `model` for each plan, and tells it the hints."""

    model: Model
    languages: Mapping[str, Language]
    asking: Asking
    briefing: Briefing = PLAIN
    reads_hints: ClassVar[bool] = True

    async def propose(self, assignment: Assignment) -> Proposal:
        """The candidate that the model writes, or the reason why its reply is none.

        Raises:
            ModelError: it did not reply.
        """
        language = language_for(assignment.plan, self.languages)
        if isinstance(language, str):
            return Proposal(step=assignment.step, plan=assignment.plan, reason=language)
        prompt = await asyncio.to_thread(self.briefing.prompt, assignment, language)
        with self.asking.calls(assignment.step) as calls:
            reply = await calls.ask(WRITER, self.model, asked(system_prompt(), prompt))
        return proposal_of(reply, assignment, language, calls.made)
