"""The oracle: makes the cases of one problem, and says which of them a candidate may be held to.

A case is drawn (`problems.drawing`), run by the eager program and its float64 twin
(`problems.twins`), and what its outputs must be follows from both (`problems.expecting`).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from torch import Tensor

from kernelwright.core.agreement import Comparison, Expected, compare
from kernelwright.core.errors import ProblemError
from kernelwright.core.parts import in_parts
from kernelwright.core.problem import Direction, Problem, Source, Workload
from kernelwright.problems.case import Demand
from kernelwright.problems.dependence import depended_on
from kernelwright.problems.distributions import EXACT
from kernelwright.problems.drawing import draw_values
from kernelwright.problems.dtypes import raw
from kernelwright.problems.exact import run_exact
from kernelwright.problems.expecting import expected_outputs
from kernelwright.problems.kinks import JUMP
from kernelwright.problems.program import synchronize
from kernelwright.problems.reached import reached_bytes
from kernelwright.problems.ties import hangs_on_ties
from kernelwright.problems.twins import Twins, Values
from kernelwright.problems.work import Work, measured

_KEPT_TWINS = 12
# An output of this size is what a GELU's far tail leaves, of which float64 keeps no digit; but not
# where the inputs are tiny themselves.
_NOTHING = 1e-12
_TINY = frozenset({"small", "denormal"})
# The share of a tolerance that the reference itself may use up: half, which is what is left where
# the tolerance is twice the reference's peak error, and a rounding.
ROOM = 0.5 + 1e-6
# The share of a gradient's elements that roundings may decide.
_MOST_UNDECIDED = 0.05


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One case, with the tensors that it was made from. Of one that is `loosened` every element may
    be any number, and must be one where the right one is."""

    workload_id: str
    distribution: str
    values: Values
    eager: tuple[Tensor, ...]
    expected: tuple[Expected, ...]
    eager_s: float
    loosened: bool = False

    def loosen(self) -> Answer:
        """The same, where roundings decide too much to ask for more than numbers."""
        expected = [
            e if e.tolerance is None else replace(e, slack=np.full(e.values.size, np.inf))
            for e in self.expected
        ]
        return replace(self, expected=tuple(expected), loosened=True)

    @property
    def sound(self) -> bool:
        """Whether the reference's own arithmetic agrees with the oracle, and leaves room for
        another kernel's."""
        return self._undecided is None and all(
            c.kind is None and c.worst <= ROOM for c in self.comparisons
        )

    @property
    def open(self) -> bool:
        """Whether an element may be anything, since roundings decide what it is."""
        return any(e.slack is not None and bool(np.isinf(e.slack).any()) for e in self.expected)

    @property
    def vanished(self) -> bool:
        """Whether an output cancelled to nothing, as far as float64 can say what is left of it."""
        limits = (e.tolerance for e in self.expected if e.tolerance is not None and e.values.size)
        return any(limit.scale < _NOTHING for limit in limits)

    @property
    def finite(self) -> bool:
        """Whether no output has a NaN or an infinity."""
        floats = (e for e in self.expected if e.tolerance is not None)
        return all(bool(np.isfinite(e.values).all()) for e in floats)

    @property
    def disagreement(self) -> str | None:
        """How the eager output differs from the oracle by more than is allowed; None if not."""
        if self._undecided is not None:
            return f"{self._undecided}: roundings decide too much of it"
        for expected, found in zip(self.expected, self.comparisons, strict=True):
            if found.kind is not None:
                return f"{expected.name}: {found.detail or found.kind}"
        return None

    @property
    def comparisons(self) -> list[Comparison]:
        """How the reference's own arithmetic compares with the oracle, output by output."""
        pairs = zip(self.eager, self.expected, strict=True)
        return [compare(raw(output), expected) for output, expected in pairs]

    @property
    def _undecided(self) -> str | None:
        """The output of which too large a share hangs on roundings."""
        if self.loosened:
            return None
        for expected in self.expected:
            if _share_of_jumps(expected) > _MOST_UNDECIDED:
                return expected.name
        return None


def _share_of_jumps(expected: Expected) -> float:
    """The share of elements that roundings may move by far more than the tolerance."""
    limit, slack = expected.tolerance, expected.slack
    if slack is None or limit is None:
        return 0.0
    values = expected.values.ravel()

    def part(begin: int, end: int) -> int:
        allowed = limit.relative * np.maximum(np.abs(values[begin:end]), limit.scale)
        return int((slack[begin:end] > JUMP * allowed).sum())

    return sum(in_parts(values.size, part)) / max(values.size, 1)


@dataclass
class Oracle:
    """Makes the cases of one problem. Programs of the last few workloads are kept."""

    source: Source
    device: str = "cpu"
    direction: Direction | None = None
    _twins: dict[tuple[tuple[str, int], ...], Twins] = field(default_factory=dict)

    def twins(self, constants: Mapping[str, int]) -> Twins:
        """The programs under `constants`."""
        key = tuple(sorted(constants.items()))
        if key not in self._twins:
            while len(self._twins) >= _KEPT_TWINS:
                self._twins.pop(next(iter(self._twins)))
            self._twins[key] = Twins.load(self.source, constants, self.device, self.direction)
        return self._twins[key]

    def work(self, problem: Problem, workload: Workload, *, forward_too: bool = False) -> Work:
        """What one call under `workload` does, on inputs as the file draws them; `forward_too` adds
        the forward pass that comes before a backward one."""
        twins = self.twins(workload.constants)
        inputs = twins.eager.take(draw_values(twins, problem.inputs, workload, "file", 0))
        if forward_too:
            return measured(lambda: twins.eager.prepare(inputs)())[1]
        return measured(twins.eager.prepare(inputs))[1]

    def _reached(self, problem: Problem, workload: Workload) -> int:
        twins = self.twins(workload.constants)
        values = draw_values(twins, problem.inputs, workload, "file", 0)
        return reached_bytes(twins.eager, twins.eager.take(values))

    def demand(self, problem: Problem) -> Demand:
        """What one call at the report size demands of any kernel."""
        workload = problem.report_workload
        if problem.direction == "backward":
            # What a forward pass leaves out its gradient need not read either.
            whole = self.work(problem, workload, forward_too=True).whole
            return Demand(flops=0, read=depended_on(self.twins, problem) if whole else ())
        work = self.work(problem, workload)
        if not work.whole:
            return Demand(flops=0, read=(), drawn_bytes=self._reached(problem, workload))
        return Demand(flops=work.flops, read=tuple(spec.name for spec in problem.inputs))

    def answer(
        self,
        problem: Problem,
        workload: Workload,
        distribution: str,
        seed: int,
        weights_seed: int | None = None,
    ) -> Answer:
        """Draw one case and work it out; cases with the same `weights_seed` share their weights.

        Raises:
            ProblemError: the reference raises on this draw, or cannot run in float64.
        """
        twins = self.twins(workload.constants)
        if twins.longest_sum is None:
            # Integers are only drawn so that sums are exact once it is known how long those are.
            twins.terms(draw_values(twins, problem.inputs, workload, distribution, seed))
        values = draw_values(twins, problem.inputs, workload, distribution, seed, weights_seed)
        eager, eager_s = self._timed(twins, values)
        expected = expected_outputs(
            twins,
            values,
            eager,
            [spec.name for spec in problem.outputs],
            seed,
            # With the weights of another draw, sums of integers are not exact.
            ties_are_real=distribution in EXACT and weights_seed is None,
            tf32=problem.check.tf32,
        )
        return Answer(
            workload_id=workload.id,
            distribution=distribution,
            values=values,
            eager=eager,
            expected=expected,
            eager_s=eager_s,
        )

    def sound_answer(
        self,
        problem: Problem,
        workload: Workload,
        distribution: str,
        seed: int,
        weights_seed: int | None = None,
    ) -> Answer:
        """As `answer`, as far as it is `fair`; else one of the file's own inputs."""
        try:
            answer = self.answer(problem, workload, distribution, seed, weights_seed)
            found = self.fair(problem, workload, answer, seed)
        except ProblemError:
            if distribution == "file":
                raise
            found = None
        return found or self.answer(problem, workload, "file", seed, weights_seed)

    def fair(
        self, problem: Problem, workload: Workload, answer: Answer, seed: int
    ) -> Answer | None:
        """What a candidate may be held to of `answer`, if anything: it is sound, and has no NaN or
        infinity where the file's own inputs give none, unless the problem says that it passes
        them on. The file's own inputs are fair as they are."""
        distribution = answer.distribution
        if distribution == "file":
            return answer
        # Sums of few bits are exact in the reference's order of steps: elsewhere each row's
        # roundings lean one way, and a softmax of such rows is any number. But it is a number.
        if distribution in EXACT and answer.open:
            answer = answer.loosen()
        if not answer.sound or self._hangs_on_ties(workload, answer, seed):
            return None
        if distribution not in _TINY and answer.vanished:
            return None
        if answer.finite or problem.check.nonfinite:
            return answer
        return None if self.answer(problem, workload, "file", seed).finite else answer

    def _timed(self, twins: Twins, values: Values) -> tuple[tuple[Tensor, ...], float]:
        """The eager outputs, and how many seconds the call took."""
        inputs = twins.eager.take(values)
        synchronize(self.device)
        start = time.perf_counter()
        outputs = twins.eager.run(inputs)
        synchronize(self.device)
        return outputs, time.perf_counter() - start

    def _hangs_on_ties(self, workload: Workload, answer: Answer, seed: int) -> bool:
        """Whether equal values decide an index, and torch has no rule for which of them wins."""
        if all(e.tolerance is not None for e in answer.expected):
            return False
        twins = self.twins(workload.constants)
        if not twins.leaves_ties_open(answer.values):
            return False
        inputs = twins.exact.take(answer.values)
        return hangs_on_ties(twins.exact, inputs, run_exact(twins.exact, inputs), seed)
