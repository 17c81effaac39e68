"""Several texts side by side: the best few have their turns, whichever of them is the best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kernelwright.core.candidate import Plan
from kernelwright.core.run import History
from kernelwright.search.drafting import Drafter, next_draft, one_by_one, plans
from kernelwright.search.lineage import Lineage
from kernelwright.search.rewriting import fruitless, in_turn, next_repair, rewrite
from kernelwright.search.tuning import Family, near, tune


@dataclass(frozen=True, kw_only=True)
class Beam:
    """First all drafts; then repairs; then the `beam` best texts have their turns, one by one.

    A text counts with the best of its settings, and its turn is a refinement or a tuning. It leaves
    the beam when better ones come in, and when there is nothing more to do for it: then the next
    best takes its place. Refinements of a text end after `patience` in a row that gained nothing on
    the best of all, and those of any text after as many for each place of the beam. A text that is
    far behind the best is not let in.
    """

    drafters: tuple[Drafter, ...]
    seed: int = 0
    beam: int = 3
    patience: int = 6

    def ask(self, history: History, count: int) -> Sequence[Plan]:
        """Up to `count` plans; empty when nothing is left that is worth an attempt."""
        return one_by_one(self._following, history, count)

    def _following(self, history: History) -> Plan | None:
        return (
            next_draft(self.drafters, history)
            or next_repair(self.drafters, history)
            or self._turn(history)
        )

    def _turn(self, history: History) -> Plan | None:
        """A plan for that text of the beam which had its last turn longest ago."""
        turns = _last_turns(history)
        held: list[tuple[int, Plan]] = []
        for family in near(history):
            plan = self._improvement(family, history)
            if plan is not None:
                held.append((turns.get(family.text, -1), plan))
            if len(held) == self.beam:
                break
        return min(held, key=lambda pair: pair[0])[1] if held else None

    def _improvement(self, family: Family, history: History) -> Plan | None:
        return in_turn(
            history,
            family.text,
            refine=lambda: self._refinement(family, history),
            tune=lambda: tune(family, seed=self.seed),
        )

    def _refinement(self, family: Family, history: History) -> Plan | None:
        if fruitless(history, family.text) >= self.patience:
            return None
        if fruitless(history) >= self.patience * self.beam:
            return None
        return rewrite((family.best,), self.drafters, history)


def _last_turns(history: History) -> dict[str, int]:
    """For each text that was worked on, the place of the last plan for it among all plans."""
    lineage = Lineage.of(history)
    worked = ((lineage.worked_on(plan), place) for place, plan in enumerate(plans(history)))
    return {text: place for text, place in worked if text is not None}
