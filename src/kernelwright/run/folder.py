"""The folder of a run: its name, its lock, and how files get into it.

What the files say is decided elsewhere: the log by `store`, the kernel by `delivery`, the report by
`report`.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kernelwright.core.errors import StoreError, UsageError
from kernelwright.run.hints import HINTS_FILE
from kernelwright.store.sql import FILE_NAME

RUNS = Path("runs")
_LOCK = "lock"
_MOST_RUNS = 100_000


class InUse(UsageError):
    """Another process has the run."""


@dataclass(frozen=True)
class RunFolder:
    """One run's folder. `path` is what people are told, so it stays as they gave it."""

    path: Path

    @classmethod
    def create(cls, parent: Path, stem: str) -> RunFolder:
        """A new folder in `parent`, called `stem` and the first number that is free.

        Raises:
            StoreError: it cannot be made.
        """
        stem = re.sub(r"[^A-Za-z0-9_.-]+", "_", stem).strip("._-") or "run"
        with _file_errors(parent):
            parent.mkdir(parents=True, exist_ok=True)
            for number in range(1, _MOST_RUNS):
                try:
                    # Two runs that start at once cannot both make the same folder.
                    (parent / f"{stem}-{number}").mkdir()
                except FileExistsError:
                    continue
                return cls(parent / f"{stem}-{number}")
        raise StoreError(f"{parent} is full of runs called {stem}; move some of them away.")

    @classmethod
    def claim(cls, path: Path) -> RunFolder:
        """The folder `path`, which must be empty or not there yet: a run never overwrites. Hints
        for it may be there already.

        Raises:
            UsageError: it holds something.
            StoreError: it cannot be made.
        """
        if (path / FILE_NAME).exists():
            raise UsageError(
                f"{path} already holds a run. Go on with it by `kernelwright resume {path}`, or "
                "choose another folder."
            )
        with _file_errors(path):
            path.mkdir(parents=True, exist_ok=True)
            if any(inside.name != HINTS_FILE for inside in path.iterdir()):
                raise UsageError(f"{path} is not empty. Choose a folder for this run alone.")
        return cls(path)

    @classmethod
    def existing(cls, path: Path) -> RunFolder:
        """The folder of a run that was started before.

        Raises:
            UsageError: there is no run in it.
        """
        if not (path / FILE_NAME).is_file():
            what = "has no run in it" if path.is_dir() else "does not exist"
            raise UsageError(f"{path} {what}. A run's folder holds a file {FILE_NAME}.")
        return cls(path)

    @property
    def name(self) -> str:
        """The last part of the path: what the run is called."""
        return self.path.resolve().name

    @property
    def log_path(self) -> Path:
        """Where the log is."""
        return self.path / FILE_NAME

    def write(self, name: str, text: str) -> Path:
        """Put a whole file there, or leave what was there before; `name` may have folders in it.

        Raises:
            StoreError: it could not be written.
        """
        path = self.path / name
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        with _file_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with draft.open("w", encoding="utf-8", newline="\n") as file:
                    file.write(text)
                    file.flush()
                    os.fsync(file.fileno())
                draft.replace(path)
            finally:
                draft.unlink(missing_ok=True)
        return path

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run for this process. The lock goes with the process, however it ends.

        Raises:
            InUse: another process holds it.
        """
        path = self.path / _LOCK
        with _file_errors(path):
            file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _take(file, self.path)
            yield
        finally:
            os.close(file)


def _take(file: int, folder: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EAGAIN, errno.EACCES):
            raise StoreError(f"{folder} cannot be locked: {error.strerror}.") from error
        holder = os.pread(file, 32, 0).decode(errors="replace").strip() or "unknown"
        raise InUse(
            f"{folder} is in use by process {holder}. Wait until it has finished, or end it, "
            "and try again."
        ) from error
    with _file_errors(folder):
        os.ftruncate(file, 0)
        os.pwrite(file, f"{os.getpid()}\n".encode(), 0)


@contextmanager
def _file_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's exceptions into ours, here and nowhere else."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            remedy = "The disk is full; what was written before is safe. Make room, then resume."
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            remedy = "It may not be written. Choose another folder, or change its permissions."
        else:
            remedy = f"{error.strerror or error}."
        raise StoreError(f"{error.filename or path} cannot be used. {remedy}") from error
