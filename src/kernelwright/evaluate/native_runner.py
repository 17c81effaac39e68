"""The native runner's executable: built once per machine from `native/runner.c`."""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from kernelwright.core.errors import Unavailable, WorkerError

_SOURCE = Path(__file__).parent / "native" / "runner.c"
_FLAGS = ("-std=c11", "-O2", "-Wall", "-ldl")


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


@functools.cache
def executable() -> Path:
    """The runner, built if this machine does not have this version of it yet.

    Raises:
        Unavailable: there is no C compiler.
        WorkerError: the compiler refused our own source.
    """
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise Unavailable("There is no C compiler. Install gcc (Debian: apt install g++).")
    version = subprocess.run([compiler, "--version"], capture_output=True, check=False).stdout
    key = hashlib.sha256(_SOURCE.read_bytes() + version + " ".join(_FLAGS).encode()).hexdigest()
    target = cache_folder() / f"runner-{key[:16]}"
    if target.exists():
        return target
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        built = Path(folder) / "runner"
        command = [compiler, str(_SOURCE), "-o", str(built), *_FLAGS]
        tried = subprocess.run(command, capture_output=True, text=True, check=False)
        if tried.returncode != 0:
            raise WorkerError(f"The native runner could not be built:\n{tried.stderr}")
        built.rename(target)
    return target
