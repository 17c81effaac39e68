"""Made-up runs, for tests of whatever reads a run's log.

Every value is plausible and none was measured. `write_run` tells a whole search in a few events;
the builders beside it make single records with defaults for what a test does not care about.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from kernelwright.core.candidate import Candidate, ModelCall, Plan, Proposal, Tunable, Usage
from kernelwright.core.diagnosis import Diagnosis
from kernelwright.core.evaluation import (
    Agreement,
    BuildFailed,
    Effort,
    Environment,
    Evaluation,
    Fault,
    Measurement,
    Mismatch,
    Outcome,
    Passed,
    Performed,
    Regime,
    WrongResult,
)
from kernelwright.core.problem import Problem, Source, TensorSpec, Workload
from kernelwright.core.protocols import Store
from kernelwright.core.record import Record
from kernelwright.core.run import Budget, Event, RunSpec
from kernelwright.core.statistics import CONTROL
from kernelwright.problems.admission import Admission, Mutant

ENVIRONMENT = Environment(
    device="cpu",
    cpu="Imaginary 9000",
    cores=2,
    threads=2,
    memory_gb=24.0,
    os="Linux 6.18",
    versions={"python": "3.11.7", "torch": "2.13.0", "g++": "12.2.0"},
)

PROBLEM = Problem(
    id="rmsnorm_silu",
    title="RMSNorm with a learned scale, followed by SiLU",
    origin="examples/rmsnorm_silu.py",
    axes=("n0", "n1"),
    inputs=(
        TensorSpec(name="x", shape=("n0", "n1"), dtype="float32", role="input"),
        TensorSpec(name="weight", shape=("n1",), dtype="float32", role="weight"),
    ),
    outputs=(TensorSpec(name="out0", shape=("n0", "n1"), dtype="float32", role="output"),),
    reference=Source(files={"model.py": "class Model: ...\n"}, entry_point="model.py::Model"),
    workloads=(
        Workload(id="report", split="report", axes={"n0": 2048, "n1": 4096}),
        Workload(id="small", split="search", axes={"n0": 3, "n1": 17}),
    ),
)

ADMISSION = Admission(
    problem_id=PROBLEM.id,
    mutants=(
        Mutant(name="zeros", status="killed", reason="all 12 cases failed", suite_killed=12),
        Mutant(name="mean", status="killed", reason="all 12 cases failed", suite_killed=12),
        Mutant(name="down_cast", status="survived", reason="float16 is precise enough here"),
    ),
)


def candidate(
    text: str, *, language: str = "cpp", settings: dict[str, int] | None = None
) -> Candidate:
    """A candidate for `PROBLEM` with `text` and one tunable."""
    return Candidate(
        problem_id=PROBLEM.id,
        language=language,
        source=Source(files={"kernel.cpp": text}, entry_point="kernel.cpp::rmsnorm_silu"),
        tunables=(Tunable(name="ROWS", choices=(1, 2, 4), default=1),),
        settings=settings or {},
    )


def measurements(
    medians_ns: dict[str, float], regime: Regime, *, blocks: int = 24, seed: int = 0,
    repeats: str = "torch.compile",
) -> tuple[Measurement, ...]:  # fmt: skip
    """One paired session: for each subject `blocks` blocks that scatter around its median. A
    control among them is of the baseline `repeats`."""
    rng = random.Random(f"{seed} {regime}")
    drift = [rng.gauss(1.0, 0.01) for _ in range(blocks)]
    return tuple(
        Measurement(
            workload_id="report",
            subject=subject,
            repeats=repeats if subject == CONTROL else None,
            regime=regime,
            calls=(8,) * blocks,
            elapsed_ns=tuple(
                round(8 * median * d * rng.lognormvariate(0, 0.015)) + 20_000 for d in drift
            ),
            overhead_ns=20_000,
        )
        for subject, median in medians_ns.items()
    )


def passed(candidate_ns: float, *, seed: int = 0, profile: Diagnosis | None = None) -> Passed:
    """A pass, timed in both regimes against eager (12 ms) and torch.compile (5 ms)."""
    rivals = {"eager": 12e6, "torch.compile": 5e6, "control": 5e6}
    into_buffer = {name: median * 0.8 for name, median in rivals.items()}
    return Passed(
        agreements=(
            Agreement(workload_id="small", split="search", cases=12, elements=51, worst=0.1),
            Agreement(workload_id="report", split="report", cases=6, elements=8388608, worst=0.2),
        ),
        measurements=(
            *measurements({"candidate": candidate_ns, **rivals}, "returned", seed=seed),
            *measurements(
                {"candidate": candidate_ns * 0.6, **into_buffer}, "buffer", seed=seed + 1
            ),
        ),
        profile=profile,
    )


def evaluation(
    of: Candidate, outcome: Outcome, *, effort: Effort = "search", log: str = ""
) -> Evaluation:
    """A verdict on a candidate, with what was checked."""
    return Evaluation(
        candidate_id=of.id,
        effort=effort,
        outcome=outcome,
        environment=ENVIRONMENT,
        evaluator="0.1.0",
        lane=of.lane,
        isolation="bubblewrap+landlock+seccomp",
        checks=(
            Performed(name="values against the float64 oracle", count=18),
            Performed(name="guard zones intact", count=36),
        ),
        not_checked=("thread counts other than 2", "data races"),
        stage_s={"build": 0.6, "core": 1.2},
        log=log,
    )


class Log:
    """Writes the events of a made-up run into `store`, a second apart."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._at = 1_000_000.0

    def add(self, kind: str, data: Record | dict[str, object]) -> None:
        """Append one event, one second after the last."""
        self._at += 1.0
        values = data.model_dump(mode="json") if isinstance(data, Record) else data
        self.store.append(Event.model_validate({"at": self._at, "kind": kind, "data": values}))

    def start(self, problem: Problem = PROBLEM) -> None:
        """The events before the first attempt."""
        spec = RunSpec(problem=problem.origin, budget=Budget(max_attempts=8), languages=("cpp",))
        self.add("started", {"spec": spec.model_dump(mode="json"), "name": "demo", "version": "0"})
        self.add("problem", problem)
        self.add("admission", ADMISSION)

    def attempt(
        self,
        step: int,
        plan: Plan,
        made: Candidate | None,
        outcome: Outcome | None = None,
        *,
        reason: str | None = None,
        calls: Sequence[ModelCall] = (),
        log: str = "",
    ) -> None:
        """One attempt, as far as it got."""
        self.add("plan", {"step": step, "plan": plan.model_dump(mode="json")})
        self.add(
            "proposal",
            Proposal(step=step, plan=plan, candidate=made, reason=reason, model_calls=tuple(calls)),
        )
        if made is not None and outcome is not None:
            key = self.store.put(log.encode()) if log else ""
            self.verdict("evaluation", step, evaluation(made, outcome, log=key))

    def verdict(self, kind: str, step: int, said: Evaluation) -> None:
        """An evaluation or a promotion."""
        self.add(kind, {"step": step, "evaluation": said.model_dump(mode="json")})


_TEXT = """\
#include <cmath>

void rmsnorm_silu(const float* x, const float* weight, float* out, int64_t n0, int64_t n1) {
    for (int64_t r = 0; r < n0; ++r) {
        float sum = 0.0f;
        for (int64_t c = 0; c < n1; ++c) sum += x[r * n1 + c] * x[r * n1 + c];
        const float scale = 1.0f / std::sqrt(sum / n1 + 1e-6f);
        for (int64_t c = 0; c < n1; ++c) {
            const float v = x[r * n1 + c] * scale * weight[c];
            out[r * n1 + c] = v / (1.0f + std::exp(-v));
        }
    }
}
"""

_PARALLEL = "    #pragma omp parallel for\n"


def write_run(store: Store, *, finished: bool = True, profile: Diagnosis | None = None) -> None:
    """A whole search: a first draft, a refinement, failures of several kinds, tuning, a fault.

    With `finished=False` it stops in the middle of an attempt, as a killed process leaves it.
    `profile` is what the winner's evaluation says of it.
    """
    log = Log(store)
    log.start()
    first = candidate(_TEXT)
    faster = candidate(_TEXT.replace("    for (int64_t r", f"{_PARALLEL}    for (int64_t r", 1))
    broken = candidate(_TEXT.replace("sum / n1", "sum / n2"))
    wrong = candidate(_TEXT.replace("* weight[c]", ""))
    draft = Plan(kind="draft", language="cpp", writer="sketch")
    refine = Plan(kind="refine", language="cpp", writer="llm", parents=(first.id,))
    call = ModelCall(
        role="writer", model="openai:imaginary", request="", reply=None,
        usage=Usage(input_tokens=2100, output_tokens=640), cost_usd=0.0123, latency_s=4.2,
    )  # fmt: skip
    log.attempt(1, draft, first, passed(9e6, seed=1), log="built in 0.6 s\n")
    log.attempt(2, refine, broken, BuildFailed(diagnostics=_DIAGNOSTICS), calls=[call])
    log.attempt(3, refine, None, reason="The reply holds no code block.", calls=[call])
    log.attempt(4, refine, wrong, WrongResult(mismatches=(_MISMATCH,)), calls=[call])
    log.attempt(5, refine, faster, passed(2.6e6, seed=2), calls=[call])
    log.add(
        "fault",
        Fault(where="model", step=6, message="openai:imaginary did not answer.", retryable=True),
    )
    tune = Plan(kind="tune", language="cpp", writer="tuner", parents=(faster.id,))
    if not finished:
        log.attempt(6, tune, faster.tuned({"ROWS": 4}))
        return
    tuned = faster.tuned({"ROWS": 4})
    log.attempt(6, tune, tuned, passed(2.1e6, seed=3))
    again = passed(2.15e6, seed=4, profile=profile)
    log.verdict("promotion", 6, evaluation(tuned, again, effort="promotion"))
    log.add("finished", {"reason": "the budget of 8 attempts is used up", "step": 6})


_DIAGNOSTICS = """\
kernel.cpp: In function 'void rmsnorm_silu(...)':
kernel.cpp:7:53: error: 'n2' was not declared in this scope; did you mean 'n1'?
    7 |         const float scale = 1.0f / std::sqrt(sum / n2 + 1e-6f);
      |                                                    ^~
"""
_MISMATCH = Mismatch(
    workload_id="small",
    split="search",
    distribution="normal",
    output="out0",
    kind="wrong_value",
    matched_ratio=0.031,
    detail="element 4 is 0.731, expected 1.402 (allowed error 4.1e-06)",
)
