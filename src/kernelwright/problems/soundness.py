"""Which distributions a problem's cases may be drawn from."""

from __future__ import annotations

from kernelwright.core.errors import ProblemError
from kernelwright.core.formats import is_float
from kernelwright.core.problem import Problem, Workload
from kernelwright.problems.distributions import DECLARED, DISTRIBUTIONS
from kernelwright.problems.oracle import Oracle

_SEED = 1
_QUICK_BYTES = 4 << 20


def sound_distributions(oracle: Oracle, problem: Problem) -> tuple[str, ...]:
    """The distributions under which the reference agrees with its float64 twin.

    Tried at the largest of the sizes at which a case takes milliseconds; what only fails at
    larger ones is noticed case by case (`Oracle.sound_answer`).
    """
    quick = [w for w in problem.workloads if problem.traffic_bytes(w) <= _QUICK_BYTES]
    workload = max(quick or problem.workloads[:1], key=problem.traffic_bytes)
    names: tuple[str, ...] = DISTRIBUTIONS
    if all(rule == "file" for rule in workload.inputs.values()):
        arranged = any(s.shape and not is_float(s.dtype) for s in problem.inputs)
        names = ("file", "structured") if arranged else ("file",)
    return tuple(d for d in names if _is_sound(oracle, problem, workload, d))


def _is_sound(oracle: Oracle, problem: Problem, workload: Workload, distribution: str) -> bool:
    if distribution == "file":
        return True
    if distribution in DECLARED and not problem.check.nonfinite:
        return False
    if distribution == "denormal" and oracle.device != "cpu":
        return False  # GPU kernels may flush them to zero, as torch's own fast functions do

    def fair(seed: int) -> bool:
        try:
            answer = oracle.answer(problem, workload, distribution, seed)
            return oracle.fair(problem, workload, answer, seed) is not None
        except ProblemError:
            return False

    # A pattern that does not suit the problem does not speak against the others.
    enough = any if distribution == "structured" else all
    return enough(fair(seed) for seed in (_SEED, _SEED + 1))
