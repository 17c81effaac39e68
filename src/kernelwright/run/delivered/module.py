"""A delivered kernel that is a Python module of its own, such as one in Triton: checks around it.

The text of this file is copied into ``best_module.py`` after that of `checks`; it imports nothing
else of Kernelwright.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from kernelwright.run.delivered.checks import (
    Arguments,
    Facts,
    NotVerified,
    Returned,
    Scalars,
    Sizes,
    Warner,
    check_mode,
    leaves,
    load_module,
    positional,
    weights_of,
)
from kernelwright.run.delivered.gradients import in_calling_order, in_direction


def load_kernel(facts: Facts, home: Path, module_name: str) -> type[nn.Module]:
    """The class in the delivered file.

    Raises:
        NotVerified: it cannot be imported here, or its text is not the one that was verified.
    """
    path = home / facts["file"]
    text = unchanged(path, facts["sha256"])
    for name, sha256 in facts.get("beside", {}).items():
        unchanged(home / name, sha256)
    try:
        with environment(facts["environment"]):
            module = load_module(text.decode(), f"{module_name}_kernel", str(path))
    # Whatever stops the import, such as a package that is missing, the reference still works.
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
        raise NotVerified("build", f"{path} cannot be imported ({said}).") from error
    found: type[nn.Module] = getattr(module, facts["kernel_entry"])
    return found


def unchanged(path: Path, sha256: str) -> bytes:
    """The text of a delivered file.

    Raises:
        NotVerified: it cannot be read, or is not the one that was verified.
    """
    try:
        text = path.read_bytes()
    except OSError as error:
        raise NotVerified("build", f"{path} cannot be read ({error.strerror}).") from error
    if hashlib.sha256(text).hexdigest() != sha256:
        raise NotVerified("build", f"{path} was changed after it was verified.")
    return text


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """The variables that the kernel was verified under, while it is imported."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


class Case:
    """Which calls of the module were verified."""

    def __init__(self, facts: Facts, scalars: Scalars) -> None:
        self._specs: Sequence[Mapping[str, Any]] = facts["inputs"]
        self._device: str = facts["device"]
        # Gradients are asked for in so many words; nobody expects those of the kernel's own.
        self._forward = facts["direction"] == "forward"
        self._sizes = Sizes(facts)
        self._scalars = scalars
        self._seen: dict[tuple[Any, ...], dict[str, int]] = {}

    def check(self, values: Sequence[Any], asked: Sequence[tuple[str, int]]) -> None:
        """Refuse a call that was not verified."""
        if len(values) != len(self._specs):
            raise NotVerified("count", f"it was verified with {len(self._specs)} arguments.")
        tensors = []
        for at, (spec, value) in enumerate(zip(self._specs, values, strict=True)):
            if spec["role"] == "scalar":
                self._scalars.verified(at, value)
            else:
                tensors.append(self._tensor(spec, value))
        shapes = tuple(tensor.shape for tensor in tensors)
        if shapes not in self._seen:
            self._seen[shapes] = self._sizes.axes(shapes)
        if any(self._seen[shapes][axis] != size for axis, size in asked):
            raise NotVerified("shape", "ModelNew was made for other sizes.")

    def _tensor(self, spec: Mapping[str, Any], value: object) -> Tensor:
        if not isinstance(value, Tensor):
            raise NotVerified("type", f"{spec['name']} is a {type(value).__name__}.")
        if value.dtype is not getattr(torch, spec["dtype"]):
            raise NotVerified("dtype", f"{spec['name']} is {value.dtype}, not {spec['dtype']}.")
        if value.device.type != self._device:
            raise NotVerified("device", f"{spec['name']} is on {value.device}.")
        if value.requires_grad and self._forward and torch.is_grad_enabled():
            raise NotVerified(
                "gradients",
                "an input or a weight requires grad, and the kernel computes no gradients. Call "
                "it under torch.no_grad() to use the kernel.",
            )
        return value


class Kit(NamedTuple):
    """What every `ModelNew` of one delivery shares. `refusal` says why there is no kernel."""

    facts: Facts
    plain: type[nn.Module]
    refusal: NotVerified | None
    arguments: Arguments
    case: Case
    warner: Warner
    returned: Returned


class Checked(nn.Module):
    """The part of ``ModelNew`` in front of the kernel's class: checks, and falls back."""

    kit: ClassVar[Kit]

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._kw_unverified, self._kw_asked = self.kit.arguments.check(args, named)
        self._kw_made_with = (args, named)
        self._kw_training = self.training
        self._kw_weights = weights_of(self)

    def forward(self, *inputs: Any, **named: Any) -> Any:
        """The kernel's outputs where they were verified, else the reference's, with a warning."""
        if named:
            inputs = positional(self.kit.plain.forward, (self, *inputs), named)[1:]
        try:
            self._kw_check(inputs)
        except NotVerified as why:
            self.kit.warner.warn(why)
            return self._kw_fall_back(inputs)
        outputs = list(leaves(super().forward(*inputs)))
        returned = self.kit.returned
        if not returned.known and not returned.learn_from(self._kw_plain, inputs):
            returned.learn(self._kw_fall_back(inputs))
        return returned.restore(outputs)

    def _kw_check(self, inputs: Sequence[Any]) -> None:
        """Raises NotVerified when the kernel was not verified for this call."""
        kit = self.kit
        if kit.refusal:
            raise kit.refusal
        if self._kw_unverified:
            raise NotVerified("arguments", self._kw_unverified)
        if kit.facts["mode_matters"]:
            check_mode(self, self._kw_training)
        weights = [table[name] for table, name in self._kw_weights]
        kit.case.check(in_calling_order(inputs, weights, kit.facts), self._kw_asked)

    def _kw_plain(self) -> nn.Module:
        args, kwargs = self._kw_made_with
        return self.kit.plain(*args, **kwargs)

    def _kw_fall_back(self, inputs: Sequence[Any]) -> Any:
        """The reference on this module's weights."""
        if self.kit.refusal:
            return super().forward(*inputs)
        with torch.random.fork_rng(devices=[]):
            model = self._kw_plain()
        state = self.state_dict(keep_vars=True)
        return torch.func.functional_call(model.train(self.training), state, tuple(inputs))


def make_model(facts: Facts, text: str, home: Path, module_name: str) -> type[nn.Module]:
    """The class ``ModelNew``: the kernel's class with checks, or the reference's without it."""
    reference = load_module(text, f"{module_name}_reference", f"<reference {facts['problem']}>")
    plain = in_direction(getattr(reference, facts["entry"]), facts)
    refusal: NotVerified | None = None
    try:
        base = load_kernel(facts, home, module_name)
    except NotVerified as why:
        base, refusal = plain, why
    kit = Kit(
        facts=facts,
        plain=plain,
        refusal=refusal,
        arguments=Arguments(reference, facts["entry"], facts),
        case=Case(facts, Scalars(reference, facts)),
        warner=Warner(facts["problem"]),
        returned=Returned(),
    )
    return type("ModelNew", (Checked, base), {"kit": kit, "__module__": module_name})
