"""From an evaluation to what an agent may see of it: the one place where that is decided.

An agent is told all about the workloads that it knows. Of the others it learns the class of a
fault: what kind it is, on which distribution, and what is special about the sizes there. It never
learns a size, a seed, a value, or what a candidate printed once it had been shown hidden inputs.
What is not known to be safe is left out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import get_args

from kernelwright.agents.records import Failure, Speedup, Timing, Verdict
from kernelwright.core.evaluation import (
    BuildFailed,
    Crashed,
    Evaluation,
    Mismatch,
    Outcome,
    Passed,
    Regime,
    Rejected,
    TimedOut,
    WrongResult,
)
from kernelwright.core.problem import Problem
from kernelwright.core.statistics import CANDIDATE, baselines, by_subject, median_ns, versus_best
from kernelwright.generate.feedback import diagnosis
from kernelwright.report.result import Result

# Stages of which no life has seen a hidden workload, so that what it printed may be told.
_OPEN_STAGES = ("build", "load", "screen", "timing")
_ON_KNOWN = re.compile(r"On workload (\S+) \(")
_HIDDEN = re.compile(r"On a hidden workload(?: \([\w, ]*\))?")
# What the judge itself says of a crash, in words that hold no size.
_OWN_WORDS = re.compile(
    r"It wrote to an input, which is read-only, or read past an input's end\.|"
    r"It read or wrote past an output's end\.|It raised\.|It ran out of memory\.|"
    r"The device reports [A-Za-z_]+\.|The process ended with [A-Z]+ before it answered\.|"
    r"With \w+ \d+ times as large it reads or writes outside of [a-z ]+: an index wraps beyond "
    r"2\^31 elements\. Compute indices in int64_t\.|"
    r"compute-sanitizer \w+: .*"  # of which `correctness.sanitizer_report` shows what is safe
)
_NUMBER = re.compile(r"(?<![\w.])\d+(?![\w.]*\w)")
_SMALL = 8  # sizes up to this are everywhere, and say nothing
_LIMITS = (5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)


def verdict_of(evaluation: Evaluation, problem: Problem) -> Verdict:
    """What an agent is told about `evaluation`."""
    safe = shareable(evaluation, problem)
    outcome = safe.outcome
    passed = outcome if isinstance(outcome, Passed) else None
    timings = tuple(_timings(passed)) if passed else ()
    return Verdict(
        outcome=outcome.kind,
        summary=_summary(outcome, timings),
        diagnosis=diagnosis(safe, problem),
        speedup=next((t.speedup for t in timings if t.regime == "returned"), None),
        timings=timings,
        failures=tuple(_failures(outcome, problem)),
        limits=passed.profile if passed else None,
        not_checked=safe.not_checked,
    )


def shareable(evaluation: Evaluation, problem: Problem) -> Evaluation:
    """`evaluation` without anything that tells of a hidden workload."""
    return evaluation.model_copy(
        update={
            "outcome": shareable_outcome(evaluation.outcome, problem),
            "not_checked": tuple(without_sizes(s, problem) for s in evaluation.not_checked),
            "checks": (),
            "log": "",
        }
    )


def shareable_outcome(outcome: Outcome, problem: Problem) -> Outcome:
    """`outcome` without anything that tells of a hidden workload."""
    known = {w.id for w in problem.workloads if w.split != "hidden"}
    changed: dict[str, object] = {}
    match outcome:
        case Passed(agreements=agreements, measurements=measurements):
            changed["agreements"] = tuple(a for a in agreements if a.workload_id in known)
            changed["measurements"] = tuple(m for m in measurements if m.workload_id in known)
        case WrongResult(mismatches=mismatches):
            told = (m if _is_known(m, known) else _class_of(m) for m in mismatches)
            changed["mismatches"] = tuple(told)
        case Crashed():
            changed["detail"] = without_sizes(_crash(outcome, known), problem)
        case TimedOut(stage=stage, limit_s=limit_s) if stage not in ("build", "load"):
            # A call may take a hundred times what eager mode takes on it, which tells its size.
            changed["limit_s"] = max((s for s in _LIMITS if s <= limit_s), default=limit_s)
        case Rejected(evidence=evidence):
            changed["evidence"] = without_sizes(_evidence(evidence), problem)
        case BuildFailed(diagnostics=diagnostics):
            changed["diagnostics"] = without_sizes(diagnostics, problem)
    return outcome.model_copy(update=changed)


def without_sizes(text: str, problem: Problem) -> str:
    """`text` with each number that is a size of a hidden workload, and of no other, taken out.

    The process of a candidate knows all sizes that it will be called with, and what it prints on
    other workloads is told.
    """
    sizes = {w.split == "hidden": set[int]() for w in problem.workloads}
    for workload in problem.workloads:
        sizes[workload.split == "hidden"] |= {*workload.axes.values(), *workload.constants.values()}
    secret = {n for n in sizes.get(True, set()) - sizes.get(False, set()) if n > _SMALL}
    return _NUMBER.sub(lambda m: "(…)" if int(m[0][:20]) in secret else m[0], text)


def shareable_result(result: Result, problem: Problem, first: Verdict | None) -> Result:
    """`result` as an agent may see it. What became of the first attempt is said as `first`."""
    drop_in = result.drop_in
    if drop_in is not None:
        said = f"It {drop_in.outcome.replace('_', ' ')}."
        drop_in = drop_in.model_copy(update={"reason": said})
    return result.model_copy(
        update={
            "reason": first.summary if result.reason is not None and first else None,
            "drop_in": drop_in,
            "checks": (),
            "not_checked": tuple(without_sizes(s, problem) for s in result.not_checked),
        }
    )


def _is_known(mismatch: Mismatch, known: set[str]) -> bool:
    return mismatch.split != "hidden" and mismatch.workload_id in known


def _class_of(mismatch: Mismatch) -> Mismatch:
    """A mismatch with its class alone."""
    return mismatch.model_copy(
        update={"workload_id": "hidden", "split": "hidden", "matched_ratio": 0.0, "detail": None}
    )


def _crash(outcome: Crashed, known: set[str]) -> str:
    """What may be told of a crash: all where only known workloads had been seen, else what the
    judge itself says."""
    where = _ON_KNOWN.match(outcome.detail)
    if where is not None and where[1] in known:
        return outcome.detail
    if outcome.stage in _OPEN_STAGES and not _HIDDEN.match(outcome.detail):
        return outcome.detail
    at = _HIDDEN.match(outcome.detail)
    first = outcome.detail[at.end() if at else 0 :].removeprefix(":").strip().partition("\n")[0]
    said = _OWN_WORDS.fullmatch(first)
    return ": ".join(part for part in (at and at[0], said and said[0]) if part)


def _evidence(said: str) -> str:
    """Rules are about what a candidate does; what one printed beside a hidden workload is not."""
    return said.partition("\n")[0] if "hidden workload" in said else said


def _summary(outcome: Outcome, timings: tuple[Timing, ...]) -> str:
    match outcome:
        case Passed():
            found = next((t.speedup for t in timings if t.speedup), None)
            if found is None:
                return "It is right, and was not timed."
            return (
                f"It is right, and {found.median:.3g} times as fast as {found.baseline} "
                f"({found.ci_low:.3g} to {found.ci_high:.3g}): {found.verdict.lower()}."
            )
        case WrongResult(mismatches=mismatches):
            kinds = ", ".join(dict.fromkeys(m.kind.replace("_", " ") for m in mismatches))
            hidden = all(m.split == "hidden" for m in mismatches)
            return f"Its result is wrong{' on inputs that are not shown' * hidden}: {kinds}."
        case Crashed(stage=stage, signal=signal):
            return f"It died in {stage} with {signal or 'an error'}."
        case TimedOut(stage=stage, limit_s=limit_s):
            return f"It was stopped in {stage}, after {limit_s:g} s or more."
        case Rejected(rule=rule):
            return f"It was rejected by the rule {rule!r}."
        case _:
            return "It does not build."


def _failures(outcome: Outcome, problem: Problem) -> Iterator[Failure]:
    if not isinstance(outcome, WrongResult):
        return
    sizes = {w.id: w.axes for w in problem.workloads}
    for m in outcome.mismatches:
        hidden = m.split == "hidden"
        yield Failure(
            where=m.split,
            kind=m.kind,
            output=m.output,
            distribution=m.distribution,
            traits=m.traits,
            sizes=None if hidden else dict(sizes[m.workload_id]),
            share_right=None if hidden else m.matched_ratio,
            detail=m.detail,
        )


def _timings(passed: Passed) -> Iterator[Timing]:
    for regime in get_args(Regime):
        subjects = by_subject(passed.measurements, regime)
        if CANDIDATE not in subjects:
            continue
        rivals = baselines(subjects)
        yield Timing(
            regime=regime,
            candidate_ms=_ms(median_ns(subjects[CANDIDATE])),
            baselines_ms={name: _ms(median_ns(m)) for name, m in sorted(rivals.items())},
            speedup=_speedup(passed, regime),
        )


def _speedup(passed: Passed, regime: Regime) -> Speedup | None:
    found = versus_best(passed.measurements, regime)
    if found is None:
        return None
    name, estimate = found
    return Speedup(
        baseline=name,
        median=estimate.median,
        ci_low=estimate.ci_low,
        ci_high=estimate.ci_high,
        verdict=estimate.verdict,
    )


def _ms(nanoseconds: float) -> float:
    """Milliseconds with five digits, of a time that is above zero."""
    milliseconds = nanoseconds / 1e6
    return round(milliseconds, 4 - math.floor(math.log10(milliseconds)))
