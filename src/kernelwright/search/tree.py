"""Monte Carlo tree search over texts: effort goes where it paid, and now and then elsewhere."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from kernelwright.core.candidate import Plan
from kernelwright.core.run import History
from kernelwright.search.drafting import Drafter, next_draft, one_by_one
from kernelwright.search.lineage import Lineage
from kernelwright.search.rewriting import Maker, fruitless, next_repair, rewrite
from kernelwright.search.tuning import Family, families, near, tune


@dataclass(frozen=True, kw_only=True)
class Tree:
    """First all drafts; then repairs; then UCT over the tree of texts.

    Below the root are the drafts, and below each text those that were written from it. At a text
    one goes on with it, by tuning, or with one of those below; it is refined anew while it has
    fewer than ``widening * visits**alpha`` below it. An attempt pays its score as a share of the
    best, a failure nothing, and neither does a plan that is out, which is a visit all the same.
    `exploration` is the weight of what was visited less. Refinements end after `patience` in a row
    that gained nothing.
    """

    drafters: tuple[Drafter, ...]
    seed: int = 0
    exploration: float = 0.5
    widening: float = 1.0
    alpha: float = 0.5
    patience: int = 12

    def ask(self, history: History, count: int) -> Sequence[Plan]:
        """Up to `count` plans; empty when nothing is left that is worth an attempt."""
        return one_by_one(self._following, history, count)

    def _following(self, history: History) -> Plan | None:
        return (
            next_draft(self.drafters, history)
            or next_repair(self.drafters, history)
            or _Descent.of(self, history).plan(grown(history))
        )


@dataclass(frozen=True, kw_only=True)
class Node:
    """A text of the tree; the root has None for one. `own` is what each attempt on the text itself
    paid, and `out` how many refinements of it are out."""

    text: str | None
    own: tuple[float, ...]
    out: int
    below: tuple[Node, ...]

    @property
    def visits(self) -> int:
        """How many attempts were spent here and below."""
        return len(self.own) + self.out + sum(node.visits for node in self.below)

    @property
    def reward(self) -> float:
        """What they paid together."""
        return sum(self.own) + sum(node.reward for node in self.below)


def grown(history: History) -> Node:
    """The tree after `history`."""
    lineage = Lineage.of(history)
    paid, out = _paid(history, lineage), Counter[str | None]()
    below = _below(history, lineage)
    for plan in history.pending:
        text = lineage.worked_on(plan)
        if plan.kind == "tune":
            paid[text].append(0.0)
        else:
            out[text] += 1

    def node(text: str | None) -> Node:
        return Node(
            text=text,
            own=tuple(paid[text]),
            out=out[text],
            below=tuple(node(child) for child in below[text]),
        )

    return node(None)


def _paid(history: History, lineage: Lineage) -> defaultdict[str | None, list[float]]:
    """What each attempt on a text paid, from 0 to 1.

    An answer of a writer that was not judged is a failure of the text that it worked on. A fault of
    ours is no visit.
    """
    best = max((attempt.score or 0.0 for attempt in history.attempts), default=0.0)
    paid = defaultdict[str | None, list[float]](list)
    for attempt in history.attempts:
        if attempt.evaluation is not None and attempt.candidate is not None:
            share = attempt.score / best if attempt.score else 0.0
            paid[lineage.texts[attempt.candidate.id]].append(share)
        elif (worked_on := lineage.worked_on(attempt.plan)) and not attempt.faulted:
            paid[worked_on].append(0.0)
    return paid


def _below(history: History, lineage: Lineage) -> defaultdict[str | None, list[str]]:
    """The texts that were first written from each text, oldest first; from None the drafts."""
    below = defaultdict[str | None, list[str]](list)
    seen = set[str]()
    for attempt in history.attempts:
        text = lineage.texts[attempt.candidate.id] if attempt.candidate else None
        if text is not None and text not in seen:
            above = lineage.worked_on(attempt.plan)
            below[above if above in seen else None].append(text)
            seen.add(text)
    return below


@dataclass(frozen=True, kw_only=True)
class _Descent:
    """One question to `strategy`: what may still be done with each text."""

    strategy: Tree
    history: History
    families: Mapping[str | None, Family]
    tunable: Mapping[str | None, Family]
    spent: bool

    @classmethod
    def of(cls, strategy: Tree, history: History) -> _Descent:
        return cls(
            strategy=strategy,
            history=history,
            families={family.text: family for family in families(history)},
            tunable={family.text: family for family in near(history)},
            spent=fruitless(history) >= strategy.patience,
        )

    def plan(self, node: Node) -> Plan | None:
        """A plan for `node` or for a text below it; None when there is nothing more to do."""
        made = (way() for way in self._ways(node))
        return next((plan for plan in made if plan is not None), None)

    def _ways(self, node: Node) -> Iterator[Maker]:
        """Widening where it is due, then the ways on, the most promising first. What has no other
        way on is widened all the same."""
        refined = partial(self._refined, node)
        due = self.strategy.widening * node.visits**self.strategy.alpha
        if len(node.below) + node.out < max(1.0, due):
            yield refined
        arms: list[tuple[float, Maker]] = [
            (self._value(len(node.own), sum(node.own), node.visits), partial(self._tuned, node)),
            *(
                (self._value(b.visits, b.reward, node.visits), partial(self.plan, b))
                for b in node.below
            ),
        ]
        yield from (way for _, way in sorted(arms, key=lambda arm: -arm[0]))
        yield refined

    def _value(self, visits: int, reward: float, of: int) -> float:
        """The upper confidence bound of an arm that had `visits` of those `of` its node."""
        if visits == 0:
            return math.inf
        return reward / visits + self.strategy.exploration * math.sqrt(math.log(of) / visits)

    def _refined(self, node: Node) -> Plan | None:
        family = self.families.get(node.text)
        if family is None or self.spent:
            return None
        return rewrite((family.best,), self.strategy.drafters, self.history)

    def _tuned(self, node: Node) -> Plan | None:
        family = self.tunable.get(node.text)
        return tune(family, seed=self.strategy.seed) if family else None
