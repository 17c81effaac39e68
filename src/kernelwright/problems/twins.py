"""The eager program and its float64 twin: loaded together, and given the same values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from kernelwright.core.problem import Direction, Source
from kernelwright.problems.exact import exact_program
from kernelwright.problems.kinks import has_corners
from kernelwright.problems.loading import load_program
from kernelwright.problems.program import Program
from kernelwright.problems.ties import leaves_ties_open
from kernelwright.problems.work import measured

# Tensors and numbers by the names of inputs and weights.
Values = dict[str, Any]


@dataclass
class Twins:
    """Both programs under the same constants. `initial` has the weights that the file gives them,
    on the CPU. `longest_sum` has the number of terms of the longest sum, once `terms` was asked."""

    eager: Program
    exact: Program
    initial: Mapping[str, Tensor]
    longest_sum: int | None = None
    _ties_open: bool | None = None
    _corners: bool | None = None

    @classmethod
    def load(
        cls,
        source: Source,
        constants: Mapping[str, int],
        device: str,
        direction: Direction | None = None,
    ) -> Twins:
        """Load the file twice.

        Raises:
            ProblemError: it cannot be loaded.
        """
        eager = load_program(source, constants, device=device, direction=direction)
        initial = {name: value.cpu().clone() for name, value in eager.weights().items()}
        exact = exact_program(source, constants, device=device, direction=direction)
        return cls(eager=eager, exact=exact, initial=initial)

    def run(self, values: Values) -> tuple[Tensor, ...]:
        """The eager outputs for `values`; weights may be left out, and stay as they are."""
        return self.eager.run(self.eager.take(values))

    def terms(self, values: Values) -> int:
        """The number of terms of the longest sum in a call; looked at once."""
        if self.longest_sum is None:
            _, work = measured(self.eager.run, self.eager.take(values))
            self.longest_sum = work.longest_sum
        return self.longest_sum

    def leaves_ties_open(self, values: Values) -> bool:
        """Whether an operator without a rule for ties is called; looked at once."""
        if self._ties_open is None:
            self._ties_open = leaves_ties_open(self.eager, self.eager.take(values))
        return self._ties_open

    def has_corners(self, values: Values) -> bool:
        """Whether a rounding may decide a gradient; looked at once."""
        if self._corners is None:
            self._corners = has_corners(self.eager, self.eager.take(values))
        return self._corners
