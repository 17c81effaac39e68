"""The compile cache: what a build made, kept for the next judge that is asked for the same.

An entry is one file, named by the hash of all that decides a build: the plan's files and commands,
the compiler, the C library and the processor. Its first line is the hash of the rest, and what does
not agree with it is thrown away.

Who could poison it? Not a candidate: no sandbox shows it this folder, and the level without walls
has no cache. What a build makes can only be found under the text that made it. Not another user:
a folder that others may write is not used. You could, and you could change Kernelwright as well.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import stat
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from kernelwright.core.errors import Unavailable
from kernelwright.core.evaluation import Isolation
from kernelwright.evaluate.native.programs import cache_folder

CACHE_BYTES = 1 << 30
ENTRY_BYTES = 64 << 20
_FORMAT = 1
_ABANDONED_S = 3600.0


@dataclass(frozen=True)
class Kept:
    """The files of a build by relative name, and what the compiler said."""

    files: dict[str, bytes]
    log: str


class CompileCache:
    """Builds by key in one folder, of which the least recently used go when it is full."""

    def __init__(self, folder: Path, *, limit_bytes: int = CACHE_BYTES):
        self._folder = folder
        self._limit_bytes = limit_bytes

    @classmethod
    def of_user(cls, level: Isolation) -> CompileCache | None:
        """The user's cache; None where it cannot be kept from candidates and other users."""
        folder = private_folder("builds", level)
        return cls(folder) if folder else None

    def get(self, key: str) -> Kept | None:
        """What is kept under `key`; None when there is nothing that agrees with its hash."""
        path = self._folder / key
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            with os.fdopen(descriptor, "rb") as file:
                digest, body = file.readline().strip(), file.read()
        except OSError:
            return None
        kept = _unpacked(body) if digest == _digest(body) else None
        with contextlib.suppress(OSError):
            if kept is None:
                path.unlink()
            else:
                os.utime(path)
        return kept

    def put(self, key: str, kept: Kept) -> None:
        """Keep a build, unless it is too large or the disk refuses: then it is made again."""
        if sum(map(len, kept.files.values())) > ENTRY_BYTES:
            return
        body = _packed(kept)
        with (
            contextlib.suppress(OSError),
            tempfile.TemporaryDirectory(dir=self._folder, prefix="new-") as scratch,
        ):
            written = Path(scratch) / "entry"
            written.write_bytes(_digest(body) + b"\n" + body)
            written.rename(self._folder / key)
            self._evict()

    def _evict(self) -> None:
        """Remove what was used longest ago until the rest fits, and what a killed judge left."""
        entries = []
        for path in self._folder.iterdir():
            with contextlib.suppress(FileNotFoundError):
                found = path.lstat()
                if stat.S_ISREG(found.st_mode):
                    entries.append((found.st_mtime_ns, found.st_size, path))
                elif found.st_mtime < time.time() - _ABANDONED_S:
                    (path / "entry").unlink(missing_ok=True)
                    path.rmdir()
        total = sum(size for _, size, _ in entries)
        for _, size, path in sorted(entries):
            if total <= self._limit_bytes:
                return
            path.unlink(missing_ok=True)
            total -= size


def private_folder(name: str, level: Isolation) -> Path | None:
    """A folder of the user's cache, made if it is missing; None where candidates or other users
    could write there."""
    if level == "process":
        return None
    try:
        folder = cache_folder() / name
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except (OSError, Unavailable):
        return None
    ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
    return folder if ours and not found.st_mode & 0o022 else None


def full_hash(*parts: object) -> str:
    """The SHA-256 of `parts` as canonical JSON, in 64 hex digits."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _digest(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest().encode()


def _packed(kept: Kept) -> bytes:
    names = [[name, len(content)] for name, content in kept.files.items()]
    head = json.dumps({"format": _FORMAT, "log": kept.log, "files": names})
    return head.encode() + b"\n" + b"".join(kept.files.values())


def _unpacked(body: bytes) -> Kept | None:
    head, _, rest = body.partition(b"\n")
    said = json.loads(head)
    if said["format"] != _FORMAT:
        return None
    files, position = {}, 0
    for name, size in said["files"]:
        files[name] = rest[position : position + size]
        position += size
    return Kept(files, said["log"])


def machine_parts() -> tuple[str, ...]:
    """What of this machine decides a build: the C library, and the processor that
    ``-march=native`` means."""
    return (os.confstr("CS_GNU_LIBC_VERSION") or "", *_processor())


@functools.cache
def _processor() -> tuple[str, ...]:
    wanted = ("vendor_id", "cpu family", "model", "stepping", "flags", "Features", "CPU part")
    found: dict[str, str] = {}
    info = Path("/proc/cpuinfo")
    for line in info.read_text().splitlines() if info.exists() else []:
        name, _, value = line.partition(":")
        if name.strip() in wanted:
            found.setdefault(name.strip(), value.strip())
    return tuple(found[name] for name in sorted(found))


@functools.lru_cache(maxsize=32)
def tool_version(tool: str, size: int, changed_ns: int) -> str:
    """What the compiler `tool` says of its version. Size and time tell that it was replaced."""
    tried = subprocess.run(
        [tool, "--version"], capture_output=True, text=True, check=False, timeout=30
    )
    return f"{size} {changed_ns} {tried.stdout}"
