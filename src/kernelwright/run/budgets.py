"""What is left of a run's budget, and why nothing more is tried when it is used up."""

from __future__ import annotations

from kernelwright.core.run import Budget
from kernelwright.store.fold import RunState


def spent(budget: Budget, state: RunState, elapsed_s: float) -> str | None:
    """Why no further attempt is made, after `elapsed_s` seconds of the run; None when one may be.

    The attempt that crosses a limit is finished, so what was spent may be more than was allowed.
    """
    used = state.spent
    if budget.max_attempts is not None and used.attempts >= budget.max_attempts:
        return f"the budget of {budget.max_attempts} attempts is used up"
    if budget.max_wall_s is not None and elapsed_s >= budget.max_wall_s:
        return f"the budget of {budget.max_wall_s:g} seconds is used up"
    if budget.max_cost_usd is None:
        return None
    if used.unpriced_calls:
        return "a model's price is not known, so its budget in dollars cannot be kept"
    # With a budget of nothing, what is free may still be tried.
    if 0 < used.cost_usd >= budget.max_cost_usd:
        return f"the budget of {budget.max_cost_usd:g} dollars is used up"
    return None
