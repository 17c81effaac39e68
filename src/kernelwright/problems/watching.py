"""Seeing each operator that a program runs, or running something else in its place.

An operator comes as torch dispatches it, below autograd: an overload of ``torch.ops.aten``, whose
``_opname`` is its bare name ("sum", "max_pool2d_with_indices").
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode

Args = tuple[Any, ...]
Kwargs = dict[str, Any]

# From an operator and its arguments to what it gives; the arguments are its own to change.
Run = Callable[[Any, Args, Kwargs], Any]
# Takes note of an operator, its arguments and what it gave.
Look = Callable[[Any, Args, Kwargs, Any], None]


# torch leaves the types of its modes open, hence what mypy is told to pass over.
class _Through(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self, run: Run) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._run = run

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Args = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        return self._run(func, args, dict(kwargs or {}))


@contextmanager
def running(run: Run) -> Iterator[None]:
    """While this is open, each operator is run by `run`. What `run` itself calls is run by whoever
    was there before."""
    with _Through(run):
        yield


@contextmanager
def watching(look: Look) -> Iterator[None]:
    """While this is open, `look` is told of each operator once it has run."""

    def run(func: Any, args: Args, kwargs: Kwargs) -> Any:
        result = func(*args, **kwargs)
        look(func, args, kwargs, result)
        return result

    with running(run):
        yield
