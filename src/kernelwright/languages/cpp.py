"""C++17 with OpenMP and SIMD on the CPU, in the native lane, built by the system's g++."""

from __future__ import annotations

import functools
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from kernelwright.core.candidate import Candidate, Lane
from kernelwright.core.problem import Problem
from kernelwright.core.protocols import BuildPlan
from kernelwright.languages import races
from kernelwright.languages.guide import native_guide
from kernelwright.languages.shim import HEADERS, headers, shim
from kernelwright.languages.signature import signature
from kernelwright.languages.sources import check_options, check_source
from kernelwright.languages.tunables import check_macros

ENTRY = "kernel"
SHIM = "kw_shim.cpp"
ARTIFACT = "kernel.so"

# -ffast-math and -Ofast are left out: their start-up code flushes small numbers to zero in the
# whole process, the judge's runner included.
ALLOWED_OPTIONS = (
    r"-O[123]",
    r"-fassociative-math",
    r"-freciprocal-math",
    r"-ffinite-math-only",
    r"-fno-signed-zeros",
    r"-fno-math-errno",
    r"-fno-trapping-math",
    r"-ffp-contract=(fast|off)",
    r"-f(no-)?unroll-loops",
    r"-f(no-)?tree-vectorize",
    r"-f(no-)?strict-aliasing",
    r"-mprefer-vector-width=(128|256|512)",
)
_LANGUAGE = ("-std=c++17", "-march=native", "-fopenmp", "-fPIC", "-shared", "-fvisibility=hidden")
_FAST = ("-O3", "-fno-math-errno", "-fno-trapping-math")
_SANITIZE = (
    "-O1", "-g", "-fno-omit-frame-pointer", "-fno-math-errno",
    "-fsanitize=address,undefined", "-fno-sanitize-recover=all", races.ONE_VERSION,
)  # fmt: skip
_MESSAGES = ("-fmax-errors=5", "-fdiagnostics-color=never")
_INSTALL = "Install it, on Debian or Ubuntu with `apt-get install g++`."


class Cpp:
    """C++ through a C ABI, with no header of torch: about 0.2 s to build."""

    name = "cpp"
    entry_point = f"kernel.cpp::{ENTRY}"
    lane: Lane = "native"
    devices: tuple[Literal["cpu", "cuda"], ...] = ("cpu",)

    def missing(self, purpose: Literal["build", "run", "time"]) -> str | None:
        """What this machine lacks: a g++ that builds a shared object with OpenMP."""
        return _compiler_fault() if purpose == "build" else None

    def guide(self, problem: Problem) -> str:
        """How to write a C++ candidate for `problem`."""
        return native_guide("cpp.md.j2", problem, ENTRY)

    def build(self, candidate: Candidate, problem: Problem, *, sanitize: bool = False) -> BuildPlan:
        """One call of g++ on a shim that includes the candidate's main file.

        The sanitized build aborts on the first memory error or undefined behaviour, in tensors
        that the runner allocates on the heap. Its runtime is preloaded, since the runner is not
        built with it.

        Raises:
            BuildRefused: a file name, size, option, tunable or entry point that is not allowed.
        """
        # The candidate's options come first, so that none of them undoes the sanitizers' own.
        if sanitize:
            mode = (*candidate.build_options, *_SANITIZE)
            return _plan(candidate, problem, mode, environment=_sanitizer_environment())
        return _plan(candidate, problem, (*_FAST, *candidate.build_options))

    def missing_race_check(self) -> str | None:
        """What looking for data races lacks here: the library that comes with g++."""
        if "/" in _library("libtsan.so"):
            return None
        return "g++'s libtsan is not installed (Debian: the package libtsan2, or g++ whole)"

    def race_build(self, candidate: Candidate, problem: Problem) -> BuildPlan:
        """As `build`, with ThreadSanitizer, which ends the process on the first data race.

        Raises:
            BuildRefused: as `build`.
        """
        return _plan(
            candidate,
            problem,
            (*candidate.build_options, *races.COMPILE, *races.LINK, races.SOURCE),
            environment=races.environment(_library("libtsan.so")),
            files={races.SOURCE: races.source()},
        )


def _plan(
    candidate: Candidate,
    problem: Problem,
    mode: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    files: Mapping[str, str] | None = None,
) -> BuildPlan:
    """One call of g++ with the options `mode`, after everything was checked."""
    check_source(candidate, ".cpp", reserved=[SHIM, races.SOURCE, *HEADERS])
    check_options(candidate.build_options, ALLOWED_OPTIONS)
    check_macros(candidate, signature(problem).names)
    own = {SHIM: shim(candidate, problem), **headers(), **(files or {})}
    return BuildPlan(
        files=dict(candidate.source.files) | own,
        commands=(("g++", *_LANGUAGE, *mode, *_MESSAGES, SHIM, "-o", ARTIFACT),),
        artifact=ARTIFACT,
        lane="native",
        environment=environment or {},
    )


def _sanitizer_environment() -> dict[str, str]:
    """What a process that is not built with AddressSanitizer needs to load an object that is."""
    return {
        # The runner is no C++: the sanitizer would look for the function that throws before
        # there is one, and end the process at the first exception.
        "LD_PRELOAD": f"{_library('libasan.so')} {_library('libstdc++.so')}",
        # A leak is not an error of a candidate, and looking for one needs ptrace. The runner
        # reports a crash by its signal.
        "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1:allocator_may_return_null=1",
        "UBSAN_OPTIONS": "print_stacktrace=1:abort_on_error=1",
    }


@functools.cache
def _library(name: str) -> str:
    """The path of a library that comes with g++; `name` itself when g++ does not know it."""
    command = ["g++", f"-print-file-name={name}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return name
    found = done.stdout.strip()
    # A link from the compiler's own folder, which a sandbox need not have.
    return str(Path(found).resolve()) if "/" in found else name


@functools.cache
def _compiler_fault() -> str | None:
    """Why g++ cannot build for us, as a sentence; None when a trial build works."""
    compiler = shutil.which("g++")
    if compiler is None:
        return f"g++, which builds C++ candidates, is not on the PATH. {_INSTALL}"
    with tempfile.TemporaryDirectory() as folder:
        trial = Path(folder, "trial.cpp")
        trial.write_text("#include <cmath>\n#include <omp.h>\n")
        try:
            done = subprocess.run(
                [compiler, *_LANGUAGE, str(trial), "-o", str(Path(folder, "trial.so"))],
                capture_output=True, text=True, check=False, timeout=60,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return (
                f"{compiler} did not finish an empty C++ file in 60 s. Is the machine overloaded?"
            )
    if done.returncode == 0:
        return None
    said = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[0]
    return f"{compiler} is here but cannot build a C++17 shared object with OpenMP: {said}"
