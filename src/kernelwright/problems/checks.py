"""What cannot be a problem: references that are random, stateful, in-place or data-dependent.

Each is refused with a sentence that says why, and what to change.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensorMode,
)

from kernelwright.core.errors import ProblemError
from kernelwright.core.problem import Problem
from kernelwright.problems.oracle import Oracle
from kernelwright.problems.program import Program, seed_everything

# Atomics on a GPU, and alignment on a CPU, may move the last bits from call to call.
_ROUNDING = 1e-6
_SEED = 1


def check_program(program: Program, inputs: Sequence[Any]) -> None:
    """Refuse a forward program that is not a function of its inputs and weights alone.

    Raises:
        ProblemError: with the reason.
    """
    outputs = _check_inputs_unchanged(program, inputs)
    _check_no_alias(program, inputs, outputs)
    check_repeats(program, inputs)
    _check_data_independent(program, inputs)


def check_report(oracle: Oracle, problem: Problem) -> None:
    """Refuse a problem whose reference, at its own sizes, is not near its own float64 answer.

    Raises:
        ProblemError: with the output and element that differ, or what float64 raised.
    """
    for distribution in ("normal", "file"):
        answer = oracle.sound_answer(problem, problem.report_workload, distribution, _SEED)
        if answer.disagreement is None:
            return
    raise ProblemError(
        f"{problem.reference.main_file}: the reference's own result is not near the same "
        f"computation in float64 ({answer.disagreement}), so no kernel could be checked. It "
        "amplifies rounding; smaller sizes, better scaled inputs or a wider dtype help."
    )


def _check_inputs_unchanged(program: Program, inputs: Sequence[Any]) -> tuple[Tensor, ...]:
    before = [v.clone() if isinstance(v, Tensor) else v for v in inputs]
    state = {name: value.clone() for name, value in program.weights().items()}
    outputs = program.run(inputs)
    file = program.source.main_file
    for name, old, new in zip(program.input_names, before, inputs, strict=True):
        if isinstance(old, Tensor) and not _same(old, new):
            raise ProblemError(
                f"{file}: forward writes its input {name}. A problem's inputs are read only; "
                f"work on {name}.clone() instead."
            )
    changed = [n for n, value in program.weights().items() if not _same(state[n], value)]
    if changed:
        raise ProblemError(_stateful(program, f"forward changes {', '.join(changed)}"))
    return outputs


def _stateful(program: Program, what: str) -> str:
    norms = [
        type(m).__name__
        for m in program.model.modules()
        if isinstance(m, nn.modules.batchnorm._NormBase) and m.training
    ]
    advice = (
        "One call is judged, and not a sequence of them: take the state as an input, and return "
        "what becomes of it as an output."
    )
    if norms:
        advice = f"Call self.eval() at the end of __init__, so that {norms[0]} keeps none."
    return f"{program.source.main_file}: the reference is stateful: {what}. {advice}"


def _check_no_alias(program: Program, inputs: Sequence[Any], outputs: Sequence[Tensor]) -> None:
    owners = {
        value.untyped_storage().data_ptr(): name
        for name, value in [*zip(program.input_names, inputs, strict=True),
                            *program.weights().items()]
        if isinstance(value, Tensor) and value.numel()
    }  # fmt: skip
    for at, output in enumerate(outputs):
        owner = owners.get(output.untyped_storage().data_ptr()) if output.numel() else None
        if owner is not None:
            raise ProblemError(
                f"{program.source.main_file}: output {at} is {owner} itself or a view of it, so "
                "there is nothing to compute. Return only what forward works out."
            )


def check_repeats(program: Program, inputs: Sequence[Any]) -> None:
    """The same call three times: twice from one random seed, once from another.

    Raises:
        ProblemError: the outputs differ by more than a rounding.
    """
    calls = []
    for seed in (1, 1, 2):
        seed_everything(seed)
        calls.append([o.clone() for o in program.run(inputs)])
    if not _agree(calls[0], calls[1]):
        raise ProblemError(_stateful(program, "a second call on the same inputs differs"))
    if not _agree(calls[0], calls[2]):
        raise ProblemError(_random(program))


def _random(program: Program) -> str:
    drops = [
        type(m).__name__
        for m in program.model.modules()
        if isinstance(m, nn.modules.dropout._DropoutNd) and m.training and m.p > 0
    ]
    advice = "Pass random numbers in as inputs."
    if drops:
        advice = f"Call self.eval() at the end of __init__, which turns {drops[0]} off."
    return (
        f"{program.source.main_file}: the reference is random: two calls on the same inputs "
        f"differ with the random seed. {advice}"
    )


def _check_data_independent(program: Program, inputs: Sequence[Any]) -> None:
    """Run without values; what then cannot go on needs values to decide."""
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    try:
        with mode, torch.no_grad():
            program.model(*(mode.from_tensor(v) if isinstance(v, Tensor) else v for v in inputs))
    except (DataDependentOutputException, DynamicOutputShapeException) as error:
        _check_export(program, inputs, error)
    except Exception:
        # Operators that cannot run without values for other reasons are not our concern here.
        return


def _check_export(program: Program, inputs: Sequence[Any], cause: Exception) -> None:
    """A value may be read without deciding anything; the exporter tells."""
    try:
        exported = torch.export.export(program.model, tuple(inputs), strict=False)
    except Exception as error:
        # Whatever the exporter raises, it could not do without the values.
        detail = f"{cause}".split("\n")[0]
        raise ProblemError(
            f"{program.source.main_file}: the reference's control flow or an output shape depends "
            f"on values ({detail}), so one kernel cannot stand for it. Use torch.where or a fixed "
            "output size."
        ) from error
    shapes = [getattr(n.meta.get("val"), "shape", ()) for n in _output_nodes(exported)]
    if any(not isinstance(size, int) for shape in shapes for size in shape):
        raise ProblemError(
            f"{program.source.main_file}: an output's shape depends on values, so its size is "
            "not known before the call. Return a fixed size, with a count or a mask beside it."
        )


def _output_nodes(exported: Any) -> list[Any]:
    (node,) = exported.graph.find_nodes(op="output")
    return [value for value in node.args[0] if hasattr(value, "meta")]


def _same(a: Tensor, b: Tensor) -> bool:
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    return torch.equal(a, b) or torch.allclose(
        a.double(), b.double(), rtol=0.0, atol=0.0, equal_nan=True
    )


def _agree(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> bool:
    """Equal up to a rounding."""
    if [o.shape for o in ours] != [o.shape for o in theirs]:
        return False
    return all(_near(a, b) for a, b in zip(ours, theirs, strict=True))


def _near(a: Tensor, b: Tensor) -> bool:
    if not a.is_floating_point():
        return torch.equal(a, b)
    a, b = a.double(), b.double()
    finite = a[torch.isfinite(a)]
    scale = float(finite.abs().max()) if finite.numel() else 0.0
    return torch.allclose(a, b, rtol=_ROUNDING, atol=_ROUNDING * scale, equal_nan=True)
