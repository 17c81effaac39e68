"""Runs side by side, each in a process of its own, on all the cards that this process may use.

Judges on one card leave it to each other by its lock, and a process is what has a judge. So this is
for GPUs: on a CPU there is no such lock, and runs would slow each other.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from queue import SimpleQueue

from kernelwright.core.cards import VARIABLE, Card, visible_cards
from kernelwright.core.errors import KernelwrightError, UsageError
from kernelwright.core.run import RunSpec

# Makes a run in a folder, or goes on with it; picklable, so a function of some module.
MakeRun = Callable[[RunSpec, Path], object]


def check_jobs(jobs: int, device: str) -> None:
    """Make sure that so many runs may be made at once on `device`, a kind of device.

    Raises:
        UsageError: they may not.
    """
    if jobs < 1:
        raise UsageError(f"At least one run is made at a time, and not {jobs}: see --jobs.")
    if jobs > 1 and device == "cpu":
        raise UsageError(
            "Runs side by side on a CPU would slow each other, and their times would say nothing. "
            "Leave --jobs out, or bench on a GPU."
        )


class SideBySide:
    """At most `jobs` runs at once, dealt out to the cards in turn."""

    def __init__(self, jobs: int, cards: tuple[Card, ...] | None = None):
        self._jobs = jobs
        self._free: SimpleQueue[Card] = SimpleQueue()
        known = visible_cards() if cards is None else cards
        for number in range(jobs):
            self._free.put(known[number % len(known)])
        self._running: set[BaseProcess] = set()
        self._changed = threading.Lock()

    def carry_out(self, tasks: list[Callable[[], None]]) -> None:
        """Carry out `tasks`, which make runs by `make`, so many at once. When one raises, or
        somebody presses Ctrl-C, the runs that are being made end with what they have, and the
        tasks that wait are dropped."""
        with ThreadPoolExecutor(self._jobs) as pool:
            try:
                for done in as_completed([pool.submit(task) for task in tasks]):
                    done.result()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                self._interrupt()
                raise

    def make(self, make: MakeRun, spec: RunSpec, folder: Path) -> None:
        """`make` a run in a process of its own, on a card that has room, and wait for it.

        Raises:
            UsageError: with what it could not do.
        """
        card = self._free.get()
        try:
            self._make(make, spec, folder, card)
        finally:
            self._free.put(card)

    def _make(self, make: MakeRun, spec: RunSpec, folder: Path, card: Card) -> None:
        # A process has no card but the one that it is dealt, which is no cuda:1 there.
        spec = spec.model_copy(update={"device": spec.device.partition(":")[0]})
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_alone, args=(make, spec, folder, card.name, theirs))
        with self._counted(process):
            theirs.close()
            said = None
            with contextlib.suppress(EOFError):
                said = ours.recv()
            process.join()
        if said is not None:
            raise UsageError(said)
        if process.exitcode != 0:
            raise UsageError(
                f"The process of the run in {folder} ended with {process.exitcode}. What was "
                "judged is not lost: the same command goes on with it."
            )

    @contextlib.contextmanager
    def _counted(self, process: BaseProcess) -> Iterator[None]:
        with self._changed:
            process.start()
            self._running.add(process)
        try:
            yield
        finally:
            with self._changed:
                self._running.discard(process)

    def _interrupt(self) -> None:
        with self._changed:
            for process in self._running:
                if process.pid is not None:
                    os.kill(process.pid, signal.SIGINT)


def _alone(make: MakeRun, spec: RunSpec, folder: Path, card: str, said: Connection) -> None:
    """What a run's process does. Ctrl-C is for the one that started it, which passes it on; when
    that is gone this one ends too."""
    os.setpgrp()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ[VARIABLE] = card
    try:
        make(spec, folder)
    except KernelwrightError as error:
        said.send(str(error))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGINT)
