"""CUDA C++ on an NVIDIA GPU, in the native lane, built by nvcc down to SASS."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kernelwright.core.candidate import Candidate, Lane
from kernelwright.core.problem import Problem
from kernelwright.core.protocols import BuildPlan
from kernelwright.languages.guide import native_guide
from kernelwright.languages.machine import cuda_arch, cuda_devices
from kernelwright.languages.shim import HEADERS, headers, shim
from kernelwright.languages.signature import Parameter, signature
from kernelwright.languages.sources import check_options, check_source
from kernelwright.languages.tunables import check_macros

ENTRY = "launch"
SHIM = "kw_shim.cu"
ARTIFACT = "kernel.so"
STREAM = Parameter(name="stream", c_type="cudaStream_t", kind="scalar")

ALLOWED_OPTIONS = (
    r"-O[0123]",
    r"--?use_fast_math",
    r"--?maxrregcount=\d{2,3}",
    r"--?fmad=(true|false)",
    r"--?extra-device-vectorization",
)
_USUAL_PLACE = Path("/usr/local/cuda/bin/nvcc")


class Cuda:
    """CUDA C++ through a C ABI: a host function that launches on a given stream."""

    name = "cuda"
    entry_point = f"kernel.cu::{ENTRY}"
    lane: Lane = "native"
    devices: tuple[Literal["cpu", "cuda"], ...] = ("cuda",)

    def missing(self, purpose: Literal["build", "run", "time"]) -> str | None:
        """What is lacking: nvcc to build, and to run a judge that calls CUDA candidates."""
        if purpose == "build":
            if find_nvcc() is None:
                return (
                    "nvcc, which builds CUDA candidates, is not on the PATH. Install NVIDIA's CUDA "
                    "toolkit, version 12 or later."
                )
            return None
        if cuda_devices() == 0:
            return (
                "This machine has no CUDA device: CUDA candidates are built and their machine code "
                "is checked, but they are not run."
            )
        return None

    def guide(self, problem: Problem) -> str:
        """How to write a CUDA candidate for `problem`."""
        return native_guide("cuda.md.j2", problem, ENTRY, after=(str(STREAM),))

    def build(self, candidate: Candidate, problem: Problem, *, sanitize: bool = False) -> BuildPlan:
        """One call of nvcc, for the GPU of this machine or else `machine.DEFAULT_ARCH`.

        The build's log has each kernel's registers and spills, for `resources`. The sanitized build
        adds line numbers for NVIDIA's compute-sanitizer.

        Raises:
            BuildRefused: a file name, size, option, tunable or entry point that is not allowed.
        """
        check_source(candidate, ".cu", reserved=[SHIM, *HEADERS])
        check_options(candidate.build_options, ALLOWED_OPTIONS)
        check_macros(candidate, (*signature(problem).names, STREAM.name))
        command = (
            find_nvcc() or "nvcc", "-std=c++17", "-O3", f"-arch={cuda_arch()}", "-shared",
            "-Xcompiler", "-fPIC,-fvisibility=hidden,-fmax-errors=5", "-Xptxas", "-v",
            *(("-lineinfo",) if sanitize else ()), *candidate.build_options,
            SHIM, "-o", ARTIFACT,
        )  # fmt: skip
        own = {SHIM: shim(candidate, problem, after=[STREAM]), **headers()}
        return BuildPlan(
            files=dict(candidate.source.files) | own,
            commands=(command,),
            artifact=ARTIFACT,
            lane="native",
        )


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What one kernel needs of a multiprocessor, as the assembler reports it.

    `spill_bytes` are stores of registers to local memory, `shared_bytes` is static.
    """

    kernel: str
    arch: str
    registers: int
    spill_bytes: int
    stack_bytes: int
    shared_bytes: int


def resources(log: str) -> tuple[Resources, ...]:
    """The kernels in the log of a build, in its order, under their mangled names."""
    parts = re.split(r"Compiling entry function '([^']+)' for '([^']+)'", log)
    return tuple(
        Resources(
            kernel=kernel,
            arch=arch,
            registers=_number(r"Used (\d+) registers", said),
            spill_bytes=_number(r"(\d+) bytes spill stores", said),
            stack_bytes=_number(r"(\d+) bytes stack frame", said),
            shared_bytes=_number(r"(\d+) bytes smem", said),
        )
        for kernel, arch, said in zip(parts[1::3], parts[2::3], parts[3::3], strict=True)
    )


def _number(pattern: str, text: str) -> int:
    found = re.search(pattern, text)
    return int(found[1]) if found else 0


def find_nvcc() -> str | None:
    """The compiler: on the PATH, or where NVIDIA's installer puts it."""
    return shutil.which("nvcc") or (str(_USUAL_PLACE) if _USUAL_PLACE.exists() else None)
