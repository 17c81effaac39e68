"""Cases: drawing inputs and working out what the outputs must be, with torch in this process.

The eager program and its float64 twin (`problems.exact`) run on the same draw. What an output
may be off by comes from the eager program's own error (`core.agreement`).
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kernelwright.core.agreement import (
    Array,
    Comparison,
    Expected,
    Tolerance,
    compare,
    decode,
    is_float,
    storage_dtype,
    tolerance,
)
from kernelwright.core.errors import ProblemError
from kernelwright.core.problem import Direction, Problem, Source, TensorSpec, Workload
from kernelwright.problems.distributions import (
    EXACT,
    draw,
    draw_weight,
    generator,
    rearranged,
)
from kernelwright.problems.exact import exact_program, run_exact
from kernelwright.problems.kinks import has_corners, with_slack
from kernelwright.problems.loading import DTYPES, TORCH_DTYPES, Program, load_program, synchronize
from kernelwright.problems.perturbed import conditioning, nearby
from kernelwright.problems.ties import hangs_on_ties, leaves_ties_open
from kernelwright.problems.work import Work, measured

Values = dict[str, Any]

_NEAR_TIES = 3
_KEPT_TWINS = 12
# The share of a tolerance that the reference itself may use up: half, which is what is left where
# the tolerance is twice the reference's peak error, and a rounding.
ROOM = 0.5 + 1e-6
# The share of a gradient's elements that roundings may decide.
_MOST_UNDECIDED = 0.05


@dataclass
class Twins:
    """The eager program and its float64 twin under the same constants."""

    eager: Program
    exact: Program
    initial: Mapping[str, Tensor]
    longest_sum: int | None = None
    open_ties: bool | None = None
    corners: bool | None = None

    @classmethod
    def load(
        cls,
        source: Source,
        constants: Mapping[str, int],
        device: str,
        direction: Direction | None = None,
    ) -> Twins:
        """Load the file twice; the weights that it was built with are kept as `initial`."""
        eager = load_program(source, constants, device=device, direction=direction)
        initial = {name: value.cpu().clone() for name, value in eager.weights().items()}
        exact = exact_program(source, constants, device=device, direction=direction)
        return cls(eager=eager, exact=exact, initial=initial)

    def run(self, values: Values) -> tuple[Tensor, ...]:
        """The eager outputs for `values` of inputs and weights, by name; weights may be left."""
        return _run(self.eager, values)

    def has_corners(self, values: Values) -> bool:
        """Whether a rounding may decide a gradient; looked at once."""
        if self.corners is None:
            self.corners = has_corners(self.eager, _set(self.eager, values))
        return self.corners

    def leaves_ties_open(self, values: Values) -> bool:
        """Whether an operator without a rule for ties is called; looked at once."""
        if self.open_ties is None:
            self.open_ties = leaves_ties_open(self.eager, _set(self.eager, values))
        return self.open_ties

    def terms(self, values: Values) -> int:
        """The number of terms of the longest sum in a call; looked at once."""
        if self.longest_sum is None:
            inputs = _set(self.eager, values)
            _, work = measured(self.eager.run, inputs)
            self.longest_sum = work.longest_sum
        return self.longest_sum


def _set(program: Program, values: Values) -> list[Any]:
    program.set_weights({n: v for n, v in values.items() if n in program.weight_names})
    inputs = [values[name] for name in program.input_names]
    return [v.to(program.device) if isinstance(v, Tensor) else v for v in inputs]


def _run(program: Program, values: Values) -> tuple[Tensor, ...]:
    return program.run(_set(program, values))


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
    rules = workload.inputs
    from_file = distribution == "file"
    needed = from_file or any(s.role != "weight" and rules[s.name] == "file" for s in specs)
    given: Values = {}
    if needed:
        start = int(torch.randint(2**62, (), generator=generator(seed, "file")))
        made = twins.eager.make_inputs(start)
        given = dict(zip(twins.eager.input_names, made, strict=True))
    terms = twins.longest_sum or 1
    values: Values = {}
    for spec in specs:
        rule, source = rules[spec.name], generator(seed, distribution, spec.name)
        if spec.role == "weight":
            values[spec.name] = initial = twins.initial[spec.name]
            family = distribution
            if weights_seed is not None:
                family, source = "file", generator(weights_seed, "weights", spec.name)
            if rule != "file":
                values[spec.name] = draw_weight(
                    initial, source, distribution=family,
                    positive=rule == "positive", terms=terms,
                )  # fmt: skip
        elif from_file or rule == "file":
            value = _on_cpu(given[spec.name])
            if distribution == "structured" and isinstance(value, Tensor):
                value = rearranged(value, source)
            values[spec.name] = value
        else:
            shape, dtype = spec.sizes(workload.axes), TORCH_DTYPES[spec.dtype]
            values[spec.name] = draw(
                distribution, shape, dtype, source, positive=rule == "positive", terms=terms
            )
    return values


def _on_cpu(value: Any) -> Any:
    return value.cpu() if isinstance(value, Tensor) else value


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One case, with the tensors that it was made from."""

    workload_id: str
    distribution: str
    values: Values
    eager: tuple[Tensor, ...]
    expected: tuple[Expected, ...]
    eager_s: float

    @property
    def sound(self) -> bool:
        """Whether the reference's own arithmetic agrees with the oracle, and leaves room for
        another kernel's."""
        found = self._comparisons()
        return self._undecided is None and all(c.kind is None and c.worst <= ROOM for _, c in found)

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
        wrong = [(name, c) for name, c in self._comparisons() if c.kind is not None]
        return f"{wrong[0][0]}: {wrong[0][1].detail or wrong[0][1].kind}" if wrong else None

    @property
    def _undecided(self) -> str | None:
        """The output of which too large a share hangs on roundings."""
        shares = (
            (e.name, float((e.slack > 0).mean())) for e in self.expected if e.slack is not None
        )
        return next((name for name, share in shares if share > _MOST_UNDECIDED), None)

    def _comparisons(self) -> list[tuple[str, Comparison]]:
        pairs = zip(self.eager, self.expected, strict=True)
        return [(expected.name, compare(raw(output), expected)) for output, expected in pairs]


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

    def work(self, problem: Problem, workload: Workload) -> Work:
        """What one call under `workload` does, on inputs as the file draws them."""
        twins = self.twins(workload.constants)
        inputs = _set(twins.eager, draw_values(twins, problem.inputs, workload, "file", 0))
        _, work = measured(twins.eager.prepare(inputs))
        # A gradient need not depend on every input: that of a sum depends on none.
        work.whole = work.whole and problem.direction != "backward"
        return work

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
            twins.terms(draw_values(twins, problem.inputs, workload, distribution, seed))
        values = draw_values(twins, problem.inputs, workload, distribution, seed, weights_seed)
        inputs = _set(twins.eager, values)
        synchronize(self.device)
        start = time.perf_counter()
        eager = twins.eager.run(inputs)
        synchronize(self.device)
        eager_s = time.perf_counter() - start
        names = [spec.name for spec in problem.outputs]
        # With the weights of another draw, sums of integers are not exact.
        drawn = distribution if weights_seed is None else "normal"
        return Answer(
            workload_id=workload.id,
            distribution=distribution,
            values=values,
            eager=eager,
            expected=_expected(twins, values, eager, names, drawn, seed, problem.check.tf32),
            eager_s=eager_s,
        )

    def _hangs_on_ties(self, workload: Workload, answer: Answer, seed: int) -> bool:
        """Whether equal values decide an index, and torch has no rule for which of them wins."""
        if all(e.tolerance is not None for e in answer.expected):
            return False
        twins = self.twins(workload.constants)
        if not twins.leaves_ties_open(answer.values):
            return False
        inputs = _set(twins.exact, answer.values)
        return hangs_on_ties(twins.exact, inputs, run_exact(twins.exact, inputs), seed)

    def is_fair(self, problem: Problem, workload: Workload, answer: Answer, seed: int) -> bool:
        """Whether a candidate may be held to `answer`: it is sound, and has no NaN or infinity
        where the file's own inputs give none, unless the problem says that it passes them on."""
        if not answer.sound or self._hangs_on_ties(workload, answer, seed):
            return False
        if answer.finite or problem.check.nonfinite:
            return True
        return not self.answer(problem, workload, "file", seed).finite

    def sound_answer(
        self,
        problem: Problem,
        workload: Workload,
        distribution: str,
        seed: int,
        weights_seed: int | None = None,
    ) -> Answer:
        """As `answer`; falls back to the file's own inputs where eager itself is not right."""
        try:
            answer = self.answer(problem, workload, distribution, seed, weights_seed)
            if distribution == "file" or self.is_fair(problem, workload, answer, seed):
                return answer
        except ProblemError:
            if distribution == "file":
                raise
        return self.answer(problem, workload, "file", seed, weights_seed)


def _expected(
    twins: Twins,
    values: Values,
    eager: Sequence[Tensor],
    names: Sequence[str],
    distribution: str,
    seed: int,
    tf32: bool,
) -> tuple[Expected, ...]:
    inputs = _set(twins.exact, values)
    exact = run_exact(twins.exact, inputs)
    if [o.shape for o in exact] != [o.shape for o in eager]:
        raise ProblemError("The reference's outputs have other shapes in float64 than otherwise.")
    moved: list[tuple[Tensor, ...]] = []
    if distribution not in EXACT and not all(o.is_floating_point() for o in eager):
        moved = [nearby(twins.exact, inputs, seed, turn) for turn in range(_NEAR_TIES)]
    found = []
    sizes = conditioning(twins.exact, inputs, exact, seed)
    for at, name in enumerate(names):
        dtype = DTYPES[eager[at].dtype]
        if is_float(dtype):
            values64 = exact[at].cpu().contiguous().numpy().ravel()
            limit = tolerance(
                values64, decode(raw(eager[at]), dtype), dtype,
                longest_axis=twins.longest_sum or 1, tf32=tf32, conditioning=sizes[at],
            )  # fmt: skip
            found.append(Expected(name=name, dtype=dtype, values=values64, tolerance=limit))
        else:
            answers = [raw(o[at].to(eager[at].dtype)) for o in (exact, eager, *moved)]
            found.append(Expected(name=name, dtype=dtype, values=_distinct(answers)))
    if twins.eager.gradients is None or not twins.has_corners(values):
        return tuple(found)
    ours = [
        decode(raw(output), expected.dtype) for output, expected in zip(eager, found, strict=True)
    ]

    def again(at: int, sure: Array) -> Tolerance:
        """The tolerance of output `at` that follows from its elements `sure` alone."""
        return tolerance(
            found[at].values[sure], ours[at][sure], found[at].dtype,
            longest_axis=twins.longest_sum or 1, tf32=tf32, conditioning=sizes[at],
        )  # fmt: skip

    return with_slack(twins.exact, inputs, found, again, seed)


def _distinct(answers: Sequence[Array]) -> Array:
    kept: list[Array] = []
    for answer in answers:
        if not any(np.array_equal(answer, other) for other in kept):
            kept.append(answer)
    return np.stack(kept)


def raw(value: Any) -> Array:
    """A tensor or Python number as it is stored: flat, in `core.agreement.storage_dtype`."""
    if isinstance(value, bool):
        return np.array([value], storage_dtype("bool"))
    if isinstance(value, int | float):
        return np.array([value], storage_dtype("int64" if isinstance(value, int) else "float64"))
    flat: Tensor = value.detach().cpu().contiguous().reshape(-1)
    if flat.dtype == torch.bfloat16:
        flat = flat.view(torch.uint16)
    elif flat.dtype in (torch.bool, torch.float8_e4m3fn, torch.float8_e5m2):
        flat = flat.view(torch.uint8)
    stored: Array = flat.numpy()
    return stored
