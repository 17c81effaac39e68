"""The form in which a candidate runs: as it was built, or with its kernels compiled ahead.

A module's kernels are compiled for the screen first, and for all other sizes only when the screen
went well. When that cannot be had, the module itself runs, and says what is wrong if something is.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kernelwright.core.candidate import Lane
from kernelwright.core.evaluation import BuildFailed, TimedOut
from kernelwright.core.protocols import BuildPlan
from kernelwright.evaluate.building.ahead import Ahead, Compiled, Found, NotCompiled
from kernelwright.evaluate.building.builder import Built


@dataclass(frozen=True)
class Form:
    """What a runner is given. `cubins` are the kernels of one call, where they are known."""

    built: Built
    lane: Lane
    environment: dict[str, str]
    cubins: tuple[Path, ...] = ()


class Forms:
    """The forms of one candidate, by the part of its evaluation. Closing it ends the compiler."""

    def __init__(
        self,
        plan: BuildPlan,
        built: Built,
        compiling: Callable[[], contextlib.AbstractContextManager[Ahead]] | None,
    ):
        """`compiling` begins to compile the module ahead; None where that is not to be done."""
        self._whole = Form(built, plan.lane, dict(plan.environment))
        self._begin = compiling
        self._stack = contextlib.ExitStack()
        self._ahead: Ahead | None = None
        self._found: list[Form | BuildFailed | TimedOut] = []
        self.why_whole: str | None = None  # why it was not compiled ahead, if that was tried

    @property
    def compiles(self) -> bool:
        """Whether finding a form may take a compiler's time."""
        return self._begin is not None

    def first(self) -> Form | BuildFailed | TimedOut:
        """The form for the sizes of the screen.

        Raises:
            SandboxError: the compiler could not be started.
        """
        if self._begin is None:
            return self._whole
        if not self._found:
            self._ahead = self._stack.enter_context(self._begin())
            self._found.append(self._form(self._ahead.take()))
        return self._found[0]

    def all(self) -> Form | BuildFailed | TimedOut:
        """The form for every size. One that was compiled no further than for the screen may turn
        out to be the module after all."""
        first = self.first()
        if self._ahead is None or not isinstance(first, Form) or first is self._whole:
            return first
        if len(self._found) == 1:
            seen = self._form(self._ahead.take())
            if isinstance(seen, Form) and seen is not self._whole:
                every = self._form(self._ahead.take(hidden=True))
                if isinstance(every, Form) and every is not self._whole:
                    cubins = seen.cubins or first.cubins
                    every = Form(every.built, every.lane, every.environment, cubins)
                seen = every
            self._found.append(seen)
        return self._found[1]

    def close(self) -> None:
        """End the compiler, if it was started."""
        self._stack.close()

    def _form(self, found: Found) -> Form | BuildFailed | TimedOut:
        match found:
            case Compiled(built=built, cubins=cubins):
                return Form(built, "native", {}, cubins)
            case NotCompiled(why=why):
                self.why_whole = why
                return self._whole
            case _:
                return found
