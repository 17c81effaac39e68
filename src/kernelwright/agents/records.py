"""What a coding agent is told: one record for each thing that it may ask for.

They are the same over MCP and in a shell. Nothing in them tells what a hidden workload is; see
`agents.view`.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from kernelwright.core.candidate import PlanKind
from kernelwright.core.diagnosis import Diagnosis, Figure
from kernelwright.core.evaluation import Environment, MismatchKind, Regime, Trait
from kernelwright.core.problem import Direction, Split, TensorSpec
from kernelwright.core.record import Record
from kernelwright.core.statistics import Verdict as Comparison
from kernelwright.evaluate.profile.counters import Counters
from kernelwright.evaluate.profile.disassembly import Facts

OutcomeKind = Literal[
    "passed", "wrong_result", "build_failed", "crashed", "timed_out", "rejected"
]  # fmt: skip
State = Literal["judged", "waiting", "declined", "fault"]


class Failure(Record):
    """One case that did not agree.

    `sizes` and `share_right` (of its elements, from 0 to 1) are None for a hidden workload, of
    which `kind`, `distribution` and `traits` are all that is told.
    """

    where: Split
    kind: MismatchKind
    output: str
    distribution: str
    traits: tuple[Trait, ...] = ()
    sizes: dict[str, int] | None = None
    share_right: float | None = None
    detail: str | None = None


class Speedup(Record):
    """How many times faster than `baseline`, with its 95% interval; above 1 is faster."""

    baseline: str
    median: float
    ci_low: float
    ci_high: float
    verdict: Comparison


class Timing(Record):
    """Median milliseconds per call at the report's sizes, in one regime.

    In "returned" each call makes its output anew, in "buffer" the output's memory is there already.
    """

    regime: Regime
    candidate_ms: float
    baselines_ms: dict[str, float]
    speedup: Speedup | None


class Verdict(Record):
    """What the judge said. `diagnosis` is the whole of it in words, with what to try.

    `timings` and `limits` are empty and None unless it passed; `speedup` is that in the regime
    "returned", over the fastest baseline.
    """

    outcome: OutcomeKind
    summary: str
    diagnosis: str
    speedup: Speedup | None = None
    timings: tuple[Timing, ...] = ()
    failures: tuple[Failure, ...] = ()
    limits: Diagnosis | None = None
    not_checked: tuple[str, ...] = ()


class Left(Record):
    """What is left of the budget; None is no limit. `spent_usd` is None when a price was not told.

    `exhausted` says what is used up, and `allowed` what may be asked for all the same.
    """

    attempts: int | None
    seconds: float | None
    dollars: float | None
    spent_usd: float | None
    exhausted: str | None
    allowed: tuple[str, ...]


class Best(Record):
    """The fastest attempt so far that is right."""

    step: int
    speedup: float


class Attempt(Record):
    """One attempt in a line. `speedup` is its median over the fastest baseline."""

    step: int
    kind: PlanKind
    writer: str
    language: str
    parents: tuple[int, ...]
    idea: str
    state: State
    outcome: OutcomeKind | None
    summary: str
    speedup: float | None
    settings: dict[str, int]
    cost_usd: float | None
    tokens: int


class Submitted(Record):
    """What became of a candidate.

    `verdict` is None where there is none, and `attempt.summary` says why. `repeated` is the step
    that had the same candidate before: nothing was spent then, and its verdict is given again.
    """

    attempt: Attempt
    verdict: Verdict | None
    repeated: int | None
    best: Best | None
    left: Left
    next: str


class Shown(Record):
    """An attempt in full: its files, and what the judge said."""

    attempt: Attempt
    files: dict[str, str]
    entry_point: str | None
    verdict: Verdict | None


class Attempts(Record):
    """Every attempt, oldest first."""

    attempts: tuple[Attempt, ...]
    best: Best | None
    left: Left


class BuildResult(Record):
    """Whether it compiles. No attempt is spent, and nothing of it is run."""

    builds: bool
    said: str


class Diff(Record):
    """What `new` has otherwise than `old`, as a unified diff; empty when the texts are equal."""

    old: int
    new: int
    text: str


class Profile(Record):
    """What limits the candidate of an attempt, and what the compiler made of it.

    What could not be looked at is None, and `not_known` says why.
    """

    step: int
    bottleneck: str | None
    meaning: str
    figures: tuple[Figure, ...] = ()
    headroom: float | None = None
    hints: tuple[str, ...] = ()
    not_known: tuple[str, ...] = ()
    facts: Facts | None = None
    counters: Counters | None = None


class Tuned(Record):
    """What the tuner tried: attempts of its own, which the budget counts. `ended` says why it
    stopped before it had made all that it was asked for; None when it made them."""

    trials: tuple[Attempt, ...]
    ended: str | None
    best: Best | None
    left: Left


class NotPromoted(Record):
    """A candidate that passed in the search and did not on promotion."""

    step: int
    verdict: Verdict


class Promoted(Record):
    """The best candidate, judged again on fresh samples, and the files that were written for it.

    `step` is None when no attempt holds; `drop_in` is the verdict on the module that users import.
    """

    step: int | None
    verdict: Verdict | None
    drop_in: Verdict | None
    not_promoted: tuple[NotPromoted, ...]
    folder: str
    files: tuple[str, ...]
    next: str


class Sizes(Record):
    """The sizes of a workload that may be known. Report is what is timed."""

    split: Split
    axes: dict[str, int]


class Listed(Record):
    """A problem: what to ask for it by, and what it computes."""

    problem: str
    title: str


class Problems(Record):
    """What there is to work on."""

    problems: tuple[Listed, ...]


class ProblemText(Record):
    """A problem as its file has it."""

    problem: str
    title: str
    reference: str


class Description(Record):
    """Everything that an agent is told about its task.

    `guide` has the reference, the exact entry point and the rules of the language. There are
    `hidden_workloads` more sizes than those of `workloads`, which only the judge knows.
    `machine` is None where the judge is on another one.
    """

    run: str
    problem: str
    title: str
    direction: Direction
    language: str
    entry_point: str
    guide: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    workloads: tuple[Sizes, ...]
    hidden_workloads: int = Field(ge=0)
    tolerance: tuple[str, ...]
    judged_by: tuple[str, ...]
    machine: Environment | None
    left: Left
