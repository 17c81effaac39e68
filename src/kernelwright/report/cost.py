"""What a run cost, and what a verified speedup cost: attempts, time, money and tokens.

A speedup is verified when it was measured afresh, after the search had chosen, and its interval
over the fastest baseline lies above 1. A run has one or none; a suite has as many as its runs.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from kernelwright.core.record import Record
from kernelwright.report.formats import counted, money, seconds, significant
from kernelwright.report.story import Story
from kernelwright.store.fold import Spent


class Expense(Record):
    """What was spent.

    `wall_s` leaves out pauses between sessions, and not the time in which a person was asked.
    `device_s` is how long the judge's stages on the device took, those of attempts side by side
    added up; compiling is not in it. `cost_usd` is for models, None when a price is not known, and
    replies that were kept are free. `tokens` are those that models read and wrote.
    """

    attempts: int | float = Field(ge=0)
    wall_s: float = Field(ge=0)
    device_s: float = Field(ge=0)
    cost_usd: float | None
    tokens: int | float = Field(ge=0)

    @classmethod
    def of(cls, spent: Spent) -> Expense:
        """What the state of a run says."""
        return cls(
            attempts=spent.attempts,
            wall_s=round(spent.wall_s, 3),
            device_s=round(spent.device_s, 3),
            cost_usd=None if spent.unpriced_calls else spent.cost_usd,
            tokens=spent.input_tokens + spent.output_tokens,
        )

    @classmethod
    def sum(cls, parts: Sequence[Expense]) -> Expense:
        """All `parts` together; the money is not known if that of a part is not."""
        prices = [part.cost_usd for part in parts]
        return cls(
            attempts=sum(part.attempts for part in parts),
            wall_s=sum(part.wall_s for part in parts),
            device_s=sum(part.device_s for part in parts),
            cost_usd=None if None in prices else sum(price or 0.0 for price in prices),
            tokens=sum(part.tokens for part in parts),
        )

    def for_one_of(self, count: int) -> Expense | None:
        """The share of one of `count`; None of nothing."""
        if count == 0:
            return None
        return Expense(
            attempts=self.attempts / count,
            wall_s=self.wall_s / count,
            device_s=self.device_s / count,
            cost_usd=None if self.cost_usd is None else self.cost_usd / count,
            tokens=self.tokens / count,
        )


class Cost(Record):
    """What a run cost.

    `total` is everything: what came to nothing, task admission, judging the winner again, and an
    ablation too.
    `per_speedup` is what a verified speedup cost: the total of a run that has one, None of a run
    that has none, however much it spent. `until_best` was spent when the search had its verdict on
    the candidate that is handed back, None without one. `per_attempt` is the total over attempts.
    """

    total: Expense
    per_speedup: Expense | None
    until_best: Expense | None
    per_attempt: Expense | None


def cost_of(story: Story, *, verified: bool) -> Cost:
    """What the run `story` cost; `verified` is whether its speedup is."""
    total = Expense.of(story.state.spent)
    found = story.until_best
    return Cost(
        total=total,
        per_speedup=total if verified else None,
        until_best=Expense.of(found) if found else None,
        per_attempt=total.for_one_of(len(story.steps)),
    )


def in_words(cost: Cost) -> str:
    """The cost of a run in two or three sentences."""
    what = "The verified speedup cost" if cost.per_speedup else "No verified speedup came of"
    said = [f"{what} {_spent(cost.total)}."]
    if cost.until_best is not None:
        said.append(f"Its candidate was there after {_spent(cost.until_best)}.")
    if cost.per_attempt is not None and cost.total.attempts > 1:
        each = cost.per_attempt
        price = f" and {money(each.cost_usd)}" if each.tokens else ""
        said.append(f"An attempt took {seconds(each.wall_s)}{price} on average.")
    return " ".join(said)


def of_suite(costs: Sequence[Cost]) -> str:
    """What a verified speedup cost over the runs of a suite, those without one included."""
    total = Expense.sum([cost.total for cost in costs])
    verified = sum(cost.per_speedup is not None for cost in costs)
    each = total.for_one_of(verified)
    if each is None:
        return f"No verified speedup came of {_spent(total)}."
    return (
        f"A verified speedup cost {_spent(each)}: what {counted(len(costs), 'run')} spent, over "
        f"{verified}."
    )


def _spent(spent: Expense) -> str:
    attempts = (
        counted(spent.attempts, "attempt")
        if isinstance(spent.attempts, int)
        else f"{significant(spent.attempts)} attempts"
    )
    parts = [attempts, seconds(spent.wall_s), f"{seconds(spent.device_s)} of the device"]
    if spent.tokens:
        parts += [f"{money(spent.cost_usd)} for models", f"{spent.tokens:,.0f} tokens"]
    return f"{', '.join(parts[:-1])} and {parts[-1]}"
