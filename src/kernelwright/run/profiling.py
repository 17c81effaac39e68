"""What limits a candidate: its verdict's diagnosis, its machine code, and what a GPU counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from kernelwright.core.candidate import Candidate
from kernelwright.core.diagnosis import Diagnosis
from kernelwright.core.evaluation import Evaluation, Passed
from kernelwright.core.problem import Problem
from kernelwright.evaluate.profile.counted import counted
from kernelwright.evaluate.profile.counters import Counters
from kernelwright.evaluate.profile.diagnose import diagnose
from kernelwright.evaluate.profile.disassembly import Facts
from kernelwright.evaluate.profile.nsight import NotCounted


@dataclass(frozen=True, kw_only=True)
class Profiled:
    """What limits a candidate that passed; `facts` and `counters` are None where there are none."""

    diagnosis: Diagnosis | None
    facts: Facts | None
    counters: Counters | None


class Looks(Protocol):
    """What `profiled` needs of a judge."""

    @property
    def problem(self) -> Problem:
        """What candidates are judged for."""
        ...

    def facts(self, candidate: Candidate) -> Facts | None:
        """What the compiler made of `candidate`; None when it cannot be built."""
        ...

    def counters(self, candidate: Candidate) -> Counters | NotCounted | None:
        """What the device counts during one call of `candidate`; None where it is a CPU."""
        ...


def profiled(judge: Looks, candidate: Candidate, evaluation: Evaluation | None) -> Profiled:
    """What limits `candidate`: the diagnosis of its `evaluation` where it passed, else what its
    code alone shows; and on a GPU, where it passed, what the device counts.

    Raises:
        Unavailable: the language cannot be built here.
        FaultError: the judge's own failure.
    """
    facts = judge.facts(candidate)
    outcome = evaluation.outcome if evaluation else None
    if not isinstance(outcome, Passed) or outcome.profile is None:
        return Profiled(
            diagnosis=diagnose(facts, None) if facts else None, facts=facts, counters=None
        )
    found = judge.counters(candidate)
    if isinstance(found, NotCounted):
        not_known = (*outcome.profile.not_known, found.why)
        said = outcome.profile.model_copy(update={"not_known": not_known})
        return Profiled(diagnosis=said, facts=facts, counters=None)
    said = outcome.profile if found is None else counted(outcome.profile, found, judge.problem)
    return Profiled(diagnosis=said, facts=facts, counters=found)
