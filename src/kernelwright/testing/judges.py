"""A judge of paper: the first word of a candidate's comment is its verdict.

A number is how many times faster it is; ``fault``, ``unavailable`` and ``bug`` are what the judge
does; any other word is the compiler's complaint.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from kernelwright.core.candidate import Candidate
from kernelwright.core.errors import SandboxError, Unavailable
from kernelwright.core.evaluation import Effort, Evaluation, Rejected
from kernelwright.core.problem import Problem, Source
from kernelwright.evaluate.profile.counters import Counters
from kernelwright.evaluate.profile.disassembly import Facts
from kernelwright.evaluate.profile.nsight import NotCounted
from kernelwright.evaluate.profile.x86 import Loop
from kernelwright.testing.evaluators import evaluation_of, number_candidate, row_problem, verdict

_KERNEL = 'extern "C" void kernel(const float* x, float* out, int64_t rows) {}'


def worded(word: float | str) -> str:
    """The text of a candidate for `row_problem` whose verdict is `word`."""
    return f"// {word}\n{_KERNEL}\n"


@dataclass(kw_only=True)
class FakeJudge:
    """Answers after `delay_s`, and remembers what it was asked, and whether it was closed."""

    delay_s: float = 0.0
    judged: list[str] = field(default_factory=list)
    closed: bool = False
    problem: Problem = field(default_factory=row_problem)
    places: int = 1

    def ahead(self, candidate: Candidate) -> Future[Any] | None:  # noqa: ARG002
        """There is nothing to build."""
        return None

    def judge(self, candidate: Candidate, effort: Effort) -> Evaluation:
        """The verdict that the candidate names."""
        word = candidate.source.text.split()[1]
        self.judged.append(word)
        time.sleep(self.delay_s)
        if word == "fault":
            raise SandboxError("The sandbox broke.")
        if word == "unavailable":
            raise Unavailable("There is no compiler.")
        if word == "bug":
            raise ZeroDivisionError("oh")
        return evaluation_of(candidate, verdict(number_candidate(word)), effort)

    def facts(self, candidate: Candidate) -> Facts | None:
        """A loop of one element at a time; None for what does not build."""
        word = candidate.source.text.split()[1]
        if word == "error":
            return None
        loop = Loop(function="kernel", address=0x1000, instructions=4, scalar=2, kinds=("add",))
        return Facts(loops=(loop,))

    def counters(self, candidate: Candidate) -> Counters | NotCounted | None:  # noqa: ARG002
        """Paper counts nothing."""
        return None

    def refuse(self, candidate: Candidate, effort: Effort, evidence: str) -> Evaluation:
        """A rejection."""
        outcome = Rejected(rule="not_a_candidate", evidence=evidence)
        return evaluation_of(candidate, outcome, effort)


@dataclass(kw_only=True)
class FakeJudges:
    """Opens fake judges, with `delay_s` for each verdict, and remembers them."""

    delay_s: float = 0.0
    opened: list[tuple[str | Source, FakeJudge]] = field(default_factory=list)

    @contextlib.contextmanager
    def __call__(self, origin: str | Source, **_: object) -> Iterator[FakeJudge]:
        """A fake judge, whatever the problem."""
        judge = FakeJudge(delay_s=self.delay_s)
        self.opened.append((origin, judge))
        try:
            yield judge
        finally:
            judge.closed = True
