"""The builders: carry out `BuildPlan`s inside the sandbox, side by side, and keep what came out.

Compilers read what a candidate names (`#include`, `#embed`), so they run with the same walls
around them as the candidate itself: no home, no network, nothing but system folders and a
scratch folder of its own.

A plan may have others in it (`composed`): those are builds like any other, and whoever puts them
together holds no place while it waits. Where a candidate's code runs in a build (`follow`), what
comes out is read as a stranger's word and nothing else of it is used; compilers run elsewhere.

Builds run ahead of the one life that runs at a time, and stand aside while something is timed
(see `gate`). Equal plans are built once per judge, and once per machine where they can be kept
(see `compile_cache`).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import sys
import tempfile
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from kernelwright.core.errors import BuildRefused, WorkerError
from kernelwright.core.evaluation import BuildFailed, Isolation, TimedOut
from kernelwright.core.protocols import HEADER_FOLDER, BuildPlan
from kernelwright.evaluate.building.compile_cache import (
    CompileCache,
    Kept,
)
from kernelwright.evaluate.building.gate import MACHINE, Gate
from kernelwright.evaluate.building.headers import Headers
from kernelwright.evaluate.building.plans import cache_key, is_composed, plan_key
from kernelwright.evaluate.isolation import sandbox

BUILD_LIMIT_S = 120.0
REMEMBERED = 64  # builds that a judge keeps on its disk
_AHEAD = 32  # of which at most so many wait to be asked for, so none in use is given up
_CLOSED = "The judge was closed before this build was done."
_DIAGNOSTICS = 12_000
_ARTIFACT_BYTES = 256 << 20
_OWN_LIMIT_S, _OWN_BYTES = 900.0, 4 << 30
_FOLLOWED_BYTES = 1 << 20


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
        headers: Headers | None = None,
    ):
        self._folder = folder
        self._level = level
        self._limit_s = limit_s
        self._gate = gate
        self._cache = cache
        self._headers = headers
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
        key = plan_key(plan)
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
        key = plan_key(plan)
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
        key = plan_key(plan)
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
            self._builds[key] = (
                self._composed(plan, key) if is_composed(plan) else self._submitted(plan, key)
            )
            self._forget()
        self._builds.move_to_end(key)
        return self._builds[key]

    def _submitted(
        self,
        plan: BuildPlan,
        key: str,
        given: Mapping[str, Path] | None = None,
        header: Path | None = None,
    ) -> Future[Result]:
        """The build of `plan` alone, queued. `given` are the parts; `header` a folder to show."""
        try:
            return self._pool.submit(self._carry_out, plan, key, given or {}, header)
        except RuntimeError as error:
            raise WorkerError(_CLOSED) from error

    def _composed(self, plan: BuildPlan, key: str) -> Future[Result]:
        """The build of `plan` and of what is in it, in a thread that takes nobody's place."""
        future: Future[Result] = Future()

        def compose() -> None:
            try:
                future.set_result(self._compose(plan, key))
            except OSError as error:
                future.set_exception(self._refused(error))
            except BaseException as error:  # whoever waits for the future gets it
                future.set_exception(error)

        threading.Thread(target=compose, name="composer", daemon=True).start()
        return future

    def _compose(self, plan: BuildPlan, key: str) -> Result:
        inner = [*plan.parts.values(), *([plan.header] if plan.header else [])]
        with contextlib.ExitStack() as held:
            for part in inner:
                held.enter_context(self.holding(part))
                with self._lock:
                    self._future(plan_key(part), part)
            made = {name: self.build(part) for name, part in plan.parts.items()}
            header = self.build(plan.header) if plan.header else None
            for part_made in made.values():
                if not isinstance(part_made, Built):
                    return part_made
            given = {n: m.artifact for n, m in made.items() if isinstance(m, Built)}
            shown = header.folder if isinstance(header, Built) else None
            done = self._submitted(plan, key, given, shown).result()
        if isinstance(done, BuildFailed) and plan.otherwise:
            return self._instead(plan.otherwise, key)
        if isinstance(done, Built) and plan.follow:
            with done.artifact.open("rb") as file:
                wrote = file.read(_FOLLOWED_BYTES)
            try:
                following = plan.follow(wrote)
            except BuildRefused as refused:
                return BuildFailed(diagnostics=str(refused))
            return self._instead(following, key)
        return done

    def _instead(self, other: BuildPlan, key: str) -> Result:
        """What `other` makes, as the build under `key`: linked, so that each can be given up."""
        with self.holding(other):
            made = self.build(other)
            if not isinstance(made, Built):
                return made
            folder = self._folder / key
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(made.folder, folder, copy_function=os.link)
            return Built(folder, folder / made.artifact.name, made.log)

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

    def _carry_out(
        self, plan: BuildPlan, key: str, given: Mapping[str, Path], header: Path | None
    ) -> Result:
        try:
            with self._gate.working():
                if plan.ours:
                    return self._own(plan, key)
                return self._from_cache(plan, key) or self._build(plan, key, given, header)
        except OSError as error:
            shutil.rmtree(self._folder / key, ignore_errors=True)
            raise self._refused(error) from error

    def _refused(self, error: OSError) -> WorkerError:
        return WorkerError(
            f"A build could not be written below {self._folder}: {error.strerror}. "
            "Make room there, or set TMPDIR to another folder."
        )

    def _own(self, plan: BuildPlan, key: str) -> Result:
        """What this machine has of a plan of ours, made if it is not there."""
        name = cache_key(plan)
        kept = self._headers.find(name) if self._headers and name else None
        if kept is not None:
            return Built(kept, kept / plan.artifact, "")
        made = self._build(plan, key, {}, None)
        if not isinstance(made, Built):
            raise WorkerError(
                f"torch's headers could not be precompiled here: {made}\n"
                "Run `kernelwright doctor` to see what works here."
            )
        if self._headers and name:
            folder = self._headers.keep(name, made.folder)
            return Built(folder, folder / plan.artifact, made.log)
        return made

    def _from_cache(self, plan: BuildPlan, key: str) -> Built | None:
        name = cache_key(plan)
        kept = self._cache.get(name) if self._cache and name else None
        if kept is None:
            return None
        folder = self._folder / key
        _write(folder, kept.files)
        return Built(folder, folder / plan.artifact, kept.log)

    def _build(
        self, plan: BuildPlan, key: str, given: Mapping[str, Path], header: Path | None
    ) -> Result:
        with tempfile.TemporaryDirectory(dir=self._folder, prefix="build-") as scratch:
            work = Path(scratch) / "work"
            _write(work, {name: text.encode() for name, text in plan.files.items()})
            for name, artifact in given.items():
                shutil.copyfile(artifact, work / name)
            log = Path(scratch) / "log"
            deadline = time.monotonic() + (_OWN_LIMIT_S if plan.ours else self._limit_s)
            said = ""
            for argv in plan.commands:
                command = self._command(argv, plan, work, header)
                failed = self._run(command, log, deadline)
                said += _beginning(log)
                if isinstance(failed, TimedOut):
                    return failed
                if failed is not None:
                    return BuildFailed(diagnostics=self._readable(said or failed, work))
            return self._keep(plan, work, key, said)

    def _command(
        self, argv: tuple[str, ...], plan: BuildPlan, work: Path, header: Path | None
    ) -> sandbox.Command:
        tool = shutil.which(argv[0])
        words = [tool or argv[0], *argv[1:]]
        reads = [
            *(sandbox.python_folders() if tool == sys.executable else []),
            *map(Path, plan.reads),
        ]
        if header is not None:
            words = [word.replace(HEADER_FOLDER, str(header)) for word in words]
            reads.append(header)
        return sandbox.Command(
            argv=words,
            reads=reads,
            work=work,
            environment={"TMPDIR": sandbox.work_path(work, self._level)},
            limits=sandbox.Limits(file_bytes=_OWN_BYTES) if plan.ours else sandbox.Limits(),
            processes=True,
        )

    def _run(self, command: sandbox.Command, log: Path, deadline: float) -> TimedOut | str | None:
        """None when the command exited with 0, else what happened."""
        with self._running(sandbox.start(command, self._level, log)) as child:
            code, name = child.ending(max(deadline - time.monotonic(), 0.1))
        if code is None:
            return TimedOut(stage="build", limit_s=self._limit_s)
        return None if code == 0 else f"{command.argv[0]} ended with {name or f'status {code}'}."

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
        most = _OWN_BYTES if plan.ours else _ARTIFACT_BYTES
        if not stat.S_ISREG(found.st_mode) or found.st_size > most:
            limit = f"a plain file of at most {most >> 20} MiB"
            return BuildFailed(diagnostics=f"{plan.artifact} is not {limit}.")
        log = self._readable(said, work) if said else ""
        name = cache_key(plan)
        if self._cache and name and not plan.ours:
            self._cache.put(name, Kept({plan.artifact: artifact.read_bytes()}, log))
        kept = self._folder / key
        shutil.move(str(work), kept)
        return Built(kept, kept / plan.artifact, log)


def _beginning(log: Path) -> str:
    with log.open("rb") as file:
        return file.read(_DIAGNOSTICS).decode("utf-8", "replace")


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    folder.mkdir()
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
