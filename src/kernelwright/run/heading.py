"""What stands at the top of delivered files: the problem, the speedup, what was checked."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping

from kernelwright.core.candidate import Candidate
from kernelwright.core.evaluation import Evaluation, Passed, Regime
from kernelwright.core.problem import Problem
from kernelwright.core.statistics import CANDIDATE, Estimate, baselines, by_subject, speedup

_WIDTH = 96
_LABEL = 12
_REGIMES: Mapping[Regime, str] = {
    "returned": "a new output each call",
    "buffer": "into memory that is there already",
}


def heading(
    problem: Problem,
    candidate: Candidate,
    evaluation: Evaluation,
    *,
    name: str,
    module: str,
    device: str,
) -> list[str]:
    """The lines of the comment, without comment marks. `name` is the kernel's file."""
    entry, where = problem.reference.name, evaluation.environment
    rows = [
        ("Problem", problem.title),
        ("Kernel", f"{name}: candidate {candidate.id}, in {candidate.language}"),
        *(("Speedup", line) for line in _speedups(evaluation)),
        ("Timed on", f"{where.cpu}, {where.threads} threads, {_own_sizes(problem)}"),
        ("Sizes", _sizes(problem, evaluation)),
        ("Checked", _checked(evaluation)),
        *(("Not checked", line) for line in evaluation.not_checked),
    ]
    use = f"Keep {name} and {module} together. {_use(problem, device)}"
    what = {"forward": "", "backward": "The gradients of ", "forward_backward": ""}
    gradients = " and its gradients" if problem.direction == "forward_backward" else ""
    return [
        f"{what[problem.direction]}{entry} of {problem.reference.main_file}{gradients}, made "
        "faster by Kernelwright.",
        "",
        *(line for label, text in rows for line in _row(label, text)),
        "",
        *textwrap.wrap(use, _WIDTH),
    ]


def _use(problem: Problem, device: str) -> str:
    """How the module is called, and when it runs the kernel."""
    entry = problem.reference.name
    where = (
        f"on {device} tensors, and for what was verified it runs the kernel; for everything else "
        "the reference, with a warning."
    )
    if problem.direction == "forward":
        same = f"ModelNew has the arguments and the state_dict of {entry}."
        return f"{same} Without gradients, {where}"
    returned = ", ".join(spec.name for spec in problem.outputs)
    return (
        f"ModelNew has the state_dict of {entry}. Its forward takes the arguments of that of "
        f"{entry}, then {', '.join(problem.cotangents)}, and returns {returned}: not for autograd "
        f"to call, but what a torch.autograd.Function of yours can call in its backward. "
        f"{where[0].upper()}{where[1:]}"
    )


def verified_sizes(problem: Problem, evaluation: Evaluation) -> list[Mapping[str, int]]:
    """The sizes of every workload on which the candidate agreed."""
    outcome = evaluation.outcome
    agreed = {a.workload_id for a in outcome.agreements} if isinstance(outcome, Passed) else set()
    return [workload.axes for workload in problem.workloads if workload.id in agreed]


def _row(label: str, text: str) -> list[str]:
    indent = " " * (_LABEL + 1)
    first = f"{label:<{_LABEL}} "
    return textwrap.wrap(
        _one_line(text), _WIDTH, initial_indent=first, subsequent_indent=indent
    ) or [first]


def _speedups(evaluation: Evaluation) -> Iterator[str]:
    outcome = evaluation.outcome
    measured = outcome.measurements if isinstance(outcome, Passed) else ()
    if not measured:
        yield "not timed"
    for regime, words in _REGIMES.items():
        subjects = by_subject(measured, regime)
        for rival, measurement in baselines(subjects).items():
            if CANDIDATE in subjects:
                ratio = _ratio(speedup(subjects[CANDIDATE], measurement))
                yield f"{ratio} over {rival}, {words}"


def _ratio(estimate: Estimate) -> str:
    return f"{estimate.median:.2f}x [{estimate.ci_low:.2f}, {estimate.ci_high:.2f}]"


def _own_sizes(problem: Problem) -> str:
    return ", ".join(f"{axis} = {size}" for axis, size in problem.report_workload.axes.items())


def _sizes(problem: Problem, evaluation: Evaluation) -> str:
    seen = verified_sizes(problem, evaluation)
    words = []
    for axis in problem.axes:
        sizes = sorted({one[axis] for one in seen})
        words.append(f"{axis} = {sizes[0]} only" if len(sizes) == 1 else f"any {axis}")
    return ", ".join(words) or "as they are"


def _checked(evaluation: Evaluation) -> str:
    checks = (f"{check.name} ({check.count})" for check in evaluation.checks)
    return ", ".join(checks) or "nothing is recorded"


def _one_line(text: str) -> str:
    """`text` in one line that cannot end a comment or go on in the next."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).replace("\\", "/").split())
