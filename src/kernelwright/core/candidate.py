"""What is tried: candidates, the plans that ask for them, and the proposals that answer."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, Literal, Self

from pydantic import Field

from kernelwright.core.problem import Source
from kernelwright.core.record import Record, content_id

Lane = Literal["native", "module"]
PlanKind = Literal["draft", "refine", "combine", "port", "tune"]


class Tunable(Record):
    """A number that a tuner sets: the values it may take, in order, and the first guess."""

    name: str = Field(pattern=r"^[A-Z][A-Z0-9_]*$")
    choices: tuple[int, ...] = Field(min_length=1)
    default: int


class Candidate(Record):
    """One piece of source text in one language for one problem.

    `settings` are the chosen values of `tunables`; one that is missing takes its default. The
    id hashes every field, so two candidates that could behave differently never share it.
    """

    problem_id: str
    language: str
    source: Source
    lane: Lane = "native"
    build_options: tuple[str, ...] = ()
    tunables: tuple[Tunable, ...] = ()
    settings: dict[str, int] = {}

    @cached_property
    def id(self) -> str:
        """A hash of every field that changes behaviour."""
        return content_id(self.model_dump(mode="json") | {"settings": self.values})

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """As for any record; the copy works its id out anew."""
        copied = super().model_copy(update=update, deep=deep)
        copied.__dict__.pop("id", None)
        return copied

    @property
    def values(self) -> dict[str, int]:
        """Every tunable's value: the setting, else the default."""
        return {t.name: self.settings.get(t.name, t.default) for t in self.tunables}

    def tuned(self, settings: dict[str, int]) -> Candidate:
        """The same text with other settings."""
        return self.model_copy(update={"settings": dict(settings)})


class Plan(Record):
    """What to try next. `settings` belong to a `tune` plan, `hints` to whoever writes.

    `variant` counts the drafts asked of a writer before this one, from 0: a sketch takes its
    next alternative, a model is sampled anew. `action` is the name of an optimisation to carry out;
    None leaves that to the writer.
    """

    kind: PlanKind
    language: str
    writer: str
    parents: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()
    settings: dict[str, int] = {}
    variant: int = 0
    action: str | None = None


class Usage(Record):
    """What a model call consumed, in tokens."""

    input_tokens: int = 0
    output_tokens: int = 0


class ModelCall(Record):
    """One request to a language model and its reply; `request` and `reply` are blob keys.

    `cost_usd` is None when the price is not known. `cached` replies cost nothing.
    """

    role: str
    model: str
    request: str
    reply: str | None
    usage: Usage = Usage()
    cost_usd: float | None = None
    latency_s: float = 0.0
    finish: str = "stop"
    cached: bool = False


class Proposal(Record):
    """What a writer made of a plan: a candidate, or the reason why there is none."""

    step: int
    plan: Plan
    candidate: Candidate | None = None
    reason: str | None = None
    model_calls: tuple[ModelCall, ...] = ()
