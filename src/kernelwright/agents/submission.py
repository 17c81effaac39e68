"""What an agent hands in: a program, and what it says of it. Read here, and never run."""

from __future__ import annotations

from pydantic import Field

from kernelwright.agents.limits import LONGEST_IDEA, MOST_TOKENS, MOST_USD, Refused, plain
from kernelwright.core import names
from kernelwright.core.candidate import Candidate, ModelCall, Usage
from kernelwright.core.errors import BuildRefused, UsageError
from kernelwright.core.problem import Problem
from kernelwright.core.protocols import Language
from kernelwright.core.record import Record
from kernelwright.languages.reading import candidate_from_text
from kernelwright.languages.sources import MAX_BYTES, MAX_FILES, check_source

_LONGEST_NAME = 100


class Submission(Record):
    """A candidate: its main file's text, and the further files that it uses, by name.

    `parent` is the attempt that it builds on, and `idea` says in a sentence what was changed and
    why. Tokens and dollars are what the agent says that it spent on it; None is not told.
    """

    source: str = Field(max_length=MAX_BYTES)
    files: dict[str, str] = Field(default={}, max_length=MAX_FILES)
    language: str | None = Field(default=None, max_length=_LONGEST_NAME)
    parent: int | None = None
    idea: str = Field(default="", max_length=LONGEST_IDEA)
    input_tokens: int | None = Field(default=None, ge=0, le=MOST_TOKENS)
    output_tokens: int | None = Field(default=None, ge=0, le=MOST_TOKENS)
    cost_usd: float | None = Field(default=None, ge=0, le=MOST_USD)


def read(submission: Submission, problem: Problem, languages: tuple[str, ...]) -> Candidate:
    """The candidate that was handed in, in the first of `languages` unless it says another.

    Raises:
        Refused: it is none; what it lacks is said.
    """
    language = submission.language or languages[0]
    if language not in languages:
        raise Refused(f"This run is in {', '.join(languages)}, and not in {language[:40]!r}.")
    opened: Language = names.load("language", language)()
    main_file = opened.entry_point.partition("::")[0]
    if main_file in submission.files:
        raise Refused(f"The file {main_file} is the source itself. Rename the other one.")
    try:
        candidate = candidate_from_text(
            problem, submission.source, language, beside=submission.files
        )
        check_source(candidate, "")
    except (UsageError, BuildRefused) as error:
        raise Refused(f"{error} Nothing was spent.") from error
    return candidate


def model_call(submission: Submission, writer: str) -> ModelCall:
    """What an agent says that a candidate cost, as a run's log keeps it."""
    usage = Usage(
        input_tokens=submission.input_tokens or 0, output_tokens=submission.output_tokens or 0
    )
    return ModelCall(
        role="agent",
        model=writer,
        request="",
        reply=None,
        usage=usage,
        cost_usd=submission.cost_usd,
    )


def idea_of(submission: Submission) -> tuple[str, ...]:
    """The hints of a plan: the idea in one line, if there is one."""
    idea = plain(submission.idea, LONGEST_IDEA, "The idea")
    return (idea,) if idea else ()
