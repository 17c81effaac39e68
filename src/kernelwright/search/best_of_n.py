"""The plainest search: drafts that know nothing of each other, then their tunables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kernelwright.core.candidate import Plan
from kernelwright.core.run import History
from kernelwright.search.drafting import Drafter, next_draft, one_by_one, plans
from kernelwright.search.tuning import next_tune


@dataclass(frozen=True, kw_only=True)
class BestOfN:
    """Draft `n` candidates, each writer in turn, then tune the best of them.

    The limit of a drafter that is sampled does not hold here: `n` is the limit.
    """

    drafters: tuple[Drafter, ...]
    seed: int = 0
    n: int = 16

    def ask(self, history: History, count: int) -> Sequence[Plan]:
        """Up to `count` plans; empty when all is drafted and tuned."""
        return one_by_one(self._following, history, count)

    def _following(self, history: History) -> Plan | None:
        drafted = sum(plan.kind == "draft" for plan in plans(history))
        draft = next_draft(self._unlimited, history) if drafted < self.n else None
        return draft or next_tune(history, seed=self.seed)

    @property
    def _unlimited(self) -> tuple[Drafter, ...]:
        """Writers that are sampled go on for all `n`; those with a list end with the list."""
        return tuple(
            Drafter(
                writer=drafter.writer,
                language=drafter.language,
                limit=drafter.limit if drafter.limit is None or drafter.listed else self.n,
                listed=drafter.listed,
            )
            for drafter in self.drafters
        )
