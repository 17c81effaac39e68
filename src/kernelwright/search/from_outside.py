"""The strategy of a run whose plans come from outside, from a coding agent: it has none itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kernelwright.core.candidate import Plan
from kernelwright.core.run import History
from kernelwright.search.drafting import Drafter


@dataclass(frozen=True, kw_only=True)
class FromOutside:
    """Asks for nothing, so that `resume` finishes what an agent left behind and goes no further."""

    drafters: tuple[Drafter, ...] = ()
    seed: int = 0

    def ask(self, history: History, count: int) -> Sequence[Plan]:  # noqa: ARG002
        """No plan, whatever was tried."""
        return ()
