"""Every exception that Kernelwright raises on purpose.

    KernelwrightError
    ├── UsageError           what we were given cannot be used; the command line exits with 2
    │   ├── UnknownName      no component of this kind has this name
    │   ├── ProblemError     this file cannot be a problem (missing, broken, refused)
    │   ├── SpecError        the run's settings do not hold together
    │   └── Unavailable      this machine lacks what was asked for
    ├── BuildRefused         a candidate asks for a build that the judge does not make
    └── FaultError           our own failure; never charged to a candidate
        ├── ModelError       a language model did not answer usefully
        ├── SandboxError     the sandbox could not be set up
        ├── WorkerError      one of our own processes broke
        ├── DeviceLost       a GPU does not work any more, and is not used until it does
        ├── DeviceFull       others have a GPU's memory, so who ran out of it may not be to blame
        ├── JudgeBroken      the judge failed its own test; what it said lately is void
        └── StoreError       the run's log could not be written or read

A candidate that fails is an `Outcome`, not an exception. Each class holds one message, so an
error survives the trip between processes. A message says what happened, to which thing, and
what to do next.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:  # `--help` loads this module, and not pydantic
    from kernelwright.core.candidate import ModelCall

Where = Literal["model", "sandbox", "device", "store", "ours"]


class KernelwrightError(Exception):
    """The root of the tree above."""


class UsageError(KernelwrightError):
    """What we were given cannot be used."""


class UnknownName(UsageError):
    """No component of this kind has this name."""

    @classmethod
    def of(cls, kind: str, name: str, known: Iterable[str]) -> UnknownName:
        """The error for `name`, with the nearest known name as a hint.

        >>> print(UnknownName.of("language", "tritn", ["cpp", "triton"]))
        No language is called 'tritn'. Did you mean 'triton'?
        """
        known = sorted(known)
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(known)}."
        return cls(f"No {kind} is called {name!r}. {hint}")


class ProblemError(UsageError):
    """This file cannot be a problem."""


class SpecError(UsageError):
    """The run's settings do not hold together."""


class Unavailable(UsageError):
    """This machine lacks what was asked for."""


class BuildRefused(KernelwrightError):
    """A candidate asks for a build that the judge does not make.

    The judge turns it into the outcome `Rejected`.
    """


class FaultError(KernelwrightError):
    """Our own failure; never charged to a candidate. `where` says what failed.

    `model_calls` are those that a writer had answered before it, and that were paid for.
    """

    where: ClassVar[Where] = "ours"
    model_calls: tuple[ModelCall, ...] = ()


class ModelError(FaultError):
    """A language model did not answer usefully."""

    where = "model"


class SandboxError(FaultError):
    """The sandbox could not be set up."""

    where = "sandbox"


class WorkerError(FaultError):
    """One of our own processes broke."""


class DeviceLost(FaultError):
    """A GPU does not work any more. It is not used again until a probe of it passes."""

    where = "device"


class DeviceFull(FaultError):
    """Others have a GPU's memory, so that nothing can be said about who ran out of it."""

    where = "device"


class JudgeBroken(FaultError):
    """The judge failed its own test. The verdicts on `candidate_ids` cannot be relied on."""

    def __init__(self, message: str, candidate_ids: tuple[str, ...]):
        super().__init__(message)
        self.candidate_ids = candidate_ids


class StoreError(FaultError):
    """The run's log could not be written or read."""
