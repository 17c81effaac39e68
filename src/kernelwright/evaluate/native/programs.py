"""Our own small programs in C: built once per machine from the sources beside this file."""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from kernelwright.core.errors import Unavailable, WorkerError

_SOURCES = Path(__file__).parent
_FLAGS = ("-std=c11", "-O2", "-Wall", "-ldl", "-lm")
_FAST = ("-std=c11", "-O3", "-march=native", "-fopenmp", "-Wall")


def cache_folder() -> Path:
    """Where builds that can be made again are kept; created when missing.

    Raises:
        Unavailable: it cannot be written.
    """
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(base) / "kernelwright"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Unavailable(
            f"The cache folder {folder} cannot be made ({error.strerror}). "
            "Set XDG_CACHE_HOME to a folder that can be written."
        ) from error
    return folder


def executable() -> Path:
    """The native runner; see `_built`."""
    return _built("runner", _FLAGS)


def gpu_runner() -> Path:
    """The native runner for a GPU; see `_built`."""
    return _built("gpu_runner", _FLAGS)


def keeper() -> Path:
    """The program that owns the device memory of what is timed on a GPU; see `_built`."""
    return _built("keeper", _FLAGS)


def probe() -> Path:
    """The program that says whether a GPU still works; see `_built`."""
    return _built("probe", _FLAGS)


def gate() -> Path:
    """The same gate as the native runner's, as a library for processes in Python; see `_built`."""
    return _built("gate", (*_FLAGS, "-shared", "-fPIC"))


def confine() -> Path:
    """The program that sets a process's limits and walls; see `_built`."""
    return _built("confine", _FLAGS)


def confine_library() -> Path:
    """The same as a library, for a process that confines itself; see `_built`."""
    return _built("confine", (*_FLAGS, "-shared", "-fPIC"))


def far() -> Path:
    """The runner for one call on enormous tensors; see `_built`."""
    return _built("far", _FLAGS)


def peaks() -> Path:
    """The program that measures what this machine can do at most; see `_built`."""
    return _built("peaks", _FAST)


@functools.cache
def _built(name: str, flags: tuple[str, ...]) -> Path:
    """The program `name`, built if this machine does not have this version of it yet.

    Raises:
        Unavailable: there is no C compiler.
        WorkerError: the compiler refused our own source.
    """
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise Unavailable("There is no C compiler. Install gcc (Debian: apt install g++).")
    source = _SOURCES / f"{name}.c"
    version = subprocess.run([compiler, "--version"], capture_output=True, check=False).stdout
    texts = [source.read_bytes(), *(header.read_bytes() for header in sorted(_SOURCES.glob("*.h")))]
    key = hashlib.sha256(b"".join([*texts, version, " ".join(flags).encode()])).hexdigest()
    target = cache_folder() / f"{name}-{key[:16]}"
    if target.exists():
        return target
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        built = Path(folder) / name
        command = [compiler, str(source), "-o", str(built), *flags]
        tried = subprocess.run(command, capture_output=True, text=True, check=False)
        if tried.returncode != 0:
            raise WorkerError(f"Our own {name}.c could not be built:\n{tried.stderr}")
        built.rename(target)
    return target
