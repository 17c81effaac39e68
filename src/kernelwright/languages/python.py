"""A plain Python file with ``ModelNew``, in the module lane.

No search writes it; it is how the judge takes what somebody else wrote, such as a delivered
``best_module.py`` together with the source that it builds.
"""

from __future__ import annotations

from typing import Literal

from kernelwright.core.candidate import Candidate, Lane
from kernelwright.core.errors import BuildRefused
from kernelwright.core.problem import Problem
from kernelwright.core.protocols import BuildPlan
from kernelwright.languages.guide import module_guide
from kernelwright.languages.module_lane import CHECKER, CLASS, module_plan
from kernelwright.languages.sources import check_options, check_source


class Python:
    """Any Python module with a class that replaces the problem's `Model`."""

    name = "python"
    entry_point = f"module.py::{CLASS}"
    lane: Lane = "module"
    devices: tuple[Literal["cpu", "cuda"], ...] = ("cpu", "cuda")

    def missing(self, purpose: Literal["build", "run", "time"]) -> str | None:  # noqa: ARG002
        """Nothing: whoever runs Kernelwright has Python and torch."""
        return None

    def guide(self, problem: Problem) -> str:
        """How to write a module for `problem`."""
        return module_guide("python.md.j2", problem)

    def build(
        self,
        candidate: Candidate,
        problem: Problem,  # noqa: ARG002
        *,
        sanitize: bool = False,  # noqa: ARG002
    ) -> BuildPlan:
        """The files as they are. There is no sanitized form of a Python file.

        Raises:
            BuildRefused: a file name, size or entry point that is not allowed, build options, or
                tunables, which this language does not have.
        """
        check_source(candidate, ".py", reserved=[CHECKER])
        check_options(candidate.build_options, ())
        if candidate.tunables:
            raise BuildRefused(
                "A plain Python module has no tunables. Declare the language triton."
            )
        return module_plan(candidate, candidate.source.files, {})
