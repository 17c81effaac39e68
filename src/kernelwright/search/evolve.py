"""Evolution: parents are the best of each kind, on islands that rarely hear of each other."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kernelwright.core.candidate import Plan
from kernelwright.core.record import content_id
from kernelwright.core.run import Attempt, History
from kernelwright.search.archive import Archive, island_of
from kernelwright.search.drafting import Drafter, next_draft, one_by_one, plans
from kernelwright.search.lineage import Lineage
from kernelwright.search.rewriting import improves, in_turn, next_repair, rewrite
from kernelwright.search.tuning import Family, families, tune


@dataclass(frozen=True, kw_only=True)
class Evolve:
    """First all drafts; then repairs; then children of elites, each island in turn.

    A parent is the elite of any cell of the island, so a slow candidate that is unlike the others
    has children too. A child is a refinement or a tuning, or joins two elites in one language, of
    which `crossover` is the share of refinements. In every `migration`-th round the parents come
    from the next island, and their children settle here. Refinements end after `patience` in a row
    that brought nothing to the archive. With no writer that refines, children are tunings.
    """

    drafters: tuple[Drafter, ...]
    seed: int = 0
    islands: int = 3
    migration: int = 4
    crossover: float = 0.25
    patience: int = 12

    def ask(self, history: History, count: int) -> Sequence[Plan]:
        """Up to `count` plans; empty when nothing is left that is worth an attempt."""
        return one_by_one(self._following, history, count)

    def _following(self, history: History) -> Plan | None:
        return (
            next_draft(self.drafters, history)
            or next_repair(self.drafters, history)
            or _Generation.of(self, history).child()
        )


@dataclass(frozen=True, kw_only=True)
class _Generation:
    """One question to `strategy`: the elites as they are, and the chance of this step."""

    strategy: Evolve
    history: History
    lineage: Lineage
    archive: Archive
    families: Sequence[Family]
    step: int
    chance: random.Random

    @classmethod
    def of(cls, strategy: Evolve, history: History) -> _Generation:
        lineage = Lineage.of(history)
        step = 1 + sum(1 for _ in plans(history))
        return cls(
            strategy=strategy,
            history=history,
            lineage=lineage,
            archive=Archive.of(history, lineage, strategy.islands),
            families=families(history),
            step=step,
            chance=random.Random(int(content_id(strategy.seed, step), 16)),
        )

    def child(self) -> Plan | None:
        """A child of the first elite that may have one."""
        made = (self._child_of(elite, mates) for elite, mates in self._parents())
        return next((plan for plan in made if plan is not None), None)

    def _parents(self) -> Iterator[tuple[Attempt, Sequence[Attempt]]]:
        """Every elite with the others of its island: this step's island first, each shuffled."""
        count = self.strategy.islands
        migrates = self.step // count % self.strategy.migration == 0
        first = island_of(self.step + migrates, count)
        for place in range(count):
            elites = list(self.archive.islands[(first + place) % count].values())
            self.chance.shuffle(elites)
            for elite in elites:
                yield elite, [other for other in elites if other is not elite]

    def _child_of(self, elite: Attempt, mates: Sequence[Attempt]) -> Plan | None:
        family = next(f for f in self.families if elite in f.tried)
        return in_turn(
            self.history,
            family.text,
            refine=lambda: self._rewritten(elite, mates),
            tune=lambda: tune(family, seed=self.strategy.seed),
        )

    def _rewritten(self, elite: Attempt, mates: Sequence[Attempt]) -> Plan | None:
        out = sum(improves(plan, self.lineage) for plan in self.history.pending)
        if self.archive.barren + out >= self.strategy.patience:
            return None
        able = [mate for mate in mates if mate.plan.language == elite.plan.language]
        crossed = able and self.chance.random() < self.strategy.crossover
        parents = (elite, self.chance.choice(able)) if crossed else (elite,)
        return rewrite(parents, self.strategy.drafters, self.history)
