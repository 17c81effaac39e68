"""The tools that a writer lends to a model for one attempt, within a budget, and what they answer.

Answers are words: what a compiler said, the diagnosis of a verdict as a refinement would show it,
what limits a program, and passages of what is known. A failure of ours is raised and not told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from kernelwright.core.candidate import Candidate
from kernelwright.core.diagnosis import Diagnosis
from kernelwright.core.evaluation import BuildFailed, Evaluation, Rejected, TimedOut
from kernelwright.core.problem import Problem
from kernelwright.core.protocols import Language, Message, ModelReply, ModelRequest
from kernelwright.core.record import content_id
from kernelwright.core.run import ToolBudget
from kernelwright.generate.calling import TOOLS, Call, Tool
from kernelwright.generate.feedback import diagnosis, in_words, limits
from kernelwright.generate.looking_up import Found
from kernelwright.generate.parse import holds_block
from kernelwright.generate.programs import candidate_in
from kernelwright.llm.recording import Replies

_LONGEST_PASSAGE = 4000
_SHOWN_PASSAGES = 3
_RECORDED_AS = "tool:answer"  # where a model's name stands


@dataclass(frozen=True, kw_only=True)
class Toolbox:
    """What there is to call: None where it cannot be had, as where the judge is elsewhere.

    `judge` gives the verdict of a search, `profile` says what limits a candidate that has one, and
    `look_up` finds passages for words, in a language. All may raise a `FaultError`.
    """

    judge: Callable[[Candidate], Awaitable[Evaluation]]
    look_up: Callable[[str, str], Found]
    build: Callable[[Candidate], BuildFailed | TimedOut | Rejected | None] | None = None
    profile: Callable[[Candidate, Evaluation], Diagnosis | None] | None = None

    @property
    def missing(self) -> tuple[Tool, ...]:
        """Those that cannot be had."""
        there = {"build": self.build, "profile": self.profile}
        return tuple(tool for tool in TOOLS if there.get(tool, self.judge) is None)


@dataclass(kw_only=True)
class Workbench:
    """The toolbox in one attempt: how much of it is left, and the program that is worked on.

    What is found out about a program is kept in `replies`, under `sample`, beside the replies of
    models: measured anew it would read otherwise, and a conversation could not be repeated.
    """

    toolbox: Toolbox
    problem: Problem
    language: Language
    left: ToolBudget
    sample: int = 0
    replies: Replies | None = None
    _program: Candidate | None = field(default=None, init=False)
    _judged: dict[str, Evaluation | None] = field(default_factory=dict, init=False)

    async def answer(self, call: Call, reply: ModelReply) -> str:
        """What the tool says to `call`, which stands in `reply`. Whatever comes of it, a call is
        used.

        Raises:
            UsageError: this machine lacks what the tool needs.
            FaultError: another failure of ours.
        """
        self.left = self.left.model_copy(update={"max_calls": self.left.max_calls - 1})
        tool = call.tool
        if tool is None:
            return f"There is no tool called {call.name!r}. There are: {', '.join(TOOLS)}."
        if tool == "look_up":
            return await asyncio.to_thread(self._look_up, call.words)
        if tool in self.toolbox.missing:
            return f"{tool} cannot be had in this run."
        program = self._program_in(reply)
        if isinstance(program, str):
            return program
        if tool != "build" and not self._may_be_judged(program):
            return "The judge has been asked as often as it may be."
        return await self._recorded(tool, program)

    def _look_up(self, words: str) -> str:
        found = self.toolbox.look_up(words, self.language.name).passages[:_SHOWN_PASSAGES]
        passages = [f"{p.source}, {p.title}:\n{p.text[:_LONGEST_PASSAGE]}" for p in found]
        return "\n\n".join(passages) or "Nothing is known about these words."

    def _program_in(self, reply: ModelReply) -> Candidate | str:
        """The program in `reply`, else the last one; or why there is none."""
        found = candidate_in(reply, self.problem, self.language)
        if isinstance(found, Candidate):
            self._program = found
        elif holds_block(reply.text):
            return found
        return self._program or (
            "There is no program yet. Put it whole into a fenced block of the reply with the call."
        )

    def _may_be_judged(self, program: Candidate) -> bool:
        """Whether its verdict may be had, which is counted once for each program."""
        if program.id not in self._judged:
            if self.left.max_judge_calls == 0:
                return False
            fewer = {"max_judge_calls": self.left.max_judge_calls - 1}
            self.left = self.left.model_copy(update=fewer)
            self._judged[program.id] = None
        return True

    async def _recorded(self, tool: Tool, program: Candidate) -> str:
        """What was found out about `program` before, else now."""
        asked = f"{tool} {content_id(self.problem.model_dump(mode='json'))} {program.id}"
        request = ModelRequest(
            messages=(Message(role="user", text=asked),), max_tokens=1, sample=self.sample
        )
        known = self.replies.find(_RECORDED_AS, request) if self.replies else None
        if known is not None:
            return known.text
        text = await self._found_out(tool, program)
        if self.replies is not None:
            self.replies.keep(_RECORDED_AS, request, ModelReply(text=text))
        return text

    async def _found_out(self, tool: Tool, program: Candidate) -> str:
        if tool == "build" and self.toolbox.build is not None:
            failed = await asyncio.to_thread(self.toolbox.build, program)
            return in_words(failed, self.problem) if failed else "It builds."
        verdict = self._judged.get(program.id) or await self.toolbox.judge(program)
        self._judged[program.id] = verdict
        if tool == "profile" and self.toolbox.profile is not None:
            said = await asyncio.to_thread(self.toolbox.profile, program, verdict)
            known = [*limits(said), *said.not_known] if said else []
            return "\n".join(known) or "Nothing that could be looked at says what limits it."
        return diagnosis(verdict, self.problem)
