"""Deliberately wrong programs, run against the oracle: what the judge's cases must notice.

What the result means is in `admission`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from kernelwright.core.agreement import Expected, compare
from kernelwright.core.errors import ProblemError
from kernelwright.core.problem import Problem, TensorSpec, Workload
from kernelwright.problems.admission import Admission, Mutant
from kernelwright.problems.exact import run_exact
from kernelwright.problems.loading import TORCH_DTYPES
from kernelwright.problems.oracle import Answer, Oracle, Twins, Values, raw

Outputs = tuple[Tensor, ...]

_FIRST_LOOK = 1 << 16
# Below this share of its scale, a change of the float64 output is only rounding: the input does
# not enter the result (a bias before a batch mean is subtracted, say).
_NO_EFFECT = 1e-12
_FEWER_BITS = {
    torch.float64: torch.float32, torch.float32: torch.bfloat16,
    torch.float16: torch.float8_e4m3fn, torch.bfloat16: torch.float8_e4m3fn,
}  # fmt: skip


class NotApplicable(Exception):
    """This mutant makes no sense for this problem or case; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """One case, and another one of the same workload from another seed."""

    twins: Twins
    specs: tuple[TensorSpec, ...]
    answer: Answer
    other: Answer


Make = Callable[[Scene], Outputs]
_COUNTS = ("report", "report_killed", "suite", "suite_killed")


@dataclass
class _Tally:
    name: str
    make: Make
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_COUNTS, 0))
    skipped: str | None = None

    def record(self) -> Mutant:
        report, suite = self.counts["report"], self.counts["suite"]
        dead = (report == 0 or self.counts["report_killed"] > 0) and (
            suite == 0 or self.counts["suite_killed"] > 0
        )
        if report + suite == 0:
            return Mutant(
                name=self.name, status="not_applicable", reason=self.skipped or "no case fits"
            )
        reason = (
            f"failed {self.counts['report_killed']} of {report} cases at the report size and "
            f"{self.counts['suite_killed']} of {suite} at others"
        )
        status = "killed" if dead else "survived"
        return Mutant.model_validate(
            {"name": self.name, "status": status, "reason": reason, **self.counts}
        )


def admit(oracle: Oracle, problem: Problem, distributions: Sequence[str], seed: int) -> Admission:
    """Run every mutant on two cases at the report size, and on one at other sizes, from the
    smallest on, until it has failed at one."""
    usual = next((d for d in ("normal", *distributions) if d in distributions), "file")
    tallies = [_Tally(name=name, make=make) for name, make in _mutants(problem)]
    for turn, distribution in enumerate(dict.fromkeys((usual, "file"))):
        scene = _scene(oracle, problem, problem.report_workload, distribution, seed + 2 * turn)
        for tally in tallies:
            _try(tally, scene, "report")
    for workload in sorted(problem.workloads, key=problem.traffic_bytes):
        alive = [t for t in tallies if not t.counts["suite_killed"]]
        if workload.split != "report" and alive:
            scene = _scene(oracle, problem, workload, usual, seed)
            for tally in alive:
                _try(tally, scene, "suite")
    return Admission(problem_id=problem.id, mutants=tuple(t.record() for t in tallies))


def _scene(
    oracle: Oracle, problem: Problem, workload: Workload, distribution: str, seed: int
) -> Scene:
    return Scene(
        twins=oracle.twins(workload.constants),
        specs=problem.inputs,
        answer=oracle.sound_answer(problem, workload, distribution, seed),
        other=oracle.sound_answer(problem, workload, distribution, seed + 1),
    )


def _try(tally: _Tally, scene: Scene, where: str) -> None:
    try:
        outputs = tally.make(scene)
    except NotApplicable as reason:
        tally.skipped = str(reason)
        return
    except ProblemError:
        # A program that raises is noticed without any comparison.
        return
    tally.counts[where] += 1
    tally.counts[f"{where}_killed"] += not _passes(outputs, scene.answer.expected)


def _passes(outputs: Outputs, expected: Sequence[Expected]) -> bool:
    return all(_agrees(o, e) for o, e in zip(outputs, expected, strict=True))


def _agrees(output: Tensor, expected: Expected) -> bool:
    """As `compare`, but most wrong outputs are told from their first elements."""
    stored = raw(output)
    if expected.tolerance is not None and stored.size > _FIRST_LOOK:
        start = Expected(
            name=expected.name, dtype=expected.dtype, tolerance=expected.tolerance,
            values=expected.values[:_FIRST_LOOK],
        )  # fmt: skip
        if compare(stored[:_FIRST_LOOK], start).kind == "wrong_value":
            return False
    return compare(stored, expected).kind is None


def _mutants(problem: Problem) -> Iterator[tuple[str, Make]]:
    yield "zeros", lambda scene: tuple(torch.zeros_like(o) for o in scene.answer.eager)
    yield "mean", _mean
    yield "stale", lambda scene: scene.other.eager
    yield "last row stale", _last_row_stale
    yield "rows shifted", _rows_shifted
    yield "fewer bits", _fewer_bits
    for spec in problem.inputs:
        if spec.role == "input":
            yield f"passthrough of {spec.name}", _passthrough(spec.name)
    for spec in problem.inputs:
        yield f"{spec.name} ignored", _ignored(spec.name)
        yield f"{spec.name} as zeros", _zeroed(spec.name)


def _mean(scene: Scene) -> Outputs:
    if all(o.numel() <= 1 for o in scene.answer.eager):
        raise NotApplicable("the output has one element, which is its own mean")
    return tuple(
        torch.full_like(o, o.double().mean().item() if o.numel() else 0) for o in scene.answer.eager
    )


def _last_row_stale(scene: Scene) -> Outputs:
    if not any(o.dim() and o.shape[0] > 1 for o in scene.answer.eager):
        raise NotApplicable("the output has no rows")
    mixed = []
    for now, before in zip(scene.answer.eager, scene.other.eager, strict=True):
        now = now.clone()
        if now.dim() and now.shape[0] > 1:
            now[-1] = before[-1]
        mixed.append(now)
    return tuple(mixed)


def _rows_shifted(scene: Scene) -> Outputs:
    if not any(o.dim() and o.shape[0] > 1 for o in scene.answer.eager):
        raise NotApplicable("the output has no rows")
    return tuple(o.roll(1, 0) if o.dim() else o for o in scene.answer.eager)


def _fewer_bits(scene: Scene) -> Outputs:
    """The same program on operands rounded to the next narrower type."""
    outputs = scene.answer.eager
    if not any(o.is_floating_point() for o in outputs):
        raise NotApplicable("the output is not a float, and a rounded operand may leave it right")
    values: Values = {}
    changed = False
    for name, value in scene.answer.values.items():
        narrow = _FEWER_BITS.get(value.dtype) if isinstance(value, Tensor) else None
        values[name] = value if narrow is None else _rounded(value, narrow)
        changed |= narrow is not None
    if not changed:
        raise NotApplicable("no input is a float")
    return scene.twins.run(values)


def _rounded(value: Tensor, narrow: torch.dtype) -> Tensor:
    largest = torch.finfo(narrow).max
    return value.clamp(-largest, largest).to(narrow).to(value.dtype)


def _passthrough(name: str) -> Make:
    def make(scene: Scene) -> Outputs:
        value = scene.answer.values[name]
        fitting = [value.shape == o.shape and value.dtype == o.dtype for o in scene.answer.eager]
        if not any(fitting):
            raise NotApplicable(f"no output has the shape and type of {name}")
        return tuple(
            value if fits else torch.zeros_like(o)
            for fits, o in zip(fitting, scene.answer.eager, strict=True)
        )

    return make


def _ignored(name: str) -> Make:
    """The value that this input had in the other case stands in for it."""
    return lambda scene: _with(scene, name, scene.other.values[name])


def _zeroed(name: str) -> Make:
    def make(scene: Scene) -> Outputs:
        value = scene.answer.values[name]
        if not isinstance(value, Tensor):
            return _with(scene, name, type(value)(0))
        return _with(scene, name, torch.zeros_like(value))

    return make


def _with(scene: Scene, name: str, value: object) -> Outputs:
    before = scene.answer.values[name]
    if _equal(before, value):
        raise NotApplicable(f"{name} is the same in every case")
    changed = {**scene.answer.values, name: value}
    outputs = scene.twins.run(changed)
    if _passes(outputs, scene.answer.expected) and not _has_effect(scene, changed):
        raise NotApplicable(f"the result does not depend on {name}")
    return outputs


def _equal(a: object, b: object) -> bool:
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return torch.equal(a.double(), b.double())
    return a == b


def _has_effect(scene: Scene, changed: Values) -> bool:
    """Whether the float64 outputs move by more than rounding."""
    program = scene.twins.exact
    program.set_weights({n: v for n, v in changed.items() if n in program.weight_names})
    inputs = [changed[n] for n in program.input_names]
    moved = run_exact(
        program, [v.to(program.device) if isinstance(v, Tensor) else v for v in inputs]
    )
    for output, expected in zip(moved, scene.answer.expected, strict=True):
        if expected.tolerance is None:
            now = raw(output.to(TORCH_DTYPES[expected.dtype]))
            if not any((now == answer).all() for answer in expected.values):
                return True
            continue
        exact = torch.from_numpy(expected.values)
        gap = (output.detach().cpu().reshape(-1) - exact).abs()
        gap = gap[torch.isfinite(gap)]
        limit = _NO_EFFECT * max(expected.tolerance.scale, 1e-300)
        if gap.numel() and float(gap.max()) > limit:
            return True
    return False
