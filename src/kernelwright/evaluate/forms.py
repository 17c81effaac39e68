"""The form in which a candidate runs: as it was built, or with its kernels compiled ahead.

The screen is always for what was built: a module's Python is called there, again and again. Then
its kernels are compiled for all sizes, and run with no Python in the core and while they are timed.
When that cannot be had, the module itself goes on.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kernelwright.core.candidate import Lane
from kernelwright.core.evaluation import BuildFailed, TimedOut
from kernelwright.core.protocols import BuildPlan
from kernelwright.evaluate.building.builder import Built
from kernelwright.evaluate.running.compiling import Ahead, Compiled, NotCompiled


@dataclass(frozen=True)
class Form:
    """What a runner is given. `cubins` are the kernels of one call, where they are known."""

    built: Built
    lane: Lane
    environment: dict[str, str]
    cubins: tuple[Path, ...] = ()


class Forms:
    """The forms of one candidate, by the part of its evaluation."""

    def __init__(
        self,
        plan: BuildPlan,
        built: Built,
        compiling: Callable[[], contextlib.AbstractContextManager[Ahead]] | None,
    ):
        """`compiling` begins to compile the module ahead; None where that is not to be done."""
        self.built = Form(built, plan.lane, dict(plan.environment))
        self._begin = compiling
        self._found: Form | BuildFailed | TimedOut | None = None
        self.why_not: str | None = None  # compiled ahead, if that was tried

    @property
    def compiles(self) -> bool:
        """Whether finding the form for the core may take a compiler's time."""
        return self._begin is not None and self._found is None

    def for_core(self) -> Form | BuildFailed | TimedOut:
        """The form for every size.

        Raises:
            SandboxError: the compiler could not be started.
        """
        if self._begin is None:
            return self.built
        if self._found is None:
            with self._begin() as ahead:
                self._found = self._compiled(ahead)
        return self._found

    def _compiled(self, ahead: Ahead) -> Form | BuildFailed | TimedOut:
        """The module's kernels, for the sizes that a writer may see and then for the others."""
        seen = ahead.take()
        found = ahead.take(hidden=True) if isinstance(seen, Compiled) else seen
        if isinstance(found, NotCompiled):
            self.why_not = found.why
            return self.built
        if isinstance(found, Compiled) and isinstance(seen, Compiled):
            return Form(found.built, "native", {}, seen.cubins)
        assert isinstance(found, BuildFailed | TimedOut)
        return found
