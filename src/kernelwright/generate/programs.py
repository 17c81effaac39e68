"""From a model's reply to a candidate, or to the reason why it holds none."""

from __future__ import annotations

import re
from collections.abc import Sequence

from kernelwright.core.candidate import Candidate, ModelCall, Proposal, Tunable
from kernelwright.core.errors import UsageError
from kernelwright.core.problem import Problem, Source
from kernelwright.core.protocols import Assignment, Language, ModelReply
from kernelwright.generate.outline import dialect_of
from kernelwright.generate.parse import NoProgram, parse_reply
from kernelwright.languages.tunables import parse_tunables

_DECLARATION = re.compile(r"^([ \t]*(?://|#)[ \t]*)tunable([ \t]*:)", re.IGNORECASE)


def proposal_of(
    reply: ModelReply, assignment: Assignment, language: Language, calls: Sequence[ModelCall]
) -> Proposal:
    """What the last reply of an attempt comes to, for which `calls` were made."""
    result = candidate_in(reply, assignment.problem, language)
    return Proposal(
        step=assignment.step,
        plan=assignment.plan,
        candidate=result if isinstance(result, Candidate) else None,
        reason=None if isinstance(result, Candidate) else result,
        model_calls=tuple(calls),
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
