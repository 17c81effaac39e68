"""The writer whose model may try things first: a conversation with calls of tools in plain text.

The model calls `build`, `judge`, `profile` and `look_up` within a budget, and ends with a program,
which is the attempt's candidate and is judged like any other. No provider's way to call functions
is used: how a call is written is in `calling`, what the tools answer in `toolbox`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from kernelwright.core.candidate import Proposal
from kernelwright.core.protocols import Assignment, Language, Message, Model, ModelReply
from kernelwright.core.run import ToolBudget
from kernelwright.generate.asking import Asking, Calls, asked
from kernelwright.generate.briefing import PLAIN, Briefing, language_for
from kernelwright.generate.calling import call_in
from kernelwright.generate.llm_writer import WRITER
from kernelwright.generate.programs import proposal_of
from kernelwright.generate.prompting import system_prompt, tool_answer, tools_prompt
from kernelwright.generate.toolbox import Toolbox, Workbench
from kernelwright.llm.recording import Replies


@dataclass(frozen=True, kw_only=True)
class ToolWriter:
    """Asks `model`, and lends it the `toolbox` as far as `budget` goes. `replies` is where replies
    of models are recorded, and what the tools said with them."""

    model: Model
    languages: Mapping[str, Language]
    asking: Asking
    toolbox: Toolbox
    budget: ToolBudget
    briefing: Briefing = PLAIN
    replies: Replies | None = None
    reads_hints: ClassVar[bool] = True

    async def propose(self, assignment: Assignment) -> Proposal:
        """The candidate that the conversation ends with, or the reason why its last reply is none.

        Raises:
            UsageError: this machine lacks what a tool needs.
            FaultError: the model did not reply, or the judge failed; it says which calls were
                answered before.
        """
        plan = assignment.plan
        language = language_for(plan, self.languages)
        if isinstance(language, str):
            return Proposal(step=assignment.step, plan=plan, reason=language)
        with self.asking.calls(assignment.step) as calls:
            bench = Workbench(
                toolbox=self.toolbox,
                problem=assignment.problem,
                language=language,
                left=self.budget,
                sample=calls.sample,
                replies=self.replies,
            )
            prompt = await asyncio.to_thread(self.briefing.prompt, assignment, language)
            reply = await self._last_reply(prompt, calls, bench)
        return proposal_of(reply, assignment, language, calls.made)

    async def _last_reply(self, prompt: str, calls: Calls, bench: Workbench) -> ModelReply:
        """The reply that calls nothing, or the one after the last call."""
        messages: tuple[Message, ...] = asked(
            f"{system_prompt()}\n\n{self._tools()}".strip(), prompt
        )
        while True:
            reply = await calls.ask(WRITER, self.model, messages)
            call = call_in(reply.text)
            if call is None or bench.left.max_calls == 0:
                return reply
            said = await bench.answer(call, reply)
            left = bench.left
            answer = tool_answer(
                tool=call.tool or "the toolbox",
                said=said,
                calls=left.max_calls,
                judged=left.max_judge_calls,
            )
            messages = (
                *messages,
                Message(role="assistant", text=reply.text),
                Message(role="user", text=answer),
            )

    def _tools(self) -> str:
        if self.budget.max_calls == 0:
            return ""
        return tools_prompt(
            missing=self.toolbox.missing,
            calls=self.budget.max_calls,
            judged=self.budget.max_judge_calls,
        )
