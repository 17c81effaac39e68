"""Which tensors of a problem may be drawn freely, which only above zero, and which not at all.

Integers, booleans and scalars are what the file says. A float is drawn freely unless its values
have a structure that the reference may rely on (a mask, a one-hot row, a triangle), or unless
free draws make the reference raise or leave the finite numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from kernelwright.core.errors import ProblemError
from kernelwright.core.formats import is_float
from kernelwright.core.problem import InputRule, TensorSpec, Workload
from kernelwright.problems.drawing import draw_values
from kernelwright.problems.twins import Twins, Values

_PROBES = ("normal", "shifted")
_SEED = 1
_LOOKED_AT = 1 << 16


def derive_rules(
    twins: Twins, specs: Sequence[TensorSpec], axes: Mapping[str, int], samples: Sequence[Values]
) -> dict[str, InputRule]:
    """A rule for each of `specs`, by probing the program of `twins` at the sizes `axes`.

    `samples` are values that the file gave, at any sizes: what their structure is judged by.
    """
    rules: dict[str, InputRule] = {spec.name: "file" for spec in specs}
    probed = [s for s in specs if is_float(s.dtype) and s.role != "scalar"]
    probed = [s for s in probed if not _is_structured(twins, s, samples)]

    def fits(trial: Mapping[str, InputRule]) -> bool:
        return _nonfinite(twins, specs, axes, {**rules, **trial}) <= usual

    usual = _nonfinite(twins, specs, axes, rules)
    found: dict[str, InputRule] = {}
    for spec in probed:
        options = _options(twins, spec)
        found[spec.name] = next((r for r in options if fits({spec.name: r})), "file")
    drawn = _inputs(found, specs)
    narrower: tuple[InputRule, ...] = ("positive", "file")
    together = [found, *({**found, **dict.fromkeys(drawn, rule)} for rule in narrower)]
    return {**rules, **next((trial for trial in together if fits(trial)), {})}


def _inputs(found: Mapping[str, InputRule], specs: Sequence[TensorSpec]) -> list[str]:
    return [s.name for s in specs if s.role == "input" and found.get(s.name, "file") != "file"]


def _nonfinite(
    twins: Twins,
    specs: Sequence[TensorSpec],
    axes: Mapping[str, int],
    rules: dict[str, InputRule],
) -> float:
    """How many output elements are not finite under `rules`; infinite when the program raises."""
    workload = Workload(id="probe", split="search", axes=dict(axes), inputs=rules)
    total = 0
    for distribution in _PROBES:
        values = draw_values(twins, specs, workload, distribution, _SEED)
        try:
            outputs = twins.run(values)
        except ProblemError:
            return float("inf")
        total += sum(int((~torch.isfinite(o.float())).sum()) for o in outputs)
    return total


def _options(twins: Twins, spec: TensorSpec) -> tuple[InputRule, ...]:
    """What to try, in order. Buffers that start above zero (running variances) stay there."""
    if _is_buffer(twins, spec) and bool((twins.initial[spec.name] > 0).all()):
        return ("positive",)
    return ("free", "positive")


def _is_buffer(twins: Twins, spec: TensorSpec) -> bool:
    learned = dict(twins.eager.model.named_parameters(remove_duplicate=False))
    return spec.role == "weight" and twins.eager.weight_names[spec.name] not in learned


def _is_structured(twins: Twins, spec: TensorSpec, samples: Sequence[Values]) -> bool:
    if spec.role == "weight":
        return _is_buffer(twins, spec) and has_structure(twins.initial[spec.name])
    return any(has_structure(values[spec.name]) for values in samples)


def has_structure(value: Tensor) -> bool:
    """Whether a float tensor looks made for a purpose rather than drawn at random.

    >>> has_structure(torch.tril(torch.rand(5, 5))), has_structure(torch.rand(5, 5))
    (True, False)
    """
    value = value.float()
    if value.numel() < 8:
        return False
    if not bool(torch.isfinite(value).all()):
        return True
    some = value.reshape(-1)[:_LOOKED_AT]
    if bool((some == some[0]).all()) and bool((value == some[0]).all()):
        return False
    if bool((some == some.round()).all()) or torch.unique(some).numel() <= 3:
        return True
    if value.dim() >= 2 and value.shape[-1] == value.shape[-2] and _is_square_form(value):
        return True
    return any(_is_normalised(value, dim) for dim in range(value.dim())) or _is_sorted(value)


def _is_square_form(value: Tensor) -> bool:
    if value.shape[-1] < 3:
        return False
    below, above = value.tril(-1), value.triu(1)
    return not bool(below.any()) or not bool(above.any()) or torch.equal(value, value.mT)


def _is_sorted(value: Tensor) -> bool:
    steps = value.diff(dim=-1)
    return value.shape[-1] >= 8 and (bool((steps >= 0).all()) or bool((steps <= 0).all()))


def _is_normalised(value: Tensor, dim: int) -> bool:
    """Whether sums (of non-negative values) or norms along `dim` are all one."""
    if value.shape[dim] < 2:
        return False
    lengths = [value.norm(dim=dim)]
    if bool((value >= 0).all()):
        lengths.append(value.sum(dim=dim))
    return any(torch.allclose(one, torch.ones_like(one), atol=1e-3) for one in lengths)
