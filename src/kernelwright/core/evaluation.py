"""What the judge says: one outcome per candidate, with raw measurements only when it passed."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import BeforeValidator, Field

from kernelwright.core.candidate import Lane, ModelCall
from kernelwright.core.diagnosis import Diagnosis
from kernelwright.core.errors import Where
from kernelwright.core.problem import Split
from kernelwright.core.record import Record

Stage = Literal["build", "load", "screen", "core", "timing", "sanitize", "far"]
Effort = Literal["search", "promotion"]
Regime = Literal["returned", "buffer"]
# From the weakest to the strongest; what each means is in docs/judge.md.
Isolation = Literal[
    "process", "landlock+seccomp", "bubblewrap+seccomp", "bubblewrap+landlock+seccomp"
]
MismatchKind = Literal[
    "wrong_value", "nonfinite", "unwritten", "out_of_bounds_write", "input_mutated",
    "precision", "nondeterministic", "wrong_shape", "wrong_dtype",
]  # fmt: skip
# What is special about a call, in classes that give no size away.
Trait = Literal["empty", "size_one", "tail", "larger", "unaligned"]

# Stages that only the machine's processors work on, whatever the device is.
_OFF_DEVICE = frozenset({"build", "profile"})

BEST_ISOLATION: Isolation = "bubblewrap+landlock+seccomp"


def isolates(level: Isolation, required: Isolation) -> bool:
    """Whether `level` is `required` or better.

    >>> isolates("landlock+seccomp", "process"), isolates("landlock+seccomp", "bubblewrap+seccomp")
    (True, False)
    """
    levels = get_args(Isolation)
    return bool(levels.index(level) >= levels.index(required))


def _renamed(level: object) -> object:
    """An evaluation stored before there was Landlock calls its level "bubblewrap"."""
    return "bubblewrap+seccomp" if level == "bubblewrap" else level


StoredIsolation = Annotated[Isolation, BeforeValidator(_renamed)]


class Agreement(Record):
    """A workload on which every case agreed. `worst` is the largest error over its tolerance."""

    workload_id: str
    split: Split
    cases: int
    elements: int
    worst: float


class Mismatch(Record):
    """One case that did not agree.

    `matched_ratio` is the share of elements within tolerance. `detail` says where and by how
    much; it is None for hidden workloads, of which only the class is told: `traits` says what is
    special about their sizes. "unaligned" is said of any workload: every wrong call was at
    addresses that no vector is aligned to, and calls at others were right.
    """

    workload_id: str
    split: Split
    distribution: str
    output: str
    kind: MismatchKind
    matched_ratio: float
    detail: str | None = None
    traits: tuple[Trait, ...] = ()


class Measurement(Record):
    """Blocks of calls of one subject on one workload, timed from outside its process.

    Block `i` ran `calls[i]` calls in `elapsed_ns[i]`, of which `overhead_ns` is the round trip of
    a block of no work, measured on a trusted process. Measurements of one session are paired:
    block `i` of each ran next to block `i` of the others. In the regime "returned" each call
    allocates its output, as a user's call does; in "buffer" the output's memory is there already.
    The `clock` "broker" runs from asking for a block to its reply; "queued" from when a GPU may
    begin with what was queued on it, so that launches are not in it. `repeats` is the baseline that
    a control is measured against; None for every other subject.
    """

    workload_id: str
    subject: str
    repeats: str | None = None
    regime: Regime
    calls: tuple[int, ...]
    elapsed_ns: tuple[int, ...]
    overhead_ns: int
    clock: Literal["broker", "queued"] = "broker"
    cache: Literal["cold", "warm"] = "cold"

    @property
    def samples_ns(self) -> tuple[float, ...]:
        """Nanoseconds per call, one for each block, less the round trip."""
        return tuple(
            max(elapsed - self.overhead_ns, 1) / calls
            for elapsed, calls in zip(self.elapsed_ns, self.calls, strict=True)
        )


class Passed(Record):
    """Right on every case. `measurements` is empty when timing was not asked for or is refused.

    `profile` says what limits it; None in an evaluation that was stored before there was one.
    """

    kind: Literal["passed"] = "passed"
    agreements: tuple[Agreement, ...]
    measurements: tuple[Measurement, ...] = ()
    profile: Diagnosis | None = None


class WrongResult(Record):
    """At least one case did not agree."""

    kind: Literal["wrong_result"] = "wrong_result"
    mismatches: tuple[Mismatch, ...] = Field(min_length=1)


class BuildFailed(Record):
    """The builder could not make it; `diagnostics` is what the compiler said."""

    kind: Literal["build_failed"] = "build_failed"
    diagnostics: str


class Crashed(Record):
    """It died. `signal` is its name (``SIGSEGV``) or None after a plain exit."""

    kind: Literal["crashed"] = "crashed"
    stage: Stage
    signal: str | None
    detail: str


class TimedOut(Record):
    """It took longer than a stage may."""

    kind: Literal["timed_out"] = "timed_out"
    stage: Stage
    limit_s: float


class Rejected(Record):
    """It broke a rule of the judge; `rule` names it, `evidence` shows it."""

    kind: Literal["rejected"] = "rejected"
    rule: str
    evidence: str


Outcome = Annotated[
    Passed | WrongResult | BuildFailed | Crashed | TimedOut | Rejected,
    Field(discriminator="kind"),
]


class Gpu(Record):
    """The GPU that an evaluation used, as NVML tells; None is what the card does not tell.

    `index` counts the machine's cards by their PCI addresses. `power_limit_w` is in watts; `mig` is
    whether it is divided into instances.
    """

    name: str
    uuid: str
    index: int
    driver: str
    power_limit_w: float | None = None
    ecc: bool | None = None
    mig: bool | None = None
    persistence: bool | None = None


class Clock(Record):
    """How a GPU ran while a candidate and its baselines were timed: one look before each block and
    one after it, of which the slower counts.

    `discarded_blocks` of the `blocks` were left out with their rounds, in which the GPU ran below
    90% of the session's median for the same subject. `warmest_c` and `most_w` are the highest
    temperature and power that were seen, None where the card does not tell; `throttle_reasons` are
    all that were given.
    """

    median_mhz: float
    lowest_mhz: int
    blocks: int
    discarded_blocks: int
    throttle_reasons: tuple[str, ...] = ()
    warmest_c: int | None = None
    most_w: float | None = None


class Environment(Record):
    """Where an evaluation ran. `versions` has python, torch, the compiler and the like. `clock` is
    None where nothing was timed on a GPU, or nobody could look at its clock."""

    device: str
    cpu: str
    cores: int
    threads: int
    memory_gb: float
    os: str
    versions: dict[str, str] = {}
    gpu: Gpu | None = None
    clock: Clock | None = None

    @property
    def kind(self) -> Literal["cpu", "cuda"]:
        """What kind of device it was."""
        return "cpu" if self.device == "cpu" else "cuda"


class Performed(Record):
    """One kind of check that was made, and how often."""

    name: str
    count: int


class Evaluation(Record):
    """What the judge says about a candidate."""

    candidate_id: str
    effort: Effort
    outcome: Outcome
    environment: Environment
    evaluator: str
    lane: Lane
    isolation: StoredIsolation
    checks: tuple[Performed, ...] = ()
    not_checked: tuple[str, ...] = ()
    stage_s: dict[str, float] = {}
    log: str = ""

    @property
    def device_s(self) -> float:
        """Seconds in the stages that run something on the device: all but compiling a candidate and
        looking at its machine code.

        Evaluations side by side count each in full. Waiting for a turn is in no stage; waiting for
        the baselines to be ready is in the timing of whoever came first.
        """
        return sum(spent for stage, spent in self.stage_s.items() if stage not in _OFF_DEVICE)


class Fault(Record):
    """Our own failure; never charged to a candidate. `model_calls` were answered before it, and
    are in no proposal."""

    where: Where
    step: int | None
    message: str
    retryable: bool
    model_calls: tuple[ModelCall, ...] = ()
