"""Compiling a module's kernels ahead of its lives, which then need no Python: the broker's side.

What the process in `running.ahead` answers comes from where the candidate's code ran. It is handed
on to the runner, which believes it no more than a shared object; here only lengths are read.
"""

from __future__ import annotations

import contextlib
import json
import os
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kernelwright.core.evaluation import BuildFailed, Isolation, TimedOut
from kernelwright.core.problem import Problem, Workload
from kernelwright.evaluate.building.builder import BUILD_LIMIT_S, Built
from kernelwright.evaluate.running.arena import Arena, seal_table
from kernelwright.evaluate.running.bodies import ahead_body
from kernelwright.evaluate.running.launches import images
from kernelwright.evaluate.running.life import Life, LifeEnded
from kernelwright.evaluate.running.runner import life
from kernelwright.evaluate.running.zygote import Zygote

_ANSWER_BYTES = 64 << 20
_LONGEST_JSON = 1 << 20
_LENGTH = struct.Struct("<q")
WORKERS = 4  # that compile one candidate's kernels side by side
Sizes = tuple[int, ...]


@dataclass(frozen=True)
class Compiled:
    """A build that the native runner takes, and the machine code of the kernels that a call at the
    first of the sizes launches that were compiled last."""

    built: Built
    cubins: tuple[Path, ...]


@dataclass(frozen=True)
class NotCompiled:
    """Why it cannot be had; the module itself may be as good as any."""

    why: str


Found = Compiled | NotCompiled | BuildFailed | TimedOut


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is compiled for: an architecture such as ``sm_90`` with the shared memory that a block
    can have there, in bytes, and two groups of sizes, the report size first. What is printed while
    those of the second are compiled is hidden, as they are."""

    arch: str
    shared_bytes: int
    seen: tuple[Sizes, ...]
    hidden: tuple[Sizes, ...]

    @classmethod
    def of(cls, problem: Problem, arch: str, shared_bytes: int) -> Order:
        """All sizes of `problem`."""
        report = problem.report_workload
        seen = _sizes(problem, [report, *problem.split("search"), *problem.split("report")])
        every = _sizes(problem, problem.workloads)
        hidden = tuple(sizes for sizes in every if sizes not in seen)
        return cls(arch=arch, shared_bytes=shared_bytes, seen=seen, hidden=hidden)

    def text(self) -> str:
        """As `running.ahead` takes it."""
        order = {
            "arch": int(self.arch.removeprefix("sm_")),
            "properties": {
                "max_shared_mem": self.shared_bytes,
                "warpSize": 32,
                "max_num_regs": 65536,
            },
            "groups": [self.seen, self.hidden],
            "workers": WORKERS,
        }
        return json.dumps(order)


def _sizes(problem: Problem, workloads: Sequence[Workload]) -> tuple[Sizes, ...]:
    return tuple(dict.fromkeys(tuple(w.axes[a] for a in problem.axes) for w in workloads))


class Ahead:
    """The process that compiles one module's kernels, and what came of it so far."""

    def __init__(self, running: Life, outputs: Arena, folder: Path):
        self._running = running
        self._outputs = outputs
        self._folder = folder
        self._number = 0

    def take(self, *, hidden: bool = False) -> Found:
        """Compile for the next group of sizes. The file has those before it as well."""
        number, self._number = self._number, self._number + 1
        if hidden:
            self._running.mute()
        try:
            self._running.ask("open", stage="build", limit_s=BUILD_LIMIT_S, first=number)
        except LifeEnded as ended:
            outcome = ended.outcome
            return outcome if isinstance(outcome, TimedOut) else NotCompiled("its process ended")
        try:
            found = self._read(number)
        except (ValueError, TypeError, KeyError, IndexError):
            return NotCompiled("its process answered nonsense")
        # What fails on sizes that nobody is shown is for the module's own lives to judge.
        if hidden and not isinstance(found, Compiled):
            return NotCompiled("not for every size")
        return found

    def _read(self, number: int) -> Found:
        """What the process answered; raises whatever reading nonsense raises."""
        memory = self._outputs.memory
        (length,) = _LENGTH.unpack(bytes(memory[: _LENGTH.size]))
        at = _LENGTH.size + length
        if not 0 < length < _LONGEST_JSON:
            raise ValueError("no answer")
        said: Mapping[str, Any] = json.loads(bytes(memory[_LENGTH.size : at]))
        if "refused" in said:
            return BuildFailed(diagnostics=str(said["refused"])[:12_000])
        if "not_captured" in said:
            return NotCompiled(str(said["not_captured"])[:300])
        size = int(said["bytes"])
        if not 0 < size <= len(memory) - at:
            raise ValueError("no file")
        return self._kept(bytes(memory[at : at + size]), said["kernels"], number)

    def _kept(self, file: bytes, wanted: Sequence[Any], number: int) -> Compiled:
        code = images(file)
        self._folder.mkdir(exist_ok=True)
        artifact = self._folder / f"kernel-{number}.launches"
        artifact.write_bytes(file)
        cubins = []
        for kernel in map(int, wanted):
            cubins.append(self._folder / f"kernel-{kernel}.cubin")
            cubins[-1].write_bytes(code[kernel])
        return Compiled(Built(self._folder, artifact, ""), tuple(cubins))


@contextlib.contextmanager
def compiling(
    built: Built,
    order: Order,
    *,
    setup: Path,
    zygote: Zygote | None,
    gpu: bool,
    level: Isolation,
    log: Path,
    folder: Path,
) -> Iterator[Ahead]:
    """The process that compiles the kernels of the module that was `built`, ended when the block
    is left. Files go into `folder`, which it makes.

    Raises:
        SandboxError: it could not be started.
    """
    runner = ahead_body(built, order.text(), setup, zygote=zygote, gpu=gpu)
    inputs, outputs = Arena(), Arena()
    inputs.place(1, "start")
    outputs.place(_ANSWER_BYTES, "start")
    for arena in (inputs, outputs):
        arena.allocate()
    table = seal_table([0])
    try:
        with life(runner, table, inputs, outputs, level, log) as running:
            yield Ahead(running, outputs, folder)
    finally:
        os.close(table)
        inputs.close()
        outputs.close()
