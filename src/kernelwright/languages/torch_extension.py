"""A Python file that builds C++ or CUDA with torch's `load_inline`, in the module lane.

Files for KernelBench often look so. What the file asks for is compiled when the candidate is built,
where its own code does not run, and handed to it when it is called; see `extension_calls` and
`extension_units`.
"""

from __future__ import annotations

import functools
import shutil
import sys
from typing import Literal

from kernelwright.core.candidate import Candidate, Lane
from kernelwright.core.errors import BuildRefused
from kernelwright.core.problem import Problem
from kernelwright.core.protocols import BuildPlan
from kernelwright.languages.extension_units import MODULE, SCRIPT, Extensions
from kernelwright.languages.guide import module_guide
from kernelwright.languages.module_lane import CHECKER, CLASS
from kernelwright.languages.sources import check_options, check_source, own_file
from kernelwright.languages.torch_headers import torch_home

COLLECTED = "kw_collected.json"


class TorchExtension:
    """A Python file with ``ModelNew`` and calls of `load_inline` or `load` at its top."""

    name = "torch_extension"
    entry_point = f"kernel.py::{CLASS}"
    lane: Lane = "module"
    devices: tuple[Literal["cpu", "cuda"], ...] = ("cpu", "cuda")

    def missing(self, purpose: Literal["build", "run", "time"]) -> str | None:
        """What this machine lacks to build C++: g++, or Python's headers. CUDA sources need nvcc as
        well, which is said when there are some."""
        return _build_fault() if purpose == "build" else None

    def guide(self, problem: Problem) -> str:
        """How to write such a file for `problem`."""
        return module_guide("torch_extension.md.j2", problem)

    def build(
        self,
        candidate: Candidate,
        problem: Problem,  # noqa: ARG002
        *,
        sanitize: bool = False,  # noqa: ARG002
    ) -> BuildPlan:
        """The file is run to learn its calls, and `Extensions` plans what they ask for. There is no
        sanitized form.

        Raises:
            BuildRefused: a file name, size or entry point that is not allowed, build options, or
                tunables, which this language does not have.
        """
        check_source(candidate, ".py", reserved=[CHECKER, SCRIPT, MODULE, COLLECTED])
        check_options(candidate.build_options, ())
        if candidate.tunables:
            raise BuildRefused(
                "A torch extension has no tunables. Declare the language cuda or cpp."
            )
        source = candidate.source
        return BuildPlan(
            files={
                **source.files,
                CHECKER: own_file("module_check.py"),
                SCRIPT: own_file("extension_calls.py"),
            },
            commands=(
                (sys.executable, "-I", "-S", CHECKER, source.main_file, source.name),
                (sys.executable, "-I", "-B", SCRIPT, source.main_file, COLLECTED),
            ),
            artifact=COLLECTED,
            lane="module",
            follow=Extensions(dict(source.files), source.main_file),
        )


@functools.cache
def _build_fault() -> str | None:
    if shutil.which("g++") is None:
        return (
            "g++, which builds torch extensions, is not on the PATH. Install it, on Debian or "
            "Ubuntu with `apt-get install g++`."
        )
    header = torch_home().python / "Python.h"
    if not header.exists():
        return (
            f"Python's headers, which torch extensions need, are not installed ({header} is not "
            "there). Install them, on Debian or Ubuntu with `apt-get install python3-dev`."
        )
    return None
