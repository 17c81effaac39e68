"""The builders: carry out `BuildPlan`s inside the sandbox, side by side, and keep what came out.

Compilers read what a candidate names (`#include`, `#embed`), so they run with the same walls
around them as the candidate itself: no home, no network, nothing but system folders and a
scratch folder of its own.

Builds run ahead of the one life that runs at a time, and stand aside while something is timed
(see `gate`). Equal plans are built once per judge, and once per machine where they can be kept
(see `compile_cache`).
"""

from __future__ import annotations

import contextlib
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from kernelwright.core.errors import WorkerError
from kernelwright.core.evaluation import BuildFailed, Isolation, TimedOut
from kernelwright.core.protocols import BuildPlan
from kernelwright.evaluate.building.compile_cache import (
    CompileCache,
    Kept,
    full_hash,
    machine_parts,
    tool_version,
)
from kernelwright.evaluate.building.gate import MACHINE, Gate
from kernelwright.evaluate.isolation import sandbox

BUILD_LIMIT_S = 120.0
REMEMBERED = 64  # builds that a judge keeps on its disk
_AHEAD = 32  # of which at most so many wait to be asked for, so none in use is given up
_CLOSED = "The judge was closed before this build was done."
_DIAGNOSTICS = 12_000
_ARTIFACT_BYTES = 256 << 20


@dataclass(frozen=True)
class Built:
    """An artifact: the folder that a runner may read, the file in it to load, and the log."""

    folder: Path
    artifact: Path
    log: str


Result = Built | BuildFailed | TimedOut


class Builder:
    """Builds plans below one folder, each once, as many at a time as the gate has places."""

    def __init__(
        self,
        folder: Path,
        level: Isolation,
        *,
        limit_s: float = BUILD_LIMIT_S,
        gate: Gate = MACHINE,
        cache: CompileCache | None = None,
    ):
        self._folder = folder
        self._level = level
        self._limit_s = limit_s
        self._gate = gate
        self._cache = cache
        self._pool = ThreadPoolExecutor(gate.places, thread_name_prefix="builder")
        self._lock = threading.Lock()
        self._builds: OrderedDict[str, Future[Result]] = OrderedDict()
        self._waiting: set[str] = set()
        self._held: Counter[str] = Counter()
        self._children: dict[int, sandbox.Child] = {}
        self._closed = False

    def build(self, plan: BuildPlan) -> Result:
        """Carry out `plan`, or answer as it ended the last time.

        Raises:
            SandboxError: the sandbox could not be started; nothing is remembered.
            WorkerError: the disk refused, or the builder was closed; nothing is remembered.
        """
        key = _key(plan)
        with self._lock:
            future = self._future(key, plan)
            self._waiting.discard(key)
        try:
            return future.result()
        except CancelledError as error:
            raise WorkerError(_CLOSED) from error
        except Exception:
            with self._lock:
                self._builds.pop(key, None)
            raise

    @contextlib.contextmanager
    def holding(self, plan: BuildPlan) -> Iterator[None]:
        """What `plan` is built to, within this block or before, is not given up while it lasts."""
        key = _key(plan)
        with self._lock:
            self._held[key] += 1
        try:
            yield
        finally:
            with self._lock:
                self._held[key] -= 1
                self._held += Counter()  # drops those that nobody holds

    def ahead(self, plan: BuildPlan) -> Future[Result] | None:
        """Start to build `plan` before it is asked for; None when enough is under way already."""
        key = _key(plan)
        with self._lock:
            if key not in self._builds:
                if len(self._waiting) >= _AHEAD:
                    return None
                self._waiting.add(key)
            return self._future(key, plan)

    def working(self, count: int) -> contextlib.AbstractContextManager[None]:
        """So many builds less run within, since what is inside is one itself."""
        return self._gate.working(count)

    def quiet(self) -> contextlib.AbstractContextManager[None]:
        """No build runs within. What is inside must not ask for one."""
        return self._gate.quiet()

    def close(self) -> None:
        """End the builds that run and forget those that wait."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            self._closed = True
            for child in self._children.values():
                child.kill()
        self._pool.shutdown(wait=True)

    def _future(self, key: str, plan: BuildPlan) -> Future[Result]:
        """The build under `key`, started when there is none. The lock is held."""
        if key not in self._builds:
            try:
                self._builds[key] = self._pool.submit(self._carry_out, plan, key)
            except RuntimeError as error:
                raise WorkerError(_CLOSED) from error
            self._forget()
        self._builds.move_to_end(key)
        return self._builds[key]

    def _forget(self) -> None:
        """Give up builds that nobody holds, those asked for longest ago first. The lock is held."""
        spare = len(self._builds) - REMEMBERED
        for key in list(self._builds):
            if spare <= 0:
                return
            if self._builds[key].done() and not self._held[key]:
                del self._builds[key]
                self._waiting.discard(key)
                shutil.rmtree(self._folder / key, ignore_errors=True)
                spare -= 1

    def _carry_out(self, plan: BuildPlan, key: str) -> Result:
        try:
            with self._gate.working():
                return self._from_cache(plan, key) or self._build(plan, key)
        except OSError as error:
            shutil.rmtree(self._folder / key, ignore_errors=True)
            raise WorkerError(
                f"A build could not be written below {self._folder}: {error.strerror}. "
                "Make room there, or set TMPDIR to another folder."
            ) from error

    def _from_cache(self, plan: BuildPlan, key: str) -> Built | None:
        name = self._cache_key(plan)
        kept = self._cache.get(name) if self._cache and name else None
        if kept is None:
            return None
        folder = self._folder / key
        _write(folder, kept.files)
        return Built(folder, folder / plan.artifact, kept.log)

    def _cache_key(self, plan: BuildPlan) -> str | None:
        """None when a build depends on more than we can name, as what Python runs does."""
        tools = [shutil.which(argv[0]) for argv in plan.commands]
        parts = []
        for tool in tools:
            if tool is None or tool == sys.executable:
                return None
            found = Path(tool).stat()
            try:
                parts.append(tool_version(tool, found.st_size, found.st_mtime_ns))
            except subprocess.TimeoutExpired:
                return None
        return full_hash(_key(plan), parts, machine_parts()) if parts else None

    def _build(self, plan: BuildPlan, key: str) -> Result:
        with tempfile.TemporaryDirectory(dir=self._folder, prefix="build-") as scratch:
            work = Path(scratch) / "work"
            _write(work, {name: text.encode() for name, text in plan.files.items()})
            log = Path(scratch) / "log"
            deadline = time.monotonic() + self._limit_s
            said = ""
            for argv in plan.commands:
                failed = self._run(argv, work, log, deadline)
                said += _beginning(log)
                if isinstance(failed, TimedOut):
                    return failed
                if failed is not None:
                    return BuildFailed(diagnostics=self._readable(said or failed, work))
            return self._keep(plan, work, key, said)

    def _run(
        self, argv: tuple[str, ...], work: Path, log: Path, deadline: float
    ) -> TimedOut | str | None:
        """None when the command exited with 0, else what happened."""
        tool = shutil.which(argv[0])
        command = sandbox.Command(
            argv=[tool or argv[0], *argv[1:]],
            reads=sandbox.python_folders() if tool == sys.executable else [],
            work=work,
            environment={"TMPDIR": sandbox.work_path(work, self._level)},
            processes=True,
        )
        with self._running(sandbox.start(command, self._level, log)) as child:
            code, name = child.ending(max(deadline - time.monotonic(), 0.1))
        if code is None:
            return TimedOut(stage="build", limit_s=self._limit_s)
        return None if code == 0 else f"{argv[0]} ended with {name or f'status {code}'}."

    @contextlib.contextmanager
    def _running(self, child: sandbox.Child) -> Iterator[sandbox.Child]:
        """`child`, which `close` can end, and which is ended when the block is left.

        Raises:
            WorkerError: the builder was closed meanwhile, so how it ended says nothing.
        """
        try:
            with self._lock:
                self._children[id(child)] = child
                if self._closed:
                    raise WorkerError(_CLOSED)
            yield child
            if self._closed:
                raise WorkerError(_CLOSED)
        finally:
            with self._lock:
                del self._children[id(child)]
            child.kill()

    def _readable(self, text: str, work: Path) -> str:
        """Diagnostics without the scratch folder's name, which means nothing to a reader."""
        for prefix in (f"{work}/", f"{sandbox.WORK}/"):
            text = text.replace(prefix, "")
        return text.strip() or "The compiler failed and said nothing."

    def _keep(self, plan: BuildPlan, work: Path, key: str, said: str) -> Built | BuildFailed:
        artifact = work / plan.artifact
        try:
            found = artifact.lstat()
        except FileNotFoundError:
            return BuildFailed(diagnostics=f"The build made no {plan.artifact}.\n{said}".strip())
        if not stat.S_ISREG(found.st_mode) or found.st_size > _ARTIFACT_BYTES:
            limit = f"a plain file of at most {_ARTIFACT_BYTES >> 20} MiB"
            return BuildFailed(diagnostics=f"{plan.artifact} is not {limit}.")
        log = self._readable(said, work) if said else ""
        name = self._cache_key(plan)
        if self._cache and name:
            self._cache.put(name, Kept({plan.artifact: artifact.read_bytes()}, log))
        kept = self._folder / key
        shutil.move(str(work), kept)
        return Built(kept, kept / plan.artifact, log)


def _key(plan: BuildPlan) -> str:
    """The whole hash: with a short one, two texts could be made to share a binary."""
    return full_hash(dict(plan.files), plan.commands, plan.artifact, dict(plan.environment))


def _beginning(log: Path) -> str:
    with log.open("rb") as file:
        return file.read(_DIAGNOSTICS).decode("utf-8", "replace")


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    folder.mkdir()
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
