"""What a lesson is: advice, where it comes from, and what it was found to be worth.

A lesson is a guess until matched searches with it and without have measured its effect on problems
that it was not drawn from. What they refute is kept, so that it is not guessed again.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from kernelwright.core.diagnosis import Bottleneck
from kernelwright.core.interval import Interval
from kernelwright.core.record import Record, content_id
from kernelwright.core.run import Budget

Status = Literal["proven", "refuted", "undecided", "untested"]
# With fewer problems an interval says more of the problems than of the lesson.
LEAST_PROBLEMS = 3


class Setting(Record):
    """Begin the drafts of `sketch` with these values; None is for every text that can be set so."""

    kind: Literal["setting"] = "setting"
    sketch: str | None
    settings: dict[str, int] = Field(min_length=1)

    @property
    def said(self) -> str:
        """As the end of a sentence."""
        values = ", ".join(f"{name} = {value}" for name, value in sorted(self.settings.items()))
        whose = f"what the sketch {self.sketch!r} drafts" if self.sketch else "a draft"
        return f"begin {whose} with {values}"


class Before(Record):
    """Try the drafts of `sketch` before those of `other`."""

    kind: Literal["before"] = "before"
    sketch: str
    other: str

    @property
    def said(self) -> str:
        """As the end of a sentence."""
        return f"try what the sketch {self.sketch!r} drafts before what {self.other!r} does"


class Change(Record):
    """A change of a text that made it faster: `action` is its name where it has one, `bottleneck`
    what had limited it where that was known, `diff` the change."""

    kind: Literal["change"] = "change"
    action: str | None
    bottleneck: Bottleneck | None
    diff: str

    @property
    def said(self) -> str:
        """As the end of a sentence."""
        what = f"the action {self.action!r}" if self.action else "this change"
        limit = self.bottleneck.replace("_", " ") if self.bottleneck else None
        return f"{what} made a kernel faster" + (f" that was {limit}" if limit else "")


class Repair(Record):
    """A change that mended what had failed: `failure` is the kind of its outcome, `complaint` the
    line that told of it."""

    kind: Literal["repair"] = "repair"
    failure: str
    complaint: str
    diff: str

    @property
    def said(self) -> str:
        """As the end of a sentence."""
        return f"what had {self.failure.replace('_', ' ')} ({self.complaint}) was mended so"


Advice = Annotated[Setting | Before | Change | Repair, Field(discriminator="kind")]


class Evidence(Record):
    """One pair that a lesson is drawn from: `slow` and `fast` are candidates for `problem`, whose
    reference is `reference`, found in `source`, a pool or a run. `ratio` is how many times faster
    the second is, the median over blocks with its interval; None where one of the two did not pass.
    """

    source: str
    problem: str
    reference: str
    slow: str
    fast: str
    ratio: Interval | None


class Trial(Record):
    """Matched searches with a lesson and without, on problems that it was not drawn from.

    They have the same strategy, seeds and budget. `in_hand` is the effect: the ratio of what both
    have in hand, with the lesson to without, as a geometric mean over the attempts of the budget,
    the seeds and the problems, with Student's interval over the problems. `final` is the ratio of
    what they end with. `command` repeats them.
    """

    strategy: str
    budget: Budget
    seeds: int
    problems: tuple[str, ...]
    where: str
    in_hand: Interval | None
    final: Interval | None
    command: str


class Lesson(Record):
    """Advice for a language on a device, which is named as `library.records.device_name` does."""

    language: str
    device: str
    advice: Advice
    evidence: tuple[Evidence, ...]
    trial: Trial | None = None

    @property
    def name(self) -> str:
        """A short name; the same advice for the same device has the same."""
        key = content_id(self.language, self.device, self.advice.model_dump(mode="json"))
        match self.advice:
            case Setting(sketch=sketch):
                subject = sketch or "any"
            case Before(sketch=sketch):
                subject = sketch
            case Change(action=action):
                subject = action or "rewrite"
            case Repair(failure=failure):
                subject = failure
        words = (self.language, self.advice.kind, subject.replace("_", "-"))
        return "-".join((*words, key[:4]))

    @property
    def status(self) -> Status:
        """What the trial says of it."""
        if self.trial is None:
            return "untested"
        effect = self.trial.in_hand
        if effect is None or len(self.trial.problems) < LEAST_PROBLEMS:
            return "undecided"
        if effect.ci_low > 1:
            return "proven"
        return "refuted" if effect.ci_high < 1 else "undecided"

    @property
    def claim(self) -> str:
        """A sentence for people and models."""
        return f"In {self.language} on {self.device}, {self.advice.said}."

    @property
    def effect(self) -> str:
        """What was measured, as a sentence."""
        if self.trial is None or self.trial.in_hand is None:
            return "Its effect was not measured."
        count = len(self.trial.problems)
        return (
            f"In matched searches over {count} other problems, what was in hand was "
            f"{self.trial.in_hand} times as fast with it."
        )
