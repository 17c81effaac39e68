"""Which text each plan works on, and which draft each text descends from.

A text is a candidate under all its settings: a tuner changes numbers and no text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kernelwright.core.candidate import Candidate, Plan
from kernelwright.core.run import Attempt, History


def text_id(candidate: Candidate) -> str:
    """The same for candidates that differ only in their settings."""
    return candidate.tuned({}).id


@dataclass(frozen=True, kw_only=True)
class Lineage:
    """Descent in one history. `made` is the first attempt that made each candidate, by its id;
    `texts` is the text of each."""

    made: Mapping[str, Attempt]
    texts: Mapping[str, str]

    @classmethod
    def of(cls, history: History) -> Lineage:
        """Every candidate of `history`."""
        made: dict[str, Attempt] = {}
        texts: dict[str, str] = {}
        for attempt in history.attempts:
            if attempt.candidate is not None:
                key = attempt.candidate.id
                made.setdefault(key, attempt)
                texts.setdefault(key, text_id(attempt.candidate))
        return cls(made=made, texts=texts)

    def parent(self, plan: Plan) -> Attempt | None:
        """The attempt that `plan` builds on first; None of a draft."""
        return self.made.get(plan.parents[0]) if plan.parents else None

    def worked_on(self, plan: Plan) -> str | None:
        """The text that `plan` builds on first; None of a draft."""
        return self.texts.get(plan.parents[0]) if plan.parents else None

    def founder(self, attempt: Attempt) -> Attempt:
        """The draft that `attempt` descends from, by first parents; itself when it is one."""
        while (parent := self.parent(attempt.plan)) is not None and parent.step < attempt.step:
            attempt = parent
        return attempt
