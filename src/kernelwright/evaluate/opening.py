"""From a problem's name or file to a judge that is ready, and what it needs, taken down again."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from kernelwright.core.evaluation import Isolation
from kernelwright.core.problem import Direction, Source
from kernelwright.evaluate.judge import Judge
from kernelwright.problems.reference import Device, Reference


@contextlib.contextmanager
def open_judge(
    origin: str | Path | Source,
    *,
    direction: Direction | None = None,
    device: Device = "cpu",
    require_isolation: Isolation = "process",
) -> Iterator[Judge]:
    """The judge of the problem in a KernelBench file, or of ``builtin:<name>``.

    `direction` goes before what the file says. The file runs in a process of its own that is
    trusted: open no file that you would not run.

    Raises:
        UsageError: it can be no problem, or the isolation that is required cannot be reached.
        WorkerError: our own process broke.
    """
    with (
        Reference.open(origin, device=device, direction=direction) as reference,
        Judge(
            reference.load(), reference, device=device, require_isolation=require_isolation
        ) as judge,
    ):
        yield judge
