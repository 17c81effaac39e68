"""Draft, repair what failed, then improve the best: by a writer where there is one, by tuning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kernelwright.core.candidate import Plan
from kernelwright.core.run import History
from kernelwright.search.drafting import Drafter, next_draft, one_by_one
from kernelwright.search.rewriting import fruitless, in_turn, next_repair, rewrite
from kernelwright.search.tuning import next_tune


@dataclass(frozen=True, kw_only=True)
class Refine:
    """First all drafts; then repairs; then, in turn, a refinement of the best and a tuning.

    A candidate that failed is repaired at most twice, counting repairs of its repairs.
    Refinements end after `patience` in a row that gained nothing.
    """

    drafters: tuple[Drafter, ...]
    seed: int = 0
    patience: int = 6

    def ask(self, history: History, count: int) -> Sequence[Plan]:
        """Up to `count` plans; empty when nothing is left that is worth an attempt."""
        return one_by_one(self._following, history, count)

    def _following(self, history: History) -> Plan | None:
        return (
            next_draft(self.drafters, history)
            or next_repair(self.drafters, history)
            or in_turn(
                history,
                None,
                refine=lambda: self._refinement(history),
                tune=lambda: next_tune(history, seed=self.seed),
            )
        )

    def _refinement(self, history: History) -> Plan | None:
        if history.best is None or fruitless(history) >= self.patience:
            return None
        return rewrite((history.best,), self.drafters, history)
