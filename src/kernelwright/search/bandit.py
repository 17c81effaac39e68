"""A bandit over named optimisations: what gained before on kernels that were limited alike is tried
more often.

Its arms are the actions of the drafters, which `knowledge.actions` describes, and a tuning.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from kernelwright.core.action import Action
from kernelwright.core.candidate import Candidate, Plan
from kernelwright.core.diagnosis import Bottleneck
from kernelwright.core.evaluation import Passed
from kernelwright.core.record import content_id
from kernelwright.core.run import Attempt, History
from kernelwright.search.drafting import Drafter, next_draft, one_by_one, plans
from kernelwright.search.rewriting import fruitless, next_repair, rewrite
from kernelwright.search.tuning import next_tune

TUNE = "tune"  # the arm that is no action
REFINE = "refine"  # the arm where no action suits: the writer chooses


@dataclass(frozen=True, kw_only=True)
class Bandit:
    """A draft of each writer; repairs; then, again and again, one of the arms.

    An arm is an action that suits what limits the best candidate, or a tuning. Which one is drawn
    by Thompson sampling: each has a Beta distribution of how often it surely gained on candidates
    with the same bottleneck, and the largest of one sample from each is taken. An action goes to a
    writer that refines; where there is none, to one that has drafts with it. After `patience`
    refinements in a row that gained nothing, none is asked for any more. While no action is open,
    the writers' other drafts are asked for, and last comes what is left to tune.
    """

    drafters: tuple[Drafter, ...]
    seed: int = 0
    patience: int = 8

    def ask(self, history: History, count: int) -> Sequence[Plan]:
        """Up to `count` plans; empty when nothing is left that is worth an attempt."""
        return one_by_one(self._following, history, count)

    def _following(self, history: History) -> Plan | None:
        first = [replace(d, limit=1) for d in self.drafters if d.limit != 0]
        return (
            next_draft(first, history)
            or next_repair(self.drafters, history)
            or self._drawn(history)
            or next_draft(self.drafters, history)
            or next_tune(history, seed=self.seed)
        )

    def _drawn(self, history: History) -> Plan | None:
        """The plan of the arm whose sample is the largest; None where no action is open."""
        best = history.best
        if best is None or best.candidate is None:
            return None
        arms = dict(self._arms(best, best.candidate, history))
        if not arms:
            return None
        tuning = next_tune(history, seed=self.seed)
        if tuning is not None:
            arms[TUNE] = tuning
        limit = limit_of(best)
        chance = random.Random(int(content_id(self.seed, sum(1 for _ in plans(history))), 16))
        samples = {arm: _sample(arm, limit, history, chance) for arm in sorted(arms)}
        return arms[max(samples, key=samples.__getitem__)]

    def _arms(
        self, best: Attempt, candidate: Candidate, history: History
    ) -> Iterator[tuple[str, Plan]]:
        """The plan of each arm that is open, but for tuning."""
        limit = limit_of(best)
        plan = rewrite((best,), self.drafters, history)
        if plan is None:
            yield from self._drafts(candidate, limit, history)
            return
        out = [p for p in history.pending if (p.kind, p.parents) == ("refine", plan.parents)]
        if fruitless(history) >= self.patience:
            return
        suited = _suited(self.drafters, plan, limit)
        under_way = {p.action for p in out}
        for action in suited:
            if action.name not in under_way:
                yield action.name, plan.model_copy(update={"action": action.name})
        if not suited:
            yield REFINE, plan

    def _drafts(
        self, candidate: Candidate, limit: Bottleneck, history: History
    ) -> Iterator[tuple[str, Plan]]:
        """Drafts with an action, each asked for once. Their parent is what they should beat."""
        for drafter in self.drafters:
            if drafter.language != candidate.language:
                continue
            for action in drafter.actions:
                plan = Plan(
                    kind="draft",
                    language=drafter.language,
                    writer=drafter.writer,
                    parents=(candidate.id,),
                    action=action.name,
                )
                if action.suits(limit) and not _asked(plan, history):
                    yield action.name, plan


def limit_of(attempt: Attempt) -> Bottleneck:
    """What limits its candidate, as far as that was looked at."""
    outcome = attempt.evaluation.outcome if attempt.evaluation else None
    if isinstance(outcome, Passed) and outcome.profile is not None:
        return outcome.profile.bottleneck
    return "unknown"


def gains(arm: str, limit: Bottleneck, history: History) -> list[bool]:
    """Whether each attempt with `arm`, on a candidate that `limit` limited, surely gained.

    It did when all of its interval lies above the parent's speedup. Where a fault of ours ended it,
    nothing is known.
    """
    found = []
    for attempt in history.attempts:
        if _arm(attempt.plan) != arm or attempt.faulted or not attempt.plan.parents:
            continue
        parent = history.attempt_of(attempt.plan.parents[0])
        if parent is not None and parent.score is not None and limit_of(parent) == limit:
            found.append((attempt.at_least or 0.0) > parent.score)
    return found


def _sample(arm: str, limit: Bottleneck, history: History, chance: random.Random) -> float:
    """A sample of how often `arm` gains; before it was tried, any share is as likely."""
    found = gains(arm, limit, history)
    won = sum(found)
    return chance.betavariate(1 + won, 1 + len(found) - won)


def _arm(plan: Plan) -> str | None:
    if plan.action is None and plan.kind in (TUNE, REFINE):
        return plan.kind
    return plan.action


def _suited(drafters: Sequence[Drafter], plan: Plan, limit: Bottleneck) -> list[Action]:
    """The actions that the drafter of `plan` knows in its language, and that suit `limit`."""
    who = (plan.writer, plan.language)
    theirs = (d.actions for d in drafters if (d.writer, d.language) == who)
    return [action for actions in theirs for action in actions if action.suits(limit)]


def _asked(plan: Plan, history: History) -> bool:
    """Whether a draft with this action was asked of this writer, whatever it should have beaten.

    One that a fault kept from being written is asked for again.
    """
    lost = [a.plan for a in history.attempts if a.faulted and a.candidate is None]
    return _alike(plan, plans(history)) > _alike(plan, lost)


def _alike(plan: Plan, others: Iterable[Plan]) -> int:
    """How many of `others` ask the same writer for a draft with the same action."""

    def wanted(one: Plan) -> tuple[str | None, ...]:
        return (one.kind, one.writer, one.language, one.action)

    return sum(wanted(other) == wanted(plan) for other in others)
