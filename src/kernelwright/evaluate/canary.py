"""The canary: a kernel known to be right and one known to cheat, judged now and then.

When the judge passes the cheat or fails the right one, something broke since it last did not: a
full disk, a sandbox that leaks, memory that flips, a library that was replaced under us. What was
judged in between is not believed. The problem is tiny and needs no torch, so a pair costs some
tens of milliseconds.
"""

from __future__ import annotations

import secrets
from pathlib import Path

import numpy as np

from kernelwright.core.agreement import Expected
from kernelwright.core.candidate import Candidate
from kernelwright.core.errors import JudgeBroken
from kernelwright.core.evaluation import BuildFailed, Isolation, TimedOut, WrongResult
from kernelwright.core.problem import Problem, Source, TensorSpec, Workload
from kernelwright.core.protocols import Language
from kernelwright.core.tolerance import tolerance
from kernelwright.evaluate.building.builder import Builder
from kernelwright.evaluate.correctness.cases import CaseSet
from kernelwright.evaluate.correctness.notes import Verified
from kernelwright.evaluate.correctness.verify import Failure, run_stage
from kernelwright.evaluate.defences import Defences
from kernelwright.evaluate.running.bodies import body
from kernelwright.problems.case import Case

EVERY = 25  # evaluations between two pairs
_ELEMENTS = 1000
_SMALL = Workload(id="canary", split="search", axes={"n": _ELEMENTS})

RIGHT = """
extern "C" void kernel(const float* x, float* y, int64_t n) {
    for (int64_t i = 0; i < n; i++) y[i] = 2.0f * x[i] + 1.0f;
}
"""
# It remembers its first answer, and is right for as long as the inputs do not change.
CHEAT = """
extern "C" void kernel(const float* x, float* y, int64_t n) {
    static float* kept = nullptr;
    if (kept == nullptr) {
        kept = new float[n];
        for (int64_t i = 0; i < n; i++) kept[i] = 2.0f * x[i] + 1.0f;
    }
    for (int64_t i = 0; i < n; i++) y[i] = kept[i];
}
"""


class Canary:
    """The pair, and whose verdicts depend on it."""

    def __init__(self, builder: Builder, language: Language, level: Isolation, setup: Path):
        self._builder = builder
        self._language = language
        self._level: Isolation = level
        self._setup = setup
        self._since: list[str] = []

    def note(self, candidate_id: str) -> bool:
        """Note that `candidate_id` was judged; whether it is time to `check`."""
        self._since.append(candidate_id)
        return len(self._since) >= EVERY

    def check(self, defences: Defences) -> None:
        """Judge the pair now.

        Raises:
            JudgeBroken: a verdict on the pair is not what it must be; names what was judged since.
        """
        for text, must_pass in ((RIGHT, True), (CHEAT, False)):
            found = self._verdict(text, defences)
            passed = isinstance(found, Verified)
            if passed is must_pass and (passed or isinstance(found, WrongResult)):
                continue
            suspects, self._since = tuple(self._since), []
            kind = "right" if must_pass else "cheating"
            said = "passed" if passed else str(found)
            raise JudgeBroken(
                f"The judge's own {kind} kernel got the verdict: {said}. The {len(suspects)} "
                "verdicts since it last got the right one are void. Run `kernelwright doctor`.",
                suspects,
            )
        self._since.clear()

    def _verdict(self, text: str, defences: Defences) -> Verified | Failure | BuildFailed:
        source = Source(files={"kernel.cpp": text}, entry_point="kernel.cpp::kernel")
        candidate = Candidate(problem_id=_PROBLEM.id, language="cpp", source=source)
        plan = self._language.build(candidate, _PROBLEM)
        built = self._builder.build(plan)
        if isinstance(built, BuildFailed | TimedOut):
            return built
        runner = body(built, plan.lane, plan.environment, self._setup, device="cpu")
        cases = CaseSet(_PROBLEM, [(_SMALL, _case()) for _ in range(3)])
        log = self._setup.with_name("canary.log")
        try:
            return run_stage(cases, runner, plan.lane, "screen", self._level, log, defences)
        finally:
            cases.close()


def _case() -> Case:
    """A draw whose outputs NumPy gives."""
    x = np.random.default_rng(secrets.randbits(62)).standard_normal(_ELEMENTS).astype(np.float32)
    exact = 2.0 * x.astype(np.float64) + 1.0
    rounded = np.float32(2.0) * x + np.float32(1.0)
    limit = tolerance(exact, rounded, "float32", longest_axis=1)
    expected = Expected(name="y", dtype="float32", values=exact, tolerance=limit)
    return Case(
        workload_id=_SMALL.id, distribution="normal", inputs={"x": x}, expected=(expected,),
        eager_s=0.0,
    )  # fmt: skip


_PROBLEM = Problem(
    id="canary",
    title="Twice the input and one more",
    origin="canary",
    axes=("n",),
    inputs=(TensorSpec(name="x", shape=("n",), dtype="float32", role="input"),),
    outputs=(TensorSpec(name="y", shape=("n",), dtype="float32", role="output"),),
    reference=Source(files={"canary.py": ""}, entry_point="canary.py::Model"),
    workloads=(_SMALL,),
)
