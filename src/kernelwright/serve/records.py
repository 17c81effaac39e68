"""What crosses the wire: a submission, the ticket for it, and the answer. The API's schema."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from kernelwright.core.evaluation import Effort, Evaluation
from kernelwright.core.record import Record
from kernelwright.core.statistics import Verdict, versus_best
from kernelwright.languages.sources import MAX_BYTES

State = Literal["queued", "judging", "judged", "refused", "fault", "not_judged"]
FINAL: frozenset[State] = frozenset({"judged", "refused", "fault", "not_judged"})
MAX_BATCH = 256


class Submission(Record):
    """A candidate to judge.

    `problem` is ``builtin:<name>``. A server that allows it takes `problem_source` in its place,
    the text of a KernelBench file. `effort` is as in `kernelwright judge`: "search" is quick.
    """

    problem: str | None = Field(default=None, max_length=200)
    problem_source: str | None = Field(default=None, max_length=1 << 20)
    candidate: str = Field(min_length=1, max_length=MAX_BYTES)
    language: str = Field(default="cpp", max_length=100)
    effort: Effort = "search"

    @model_validator(mode="after")
    def _one_problem(self) -> Self:
        if (self.problem is None) == (self.problem_source is None):
            raise ValueError("give either problem, as builtin:<name>, or problem_source")
        return self


class Batch(Record):
    """Candidates that are taken together or, when the queue has no room for all, not at all."""

    submissions: tuple[Submission, ...] = Field(min_length=1, max_length=MAX_BATCH)


class Ticket(Record):
    """What a submission is known by from now on."""

    id: str
    state: State


class Tickets(Record):
    """The tickets of a batch, in its order."""

    tickets: tuple[Ticket, ...]


class Speedup(Record):
    """How many times faster than the fastest baseline, with its 95% interval."""

    baseline: str
    median: float
    ci_low: float
    ci_high: float
    verdict: Verdict


class Answer(Record):
    """Where a submission stands.

    | state | meaning |
    |---|---|
    | queued, judging | ask again |
    | judged | `evaluation` has the verdict, whatever it is |
    | refused | it cannot be judged at all, such as a problem that is none; `message` says why |
    | fault | the server broke, several times over; the candidate is not to blame |
    | not_judged | the server was stopped first; submit it again |

    `speedup` is None for a candidate that did not pass or was not timed.
    """

    id: str
    state: State
    problem: str
    language: str
    effort: Effort
    message: str | None = None
    speedup: Speedup | None = None
    evaluation: Evaluation | None = None


class Health(Record):
    """Whether the server takes submissions, and how many wait."""

    accepting: bool
    waiting: int
    room: int


class Refusal(Record):
    """Why a request was not carried out, in one sentence."""

    detail: str


def speedup_of(evaluation: Evaluation | None) -> Speedup | None:
    """The speedup over the fastest baseline; None when there is none."""
    if evaluation is None or evaluation.outcome.kind != "passed":
        return None
    found = versus_best(evaluation.outcome.measurements)
    if found is None:
        return None
    name, estimate = found
    return Speedup(
        baseline=name,
        median=estimate.median,
        ci_low=estimate.ci_low,
        ci_high=estimate.ci_high,
        verdict=estimate.verdict,
    )
