"""Verdicts as words, so that a description can say which it expects.

An evaluation is a set of words, from the general to the particular: ``wrong_result`` and
``wrong_result:unwritten``; ``crashed``, ``crashed:load`` and ``crashed:SIGSEGV``;
``timed_out:build``; ``rejected:forged_reply``; ``build_failed``; ``passed`` and, when it is not
measurably faster than the best baseline, ``not_faster``. ``fault`` stands for a failure of
ours: no program may bring one about, so it is never expected.
"""

from __future__ import annotations

from kernelwright.core.evaluation import (
    BuildFailed,
    Crashed,
    Evaluation,
    Passed,
    Rejected,
    TimedOut,
    WrongResult,
)
from kernelwright.core.statistics import versus_best

FAULT = "fault"
_WORDS = (
    "passed", "not_faster", "wrong_result", "crashed", "timed_out", "rejected", "build_failed",
)  # fmt: skip


def check_word(word: str) -> None:
    """Refuse what can never be a verdict.

    Raises:
        ValueError: `word` is none.
    """
    if word.partition(":")[0] not in _WORDS:
        raise ValueError(f"{word!r} is no verdict; known: {', '.join(_WORDS)}")


def words(evaluation: Evaluation) -> frozenset[str]:
    """Everything that can be said of an evaluation."""
    outcome = evaluation.outcome
    particular: set[str | None]
    match outcome:
        case Passed():
            return frozenset({"passed"} | ({"not_faster"} if not _faster(outcome) else set()))
        case WrongResult(mismatches=mismatches):
            particular = {mismatch.kind for mismatch in mismatches}
        case Crashed(stage=stage, signal=signal):
            particular = {stage, signal}
        case TimedOut(stage=stage):
            particular = {stage}
        case Rejected(rule=rule):
            particular = {rule}
        case BuildFailed():
            particular = set()
    kind = outcome.kind
    return frozenset({kind} | {f"{kind}:{word}" for word in particular if word})


def shown(evaluation: Evaluation) -> str:
    """The most telling words, for a person: ``wrong_result:unwritten``, ``passed FASTER``."""
    found = words(evaluation)
    if "passed" in found:
        faster = _speedup(evaluation.outcome)
        return "passed" + (f" {faster}" if faster else "")
    return " ".join(sorted(found - {evaluation.outcome.kind})) or evaluation.outcome.kind


def _faster(outcome: Passed) -> bool:
    found = versus_best(outcome.measurements)
    return found is not None and found[1].verdict == "FASTER"


def _speedup(outcome: object) -> str | None:
    found = versus_best(outcome.measurements) if isinstance(outcome, Passed) else None
    return f"{found[1].verdict} {found[1].median:.2f}x" if found else None
