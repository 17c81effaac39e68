"""One search over one problem: what was asked for, what may be spent, and what happened."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from kernelwright.core.candidate import Candidate, Plan
from kernelwright.core.cards import DEVICES
from kernelwright.core.evaluation import Evaluation, StoredIsolation
from kernelwright.core.problem import Direction
from kernelwright.core.record import Record
from kernelwright.core.statistics import at_least, score

EventKind = Literal[
    "started", "problem", "admission", "plan", "proposal", "evaluation", "fault", "promotion",
    "approval", "delivery", "void", "finished", "resumed", "ablating", "ablation", "cut", "region",
    "lessons",
]  # fmt: skip
# What a person says who is asked whether a candidate may be handed back.
Answer = Literal["yes", "no", "stop"]


class Budget(Record):
    """What a run may spend, and when it has found enough; None is no limit. The attempt that
    crosses a limit is finished.

    `max_device_s` is for the judge's stages on the device, added up over all verdicts
    (`Evaluation.device_s`). The search also ends when an attempt is surely `target_speedup` times
    as fast as the best baseline, by the lower end of its interval; and when its fastest attempt
    takes at most `min_headroom` times what the roofline says that this machine needs, so that no
    more than that is left to gain. Where the roofline is not known, `min_headroom` ends nothing.
    """

    max_attempts: int | None = Field(default=24, ge=1)
    max_wall_s: float | None = Field(default=None, gt=0)
    max_device_s: float | None = Field(default=None, gt=0)
    max_cost_usd: float | None = Field(default=None, ge=0)
    target_speedup: float | None = Field(default=None, gt=0)
    min_headroom: float | None = Field(default=None, ge=1)


class ToolBudget(Record):
    """What a model may call in one attempt of the writer ``tools``: `max_calls` calls, by which at
    most `max_judge_calls` programs are judged."""

    max_calls: int = Field(default=8, ge=0, le=100)
    max_judge_calls: int = Field(default=3, ge=0, le=100)


class ModelSettings(Record):
    """How language models are called, whichever they are.

    A call may take `timeout_s` and is tried `max_tries` times. At most `in_flight` calls are out at
    once, and `per_minute` begin in a minute; None is no limit. `temperature` None is the provider's
    own. Replies are kept in the folder `replies`, so that the same request is not paid for twice;
    with `replay` they come from that folder only, and no model is called.
    """

    timeout_s: float = Field(default=600, gt=0)
    max_tries: int = Field(default=5, ge=1, le=20)
    in_flight: int = Field(default=8, ge=1)
    per_minute: float | None = Field(default=None, gt=0)
    max_tokens: int = Field(default=8192, ge=1)
    temperature: float | None = Field(default=None, ge=0)
    replies: str | None = None
    replay: bool = False


def _device_name(said: str) -> str:
    if re.fullmatch(f"auto|{DEVICES}", said):
        return said
    raise PydanticCustomError(
        "device", "Input should be 'auto', 'cpu', 'cuda' or, for one of several GPUs, 'cuda:N'"
    )


DeviceName = Annotated[str, AfterValidator(_device_name)]


class RunSpec(Record):
    """What a run was asked to do: the TOML file, the flags and the Python call in one.

    `problem` is a path or ``builtin:<name>``; `direction` goes before what the file says, which is
    what None asks for. `device` is auto, cpu, cuda, or one of several GPUs as ``cuda:1``.
    `writers` are used in turn for drafts; with no model, ``library`` and ``sketch``. `models` maps
    a role to a model name as ``provider:name``: "writer", and for the writer ``team`` "planner",
    "coder" and "critic", each of which has the model of "writer" unless it is named. `tool_budget`
    is for an attempt of the writer ``tools``. `library` are folders of verified kernels beside the
    one that ships, and `lessons` folders of lessons; with `use_lessons` false none is used.
    `memory` are folders of other runs, whose attempts a model is told of. With `decontaminate`
    nothing of these is shown that is for this very problem or nearly the same, so that a result may
    be reported. With `approve` a person is asked before a candidate is handed back. `judge` is the
    address of a `kernelwright serve` that judges instead of this machine, its token is never part
    of the settings; or ``batch``, for attempts that wait until `kernelwright import` brings their
    verdicts. With `regions` the program is cut into regions, each is searched by itself, and the
    whole is put together of their kernels.
    """

    problem: str
    direction: Direction | None = None
    strategy: str = "refine"
    writers: tuple[str, ...] = ("library", "sketch")
    library: tuple[str, ...] = ()
    lessons: tuple[str, ...] = ()
    use_lessons: bool = True
    memory: tuple[str, ...] = ()
    decontaminate: bool = False
    models: dict[str, str] = {}
    model_settings: ModelSettings = ModelSettings()
    languages: tuple[str, ...] = ()
    budget: Budget = Budget()
    tool_budget: ToolBudget = ToolBudget()
    width: int = Field(default=1, ge=1, le=16)
    seed: int = 0
    device: DeviceName = "auto"
    require_isolation: StoredIsolation = "process"
    judge: str | None = None
    approve: bool = False
    regions: bool = False


class Event(Record):
    """One line of a run's log. `seq` counts from 1; `at` is seconds since the epoch."""

    seq: int = 0
    at: float
    kind: EventKind
    data: dict[str, Any]


class Told(Record):
    """A lesson that a run's writers made use of: its name, what it claims and what was measured of
    it, as sentences."""

    name: str
    claim: str
    effect: str


class Edit(Record):
    """One accepted change of a candidate against the draft that it descends from.

    `place` is the file and the line of the candidate where a text changed, or a setting's name.
    `before` is what the draft says there, or the default; `after` what the candidate has.
    """

    kind: Literal["text", "setting"]
    place: str
    before: str
    after: str


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One step of a run, as a strategy sees it: the plan, and how far it got.

    `faulted` is whether a failure of ours ended it; then `reason` is that and not the writer's.
    """

    step: int
    plan: Plan
    candidate: Candidate | None = None
    evaluation: Evaluation | None = None
    reason: str | None = None
    faulted: bool = False

    # Cached, and so is the next: an interval takes a resampling, and a search asks again and again.
    @cached_property
    def score(self) -> float | None:
        """The median speedup over the best baseline; None unless it passed and was timed."""
        return score(self.evaluation.outcome) if self.evaluation else None

    @cached_property
    def at_least(self) -> float | None:
        """The lower end of that speedup's interval."""
        return at_least(self.evaluation.outcome) if self.evaluation else None


@dataclass(frozen=True, kw_only=True)
class History:
    """Every finished attempt of a run, oldest first, and the plans that are still out."""

    attempts: tuple[Attempt, ...] = ()
    pending: tuple[Plan, ...] = ()

    @property
    def best(self) -> Attempt | None:
        """The attempt that is surely the fastest, by `at_least`; the earliest of equals."""
        scored = [a for a in self.attempts if a.at_least is not None]
        return max(scored, key=lambda a: a.at_least or 0.0) if scored else None

    def attempt_of(self, candidate_id: str) -> Attempt | None:
        """The first attempt that made this candidate."""
        return next(
            (a for a in self.attempts if a.candidate and a.candidate.id == candidate_id), None
        )
