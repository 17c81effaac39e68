"""The builder: carries out a `BuildPlan` inside the sandbox and keeps what came out.

Compilers read what a candidate names (`#include`, `#embed`), so they run with the same walls
around them as the candidate itself: no home, no network, nothing but system folders and a
scratch folder of its own. Equal plans are built once per judge.
"""

from __future__ import annotations

import shutil
import stat
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from kernelwright.core.evaluation import BuildFailed, Isolation, TimedOut
from kernelwright.core.protocols import BuildPlan
from kernelwright.core.record import content_id
from kernelwright.evaluate import sandbox

BUILD_LIMIT_S = 120.0
_DIAGNOSTICS = 12_000
_ARTIFACT_BYTES = 256 << 20


@dataclass(frozen=True)
class Built:
    """An artifact: the folder that a runner may read, the file in it to load, and the log."""

    folder: Path
    artifact: Path
    log: str


class Builder:
    """Builds plans below one folder, each once."""

    def __init__(self, folder: Path, level: Isolation, *, limit_s: float = BUILD_LIMIT_S):
        self._folder = folder
        self._level = level
        self._limit_s = limit_s
        self._done: dict[str, Built | BuildFailed | TimedOut] = {}

    def build(self, plan: BuildPlan) -> Built | BuildFailed | TimedOut:
        """Carry out `plan`, or answer as it ended the last time.

        Raises:
            SandboxError: the sandbox could not be started; nothing is remembered.
        """
        key = content_id(dict(plan.files), plan.commands, plan.artifact, dict(plan.environment))
        if key not in self._done:
            self._done[key] = self._build(plan, key)
        return self._done[key]

    def _build(self, plan: BuildPlan, key: str) -> Built | BuildFailed | TimedOut:
        with tempfile.TemporaryDirectory(dir=self._folder, prefix="build-") as scratch:
            work = Path(scratch) / "work"
            work.mkdir()
            for name, text in plan.files.items():
                (work / name).parent.mkdir(parents=True, exist_ok=True)
                (work / name).write_text(text)
            log = Path(scratch) / "log"
            deadline = time.monotonic() + self._limit_s
            said = ""
            for argv in plan.commands:
                failed = self._run(argv, work, log, deadline)
                said += log.read_bytes()[:_DIAGNOSTICS].decode("utf-8", "replace")
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
        child = sandbox.start(command, self._level, log)
        try:
            code, name = child.ending(max(deadline - time.monotonic(), 0.1))
        finally:
            child.kill()
        if code is None:
            return TimedOut(stage="build", limit_s=self._limit_s)
        return None if code == 0 else f"{argv[0]} ended with {name or f'status {code}'}."

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
        kept = self._folder / key
        shutil.move(str(work), kept)
        return Built(kept, kept / plan.artifact, self._readable(said, work) if said else "")
