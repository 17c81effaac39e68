"""The seams: six protocols of one to three methods, and the values that cross them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

from kernelwright.core.candidate import Candidate, Lane, Plan, Proposal, Usage
from kernelwright.core.evaluation import Effort, Evaluation
from kernelwright.core.problem import Problem
from kernelwright.core.record import Record
from kernelwright.core.run import Attempt, Event, History


@dataclass(frozen=True, kw_only=True)
class BuildPlan:
    """How to build a candidate: pure text, carried out by the builder inside the sandbox.

    `files` are written into an empty folder, then each of `commands` (argument lists, relative
    to that folder) must exit with 0. `artifact` is the file that the runner loads: in the native
    lane a shared object with ``kw_entry``, in the module lane a Python file with ``ModelNew``.
    `environment` is set for the runner, which otherwise has none. `ahead` says that the kernels of
    a module may be compiled ahead of its lives, if it does nothing on a GPU but launch them.

    A build may have other builds in it, each of which is made once and kept by itself. What `parts`
    make stands in the folder under the names given here. The folder of `header`, a plan that is
    `ours`, may be read, and is what `HEADER_FOLDER` in a command stands for. `reads` are folders
    beside the system's that commands may read. A build that fails is made as `otherwise` says.
    `follow` plans the rest from what the artifact says, once it is there.

    `ours` says that there is no text of a candidate in it: what it makes may be large, is kept for
    this machine, and when it fails that is a fault of ours.
    """

    files: Mapping[str, str]
    commands: tuple[tuple[str, ...], ...]
    artifact: str
    lane: Lane
    environment: Mapping[str, str] = field(default_factory=dict)
    ahead: bool = False
    reads: tuple[str, ...] = ()
    parts: Mapping[str, BuildPlan] = field(default_factory=dict)
    header: BuildPlan | None = None
    otherwise: BuildPlan | None = None
    follow: Follow | None = None
    ours: bool = False


HEADER_FOLDER = "@HEADER@"


class Follow(Protocol):
    """Plans the rest of a build from what its beginning wrote, where a candidate's code ran: that
    is a stranger's word. Two that have the same `repr` answer alike."""

    def __call__(self, wrote: bytes) -> BuildPlan:
        """The plan for what goes on.

        Raises:
            BuildRefused: what was written is not what the language asks for, or asks for what is
                not allowed.
        """
        ...


class Language(Protocol):
    """What a candidate is written in."""

    @property
    def name(self) -> str:
        """The name in the table of languages."""
        ...

    @property
    def entry_point(self) -> str:
        """Where a writer's candidate starts, as ``file.ext::name``: what the guide asks for."""
        ...

    @property
    def lane(self) -> Lane:
        """The lane that its candidates are judged in."""
        ...

    @property
    def devices(self) -> tuple[Literal["cpu", "cuda"], ...]:
        """Where its candidates can run."""
        ...

    def missing(self, purpose: Literal["build", "run", "time"]) -> str | None:
        """What this machine lacks for `purpose`, as a sentence; None when it works here."""
        ...

    def guide(self, problem: Problem) -> str:
        """How to write a candidate for `problem`, with the exact entry point, as Markdown."""
        ...

    def build(self, candidate: Candidate, problem: Problem, *, sanitize: bool = False) -> BuildPlan:
        """How to build `candidate`; `sanitize` asks for memory and undefined-behaviour checks."""
        ...


@runtime_checkable
class FindsRaces(Protocol):
    """A language that can also build for looking at what threads do to each other."""

    def missing_race_check(self) -> str | None:
        """What this machine lacks for it; None when it can be tried."""
        ...

    def race_build(self, candidate: Candidate, problem: Problem) -> BuildPlan:
        """How to build `candidate` so that its process ends on a data race, with status 66."""
        ...


class Message(Record):
    """One turn of a conversation with a model."""

    role: Literal["system", "user", "assistant"]
    text: str


class ModelRequest(Record):
    """What is asked of a model. `sample` tells apart requests that are otherwise equal, so that
    a cache does not answer the second with the first."""

    messages: tuple[Message, ...]
    temperature: float | None = None
    max_tokens: int = 8192
    sample: int = 0


class ModelReply(Record):
    """What a model answered. `cost_usd` is None when its price is not known."""

    text: str
    usage: Usage = Usage()
    cost_usd: float | None = None
    latency_s: float = 0.0
    finish: str = "stop"
    cached: bool = False


class Model(Protocol):
    """A language model."""

    @property
    def name(self) -> str:
        """The name it was asked for by, as ``provider:name``."""
        ...

    async def reply(self, request: ModelRequest) -> ModelReply:
        """Answer `request`.

        Raises:
            ModelError: it did not answer, after the retries that its settings allow.
        """
        ...


class Strategy(Protocol):
    """Decides what to try next. A pure function of the history, so a run resumes anywhere."""

    def ask(self, history: History, count: int) -> Sequence[Plan]:
        """Up to `count` plans; an empty sequence with nothing pending ends the search."""
        ...


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """What a writer is given: the plan, the problem, and the attempts that the plan builds on.

    `made` are the ids of the candidates that the run has already.
    """

    step: int
    plan: Plan
    problem: Problem
    parents: tuple[Attempt, ...] = ()
    made: frozenset[str] = frozenset()


class Example(Record):
    """A kernel that was verified, and does something near what is asked for."""

    title: str
    reference: str
    source: str


class Passage(Record):
    """Something that is known: where it is from, what it is about, and the text."""

    source: str
    title: str
    text: str


class Writer(Protocol):
    """Turns a plan into a candidate."""

    async def propose(self, assignment: Assignment) -> Proposal:
        """A candidate, or the reason why there is none. A bad reply is a reason, not an error.

        Raises:
            FaultError: our own failure, such as a model that cannot be reached.
        """
        ...


@runtime_checkable
class ReadsHints(Protocol):
    """A writer that may read the hints of a plan. To others none are given."""

    @property
    def reads_hints(self) -> bool:
        """Whether it does."""
        ...


class Evaluator(Protocol):
    """Says whether a candidate is right and how fast it is."""

    async def evaluate(self, candidate: Candidate, effort: Effort) -> Evaluation:
        """The verdict on `candidate`.

        Raises:
            FaultError: our own failure; the candidate is not to blame and may be tried again.
        """
        ...


class Store(Protocol):
    """What happened: an append-only log, and blobs by content."""

    def append(self, event: Event) -> int:
        """Write `event` durably and return its `seq`."""
        ...

    def records(self, after: int = 0) -> Sequence[Event]:
        """The events with a `seq` above `after`, in order."""
        ...

    def put(self, blob: bytes) -> str:
        """Keep `blob` and return its key, the SHA-256 of its content."""
        ...

    def get(self, key: str) -> bytes:
        """The blob under `key`.

        Raises:
            StoreError: there is none.
        """
        ...
