"""Outcomes in words: a badge, one line for a list, and the whole for whoever must mend it."""

from __future__ import annotations

from typing import assert_never

from kernelwright.core.evaluation import (
    BuildFailed,
    Crashed,
    Mismatch,
    Outcome,
    Passed,
    Rejected,
    TimedOut,
    WrongResult,
)
from kernelwright.core.run import Attempt
from kernelwright.report.plain import one_line, visible

NO_CANDIDATE = "no candidate"
NOT_JUDGED = "not judged"


def word(attempt: Attempt) -> str:
    """What became of an attempt, in one or two words."""
    if attempt.evaluation is not None:
        return attempt.evaluation.outcome.kind.replace("_", " ")
    return NO_CANDIDATE if attempt.candidate is None else NOT_JUDGED


def line(attempt: Attempt) -> str:
    """What became of an attempt, in one line."""
    if attempt.evaluation is not None:
        return reason(attempt.evaluation.outcome)
    return one_line(attempt.reason or "The run stopped before its verdict.")


def reason(outcome: Outcome) -> str:
    """Why the outcome is what it is, in one line."""
    match outcome:
        case Passed(agreements=agreements, measurements=measurements):
            cases = sum(agreement.cases for agreement in agreements)
            right = f"right on {cases:,} cases of {len(agreements)} workloads"
            return right if measurements else f"{right}, not timed"
        case WrongResult(mismatches=mismatches):
            more = f", and {len(mismatches) - 1} more" if len(mismatches) > 1 else ""
            return one_line(_mismatch(mismatches[0]) + more)
        case BuildFailed(diagnostics=text):
            return one_line(_first_error(text))
        case Crashed(stage=stage, signal=signal, detail=detail):
            return one_line(f"died in {stage} with {signal or 'an error'}: {detail}")
        case TimedOut(stage=stage, limit_s=limit):
            return f"{stage} took longer than {limit:g} s"
        case Rejected(rule=rule, evidence=evidence):
            return one_line(f"{rule}: {evidence}")
        case _:
            assert_never(outcome)


def whole(outcome: Outcome) -> str:
    """Everything that the outcome says, on as many lines as it takes."""
    match outcome:
        case WrongResult(mismatches=mismatches):
            return "\n".join(visible(_mismatch(mismatch)) for mismatch in mismatches)
        case BuildFailed(diagnostics=text):
            return visible(text)
        case Crashed(detail=detail):
            return f"{reason(outcome)}\n{visible(detail)}"
        case Rejected(rule=rule, evidence=evidence):
            return visible(f"{rule}\n{evidence}")
        case _:
            return reason(outcome)


def _mismatch(mismatch: Mismatch) -> str:
    """A hidden workload gives away only the class of its mistake."""
    kind = mismatch.kind.replace("_", " ")
    if mismatch.split == "hidden":
        return f"{mismatch.output}: {kind} on a hidden workload"
    where = f"{mismatch.output}: {kind} on {mismatch.workload_id}, {mismatch.distribution}"
    share = f"{mismatch.matched_ratio:.2%} within tolerance"
    return f"{where}, {share}" + (f"; {mismatch.detail}" if mismatch.detail else "")


def _first_error(diagnostics: str) -> str:
    """Compilers say first where they are, then what is wrong."""
    lines = diagnostics.splitlines()
    return next((text for text in lines if "error" in text.lower()), diagnostics)
