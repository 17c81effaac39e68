"""Drawing the values of one case: every input and weight of a workload, from one secret seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from kernelwright.core.problem import TensorSpec, Workload
from kernelwright.problems.distributions import draw, draw_weight, generator, rearranged
from kernelwright.problems.dtypes import TORCH_DTYPES
from kernelwright.problems.twins import Twins, Values


def draw_values(
    twins: Twins,
    specs: Sequence[TensorSpec],
    workload: Workload,
    distribution: str,
    seed: int,
    weights_seed: int | None = None,
) -> Values:
    """Values for `specs` (inputs and weights) on the CPU, by name, under the workload's rules.

    With `weights_seed` the weights depend on it alone: like the file's own in size, whatever the
    inputs are drawn from.
    """
    draws = _Draws(twins, workload, distribution, seed, weights_seed)
    inputs = [spec for spec in specs if spec.role != "weight"]
    given = draws.from_file() if any(draws.is_given(spec) for spec in inputs) else {}
    values: Values = {}
    for spec in specs:
        if spec.role == "weight":
            values[spec.name] = draws.weight(spec)
        elif draws.is_given(spec):
            values[spec.name] = draws.arranged(spec, given[spec.name])
        else:
            values[spec.name] = draws.input(spec)
    return values


@dataclass(frozen=True)
class _Draws:
    twins: Twins
    workload: Workload
    distribution: str
    seed: int
    weights_seed: int | None

    @property
    def _terms(self) -> int:
        return self.twins.longest_sum or 1

    def _source(self, spec: TensorSpec) -> torch.Generator:
        return generator(self.seed, self.distribution, spec.name)

    def _is_positive(self, spec: TensorSpec) -> bool:
        return self.workload.inputs[spec.name] == "positive"

    def is_given(self, spec: TensorSpec) -> bool:
        """Whether an input is what the file says."""
        return self.distribution == "file" or self.workload.inputs[spec.name] == "file"

    def from_file(self) -> Values:
        """The file's own inputs, by name."""
        start = int(torch.randint(2**62, (), generator=generator(self.seed, "file")))
        program = self.twins.eager
        return dict(zip(program.input_names, program.make_inputs(start), strict=True))

    def arranged(self, spec: TensorSpec, value: Any) -> Any:
        """An input of the file on the CPU, with other contents where the distribution has those."""
        if not isinstance(value, Tensor):
            return value
        structured = self.distribution == "structured"
        return rearranged(value.cpu(), self._source(spec)) if structured else value.cpu()

    def input(self, spec: TensorSpec) -> Tensor:
        """An input that the workload lets be drawn."""
        return draw(
            self.distribution,
            spec.sizes(self.workload.axes),
            TORCH_DTYPES[spec.dtype],
            self._source(spec),
            positive=self._is_positive(spec),
            terms=self._terms,
        )

    def weight(self, spec: TensorSpec) -> Tensor:
        """A weight, drawn unless the workload's rule is that it stays as the file has it."""
        initial = self.twins.initial[spec.name]
        if self.workload.inputs[spec.name] == "file":
            return initial
        family, source = self.distribution, self._source(spec)
        if self.weights_seed is not None:
            family, source = "file", generator(self.weights_seed, "weights", spec.name)
        return draw_weight(
            initial,
            source,
            distribution=family,
            positive=self._is_positive(spec),
            terms=self._terms,
        )
