"""What a delivered module asks before it uses its kernel: was this case verified?

The text of this file is copied into every ``best_module.py``, so it imports nothing of
Kernelwright and never runs inside it, other than in tests.
"""

from __future__ import annotations

import inspect
import itertools
import linecache
import sys
import types
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

Facts = Mapping[str, Any]

# A kernel may count elements in 32 bits; nothing larger was tried, so nothing larger is trusted.
MOST_ELEMENTS = 2**31 - 1


class NotVerified(Exception):
    """The reference has to run instead; `kind` is what one warning is given for."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


class Warner:
    """Gives one warning for each kind of reason."""

    def __init__(self, problem: str) -> None:
        self._problem = problem
        self._given: set[str] = set()

    def warn(self, why: NotVerified) -> None:
        """Say that the reference runs instead, and why, unless that was said before."""
        if why.kind in self._given:
            return
        self._given.add(why.kind)
        message = f"The kernel for {self._problem} is not used: {why} The reference runs instead."
        warnings.warn(message, RuntimeWarning, stacklevel=4)


class Sizes:
    """Which sizes were verified: those of the workloads, and others in the same relations.

    An axis that had several sizes may have any; one that had a single size must have that. Two
    axes that always were equal, a multiple or a constant apart must be so again.
    """

    def __init__(self, facts: Facts) -> None:
        self._specs = [s for s in facts["inputs"] if s["role"] != "scalar"]
        self._outputs: Sequence[Mapping[str, Any]] = facts["outputs"]
        self._seen: Sequence[Mapping[str, int]] = facts["sizes"]
        seen = {axis: {sizes[axis] for sizes in self._seen} for axis in facts["axes"]}
        self._fixed = {axis: min(values) for axis, values in seen.items() if len(values) == 1}
        self.varied = [axis for axis, values in seen.items() if len(values) > 1]

    def axes(self, shapes: Sequence[Sequence[int]]) -> dict[str, int]:
        """The size of each axis, given the shapes of all inputs and weights.

        Raises:
            NotVerified: these shapes are not covered.
        """
        found = self._bound(shapes)
        if any(all(sizes[a] == n for a, n in found.items()) for sizes in self._seen):
            return self._completed(found)
        for axis, size in found.items():
            if size != self._fixed.get(axis, size) or size < 1:
                raise _unseen(shapes)
        for one, other in itertools.combinations([a for a in self.varied if a in found], 2):
            if not self._related(one, other, found):
                raise _unseen(shapes)
        complete = self._completed(found)
        if max(map(len_of, [*shapes, *self.output_shapes(complete)])) > MOST_ELEMENTS:
            raise _unseen(shapes)
        return complete

    def output_shapes(self, axes: Mapping[str, int]) -> list[tuple[int, ...]]:
        """The shapes of the outputs."""
        return [_sizes(spec["shape"], axes) for spec in self._outputs]

    def _bound(self, shapes: Sequence[Sequence[int]]) -> dict[str, int]:
        found: dict[str, int] = {}
        for spec, shape in zip(self._specs, shapes, strict=True):
            if len(spec["shape"]) != len(shape):
                raise _unseen(shapes)
            for wanted, size in zip(spec["shape"], shape, strict=True):
                known = found.setdefault(wanted, size) if isinstance(wanted, str) else wanted
                if known != size:
                    raise _unseen(shapes)
        return found

    def _completed(self, found: dict[str, int]) -> dict[str, int]:
        """`found` with the axes that only outputs have, which a workload must tell."""
        fits = [s for s in self._seen if all(s[axis] == size for axis, size in found.items())]
        rest = {a: n for a, n in (fits[0] if fits else self._fixed).items() if a not in found}
        complete = {**found, **rest}
        if set(complete) != {axis for sizes in self._seen for axis in sizes}:
            raise NotVerified("shape", "the shapes of its outputs were verified for others only.")
        return complete

    def _related(self, one: str, other: str, found: Mapping[str, int]) -> bool:
        pairs = [(sizes[one], sizes[other]) for sizes in self._seen]
        a, b = pairs[0]
        if all(x * b == y * a for x, y in pairs):
            return found[one] * b == found[other] * a
        if all(y - x == b - a for x, y in pairs):
            return found[other] - found[one] == b - a
        return True


def _unseen(shapes: Sequence[Sequence[int]]) -> NotVerified:
    said = ", ".join(str(tuple(shape)) for shape in shapes)
    return NotVerified("shape", f"inputs and weights of the shapes {said} were not verified.")


def _sizes(shape: Sequence[Any], axes: Mapping[str, int]) -> tuple[int, ...]:
    return tuple(axes[d] if isinstance(d, str) else d for d in shape)


def len_of(shape: Sequence[int]) -> int:
    """How many elements a tensor of `shape` has."""
    count = 1
    for size in shape:
        count *= size
    return count


def load_module(text: str, name: str, file: str) -> types.ModuleType:
    """`text` as the module `name`; tracebacks show its lines as those of `file`."""
    linecache.cache[file] = (len(text), None, text.splitlines(True), file)
    module = types.ModuleType(name)
    module.__file__ = file
    # Pickling and dataclasses look a class's module up by its name.
    sys.modules[name] = module
    exec(compile(text, file, "exec"), module.__dict__)
    return module


class Arguments:
    """Which arguments of the constructor were verified: those of the reference's own file.

    A whole number that is the size of an axis which was varied may be another; then that axis has
    to have it as its size.
    """

    def __init__(self, reference: types.ModuleType, entry: str, facts: Facts) -> None:
        self._signature = inspect.signature(getattr(reference, entry))
        self._reference = reference
        self._facts = facts
        self._known: Mapping[str, Any] | None = None

    def check(
        self, args: Sequence[Any], named: Mapping[str, Any]
    ) -> tuple[str | None, tuple[tuple[str, int], ...]]:
        """Why these arguments are not verified, or None, and the sizes that they ask of axes."""
        if self._known is None:
            # Drawing here must not change what the caller draws next.
            with torch.random.fork_rng(devices=[]):
                self._known = self._bind(self._reference.get_init_inputs(), {})
        given = self._bind(args, named)
        asked: list[tuple[str, int]] = []
        for name in {**self._known, **given}:
            value, known = given.get(name), self._known.get(name)
            if _same(value, known):
                continue
            axes = self._axes_of(known)
            if not isinstance(value, int) or not axes:
                return f"the argument {name} of ModelNew differs from what was verified.", ()
            asked += [(axis, value) for axis in axes]
        return None, tuple(asked)

    def _bind(self, args: Sequence[Any], named: Mapping[str, Any]) -> dict[str, Any]:
        bound = self._signature.bind(*args, **named)
        bound.apply_defaults()
        return dict(bound.arguments)

    def _axes_of(self, known: object) -> list[str]:
        if type(known) is not int:
            return []
        own = self._facts["own_sizes"]
        return [axis for axis in Sizes(self._facts).varied if own[axis] == known]


def _same(one: object, other: object) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return one.shape == other.shape and one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    return one == other


class Scalars:
    """The numbers among the inputs: only those of the reference's own file were verified."""

    def __init__(self, reference: types.ModuleType, facts: Facts) -> None:
        self._reference = reference
        self._specs: Sequence[Mapping[str, Any]] = facts["inputs"]
        self._known: Sequence[Any] | None = None

    def verified(self, at: int, value: object) -> Any:
        """The number that was verified as input `at`, which `value` must be."""
        if self._known is None:
            with torch.random.fork_rng(devices=[]):
                self._known = self._reference.get_inputs()
        known = self._known[at]
        if type(value) is not type(known) or value != known:
            name = self._specs[at]["name"]
            raise NotVerified("scalar", f"{name} is {value!r}; only {known!r} was verified.")
        return known


def check_mode(model: nn.Module, verified: bool) -> None:
    """Refuse a mode that was not verified, for a reference that looks at its mode."""
    if model.training != verified:
        asked = "training" if model.training else "evaluation"
        raise NotVerified("mode", f"it was not verified in {asked} mode.")


def weights_of(model: nn.Module) -> list[tuple[dict[str, Any], str]]:
    """Where each weight is, in the order of the state_dict; one that has two names comes once.

    The place and not the tensor, so that a weight that is replaced later is found.
    """
    places: dict[str, tuple[dict[str, Any], str]] = {}
    for prefix, module in model.named_modules(remove_duplicate=False):
        for table in (module._parameters, module._buffers):
            for name in table:
                places[f"{prefix}.{name}" if prefix else name] = (table, name)
    found, seen = [], set()
    for key, value in model.state_dict(keep_vars=True).items():
        if isinstance(value, Tensor) and id(value) not in seen and key in places:
            seen.add(id(value))
            found.append(places[key])
    return found


def positional(
    forward: Callable[..., Any], inputs: Sequence[Any], named: Mapping[str, Any]
) -> tuple[Any, ...]:
    """All arguments by position, as far as `forward` takes them so."""
    bound = inspect.signature(forward).bind(*inputs, **named)
    if bound.kwargs:
        raise TypeError(f"forward() takes these by name only: {', '.join(bound.kwargs)}")
    return bound.args


class Returned:
    """The form of what the reference returns: a tensor, or tuples, lists and dicts of tensors."""

    def __init__(self) -> None:
        self._form: Any = None
        self.known = False

    def learn(self, result: object) -> None:
        """Take the form from something that the reference returned."""
        # Without the values, which may be large.
        self._form, self.known = _filled(result, itertools.repeat(torch.empty(0))), True

    def learn_from(self, make: Callable[[], nn.Module], inputs: Sequence[Any]) -> bool:
        """Learn from a run on tensors without values; whether the reference can do that."""
        try:
            with torch.random.fork_rng(devices=[]), torch.device("meta"), torch.no_grad():
                given = [v.to("meta") if isinstance(v, Tensor) else v for v in inputs]
                self.learn(make()(*given))
        # Somebody's code, on a device that it may never have met; there is another way.
        except Exception:
            return False
        return True

    def restore(self, outputs: Sequence[Tensor]) -> Any:
        """`outputs` in that form."""
        if isinstance(self._form, Tensor):
            return outputs[0]
        return _filled(self._form, iter(outputs))


def _filled(form: Any, outputs: Iterator[Tensor]) -> Any:
    if isinstance(form, Tensor):
        return next(outputs)
    if isinstance(form, Mapping):
        return {key: _filled(value, outputs) for key, value in form.items()}
    values = [_filled(value, outputs) for value in form]
    if type(form) in (list, tuple):
        return type(form)(values)
    return type(form)(*values) if hasattr(form, "_fields") else type(form)(values)


def leaves(value: object) -> Iterator[Tensor]:
    """The tensors in a result, in order."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from leaves(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from leaves(one)
