"""Precompiled headers of our own text: made once per machine, shown to builds, never written there.

Each lies in a folder named by the hash of all that decides it, as in the compile cache, and is too
large for an entry there. A build sees the one folder that it asks for, read-only. Where candidates
are not kept from the user's files there is no such store, and each judge makes its own.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from pathlib import Path

from kernelwright.core.evaluation import Isolation
from kernelwright.evaluate.building.compile_cache import private_folder

_KEPT = 4
_IN_USE_S = 3600.0  # what another judge was given so recently is left alone


class Headers:
    """Folders by key in one folder, of which few are kept: each has some 800 MB."""

    def __init__(self, folder: Path):
        self._folder = folder

    @classmethod
    def of_user(cls, level: Isolation) -> Headers | None:
        """The user's store; None where it cannot be kept from candidates and other users."""
        folder = private_folder("headers", level)
        return cls(folder) if folder else None

    def find(self, key: str) -> Path | None:
        """The folder under `key`; None when there is none."""
        folder = self._folder / key
        try:
            os.utime(folder)
        except FileNotFoundError:
            return None
        return folder

    def keep(self, key: str, made: Path) -> Path:
        """Move the folder `made` here, unless somebody else was first; where it is then.

        Raises:
            OSError: the disk refused.
        """
        kept = self._folder / key
        with tempfile.TemporaryDirectory(dir=self._folder, prefix="new-") as scratch:
            moved = Path(scratch) / "header"
            shutil.move(str(made), moved)
            with contextlib.suppress(OSError):
                moved.rename(kept)
        self._evict()
        return kept

    def _evict(self) -> None:
        """Remove what was used longest ago, and what a killed judge left."""
        found = []
        for folder in self._folder.iterdir():
            with contextlib.suppress(FileNotFoundError):
                found.append((folder.stat().st_mtime, folder))
        for used, folder in sorted(found, reverse=True)[_KEPT:]:
            if used < time.time() - _IN_USE_S:
                shutil.rmtree(folder, ignore_errors=True)
