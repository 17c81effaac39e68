"""Triton on a GPU, in the module lane; without one its interpreter checks values and no more."""

from __future__ import annotations

import functools
import re
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

from kernelwright.core.candidate import Candidate, Lane
from kernelwright.core.problem import Problem
from kernelwright.core.protocols import BuildPlan
from kernelwright.languages.guide import module_guide
from kernelwright.languages.machine import cuda_devices
from kernelwright.languages.module_lane import CHECKER, CLASS, module_plan
from kernelwright.languages.sources import check_options, check_source
from kernelwright.languages.tunables import with_constants

# Older interpreters pass one-element arrays where NumPy 2.4 takes only numbers.
_FIRST_INTERPRETER = (3, 7, 1)
_STRICT_NUMPY = (2, 4)


class Triton:
    """A Python file with ``ModelNew`` whose kernels are in Triton."""

    name = "triton"
    entry_point = f"kernel.py::{CLASS}"
    lane: Lane = "module"
    devices: tuple[Literal["cpu", "cuda"], ...] = ("cpu", "cuda")

    def missing(self, purpose: Literal["build", "run", "time"]) -> str | None:
        """What this machine lacks: the package, a working interpreter, or a GPU to time on."""
        if purpose == "build":
            return None
        if purpose == "run":
            return self._cannot_run()
        if cuda_devices() == 0:
            return (
                "Triton candidates are not timed here: this machine has no CUDA device, and the "
                "time of Triton's interpreter says nothing about a GPU. Values can be verified."
            )
        return self._cannot_run()

    @staticmethod
    def _cannot_run() -> str | None:
        installed = _version("triton")
        if installed is None:
            return (
                "The package triton is not installed. Install it with `pip install triton>=3.7.1`."
            )
        numpy = _version("numpy")
        if cuda_devices() or installed >= _FIRST_INTERPRETER:
            return None
        if numpy is None or numpy < _STRICT_NUMPY:
            return None
        return (
            f"The interpreter of triton {_text(installed)} fails with numpy {_text(numpy)}, and "
            "this machine has no CUDA device. Run `pip install 'triton>=3.7.1'`."
        )

    def guide(self, problem: Problem) -> str:
        """How to write a Triton candidate for `problem`."""
        return module_guide("triton.md.j2", problem)

    def build(
        self,
        candidate: Candidate,
        problem: Problem,  # noqa: ARG002
        *,
        sanitize: bool = False,  # noqa: ARG002
    ) -> BuildPlan:
        """The files with the tunables' constants set. There is no sanitized form.

        Raises:
            BuildRefused: a file name, size, option or entry point that is not allowed, or a tunable
                without its constant.
        """
        check_source(candidate, ".py", reserved=[CHECKER])
        check_options(candidate.build_options, ())
        main = candidate.source.main_file
        text = with_constants(candidate.source.text, candidate.values)
        files = {**candidate.source.files, main: text}
        if cuda_devices():
            return module_plan(candidate, files, {}, ahead=True)
        return module_plan(candidate, files, {"TRITON_INTERPRET": "1"})


@functools.cache
def _version(package: str) -> tuple[int, ...] | None:
    """The first three numbers of an installed package's version; None when it is not installed."""
    try:
        return tuple(int(part) for part in re.findall(r"\d+", version(package))[:3])
    except PackageNotFoundError:
        return None


def _text(numbers: tuple[int, ...]) -> str:
    return ".".join(map(str, numbers))
