"""Why nothing more is tried: the budget is used up, or enough was found."""

from __future__ import annotations

from kernelwright.core.evaluation import Passed
from kernelwright.core.run import Attempt, Budget
from kernelwright.store.fold import RunState, Spent


def why_end(budget: Budget, state: RunState, elapsed_s: float) -> str | None:
    """Why no further attempt is made, after `elapsed_s` seconds of the run; None when one may be.

    The attempt that crosses a limit is finished, so what was spent may be more than was allowed.
    """
    used = state.spent
    return (
        _limit_reached(budget, used, elapsed_s)
        or _dollars_used_up(budget, used)
        or _enough(budget, state.history.best)
    )


def _limit_reached(budget: Budget, used: Spent, elapsed_s: float) -> str | None:
    """Which of the plain limits is reached."""
    limits = (
        (budget.max_attempts, used.attempts, "attempts"),
        (budget.max_wall_s, elapsed_s, "seconds"),
        (budget.max_device_s, used.device_s, "device seconds"),
    )
    for limit, spent, what in limits:
        if limit is not None and spent >= limit:
            return f"the budget of {limit:g} {what} is used up"
    return None


def _dollars_used_up(budget: Budget, used: Spent) -> str | None:
    if budget.max_cost_usd is None:
        return None
    if used.unpriced_calls:
        return "a model's price is not known, so its budget in dollars cannot be kept"
    # With a budget of nothing, what is free may still be tried.
    if 0 < used.cost_usd >= budget.max_cost_usd:
        return f"the budget of {budget.max_cost_usd:g} dollars is used up"
    return None


def _enough(budget: Budget, best: Attempt | None) -> str | None:
    """Whether `best` is as fast as was asked for, or about as fast as this machine can be."""
    if best is None or best.at_least is None:
        return None
    if budget.target_speedup is not None and best.at_least >= budget.target_speedup:
        return f"the target of {budget.target_speedup:g} times the best baseline's speed is reached"
    headroom = _headroom(best)
    if budget.min_headroom is None or headroom is None or headroom > budget.min_headroom:
        return None
    return (
        f"no more than {max(headroom, 1.0):.3g} times the best attempt's speed is possible here, "
        "by the roofline"
    )


def _headroom(attempt: Attempt) -> float | None:
    """How many times faster the roofline's floor is than `attempt`; None when it is not known."""
    outcome = attempt.evaluation.outcome if attempt.evaluation else None
    if not isinstance(outcome, Passed) or outcome.profile is None:
        return None
    return outcome.profile.headroom
