"""Standing still: processes that are stopped stay so, and one that does not stop is told apart."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from kernelwright.core.errors import SandboxError
from kernelwright.evaluate.isolation import processes
from kernelwright.evaluate.isolation.sandbox import Child
from kernelwright.evaluate.running.life import Life, LifeEnded

SPIN = "while True: pass"
# It waits for a child that shares its memory and never ends, where no signal reaches it.
WAIT_FOR_CHILD = """
import ctypes
libc = ctypes.CDLL(None)
stack = ctypes.create_string_buffer(65536)
top = ctypes.c_void_p(ctypes.addressof(stack) + 65536)
clone_vm, clone_vfork = 0x100, 0x4000
libc.clone(libc.pause, top, clone_vm | clone_vfork, None)
"""
IDLE = "import time; time.sleep(60)"


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[[str], Child]]:
    """Starts a Python text as a process; all are ended afterwards."""
    children: list[Child] = []

    def start(text: str) -> Child:
        process = subprocess.Popen([sys.executable, "-c", text], start_new_session=True)
        children.append(Child(process, tmp_path / "log", alone=True, program=process.pid))
        return children[-1]

    yield start
    for child in children:
        child.kill()


def until(true: Callable[[], bool]) -> None:
    """Wait until something is true, for ten seconds at most."""
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_process_that_stands_still_uses_no_time(started):
    child = started(SPIN)
    child.pause()
    time.sleep(0.05)
    assert child.moved_ns() < 100_000


def test_a_process_that_something_else_woke_is_seen(started):
    child = started(SPIN)
    child.pause()
    os.kill(child.process.pid, signal.SIGCONT)
    time.sleep(0.1)
    assert child.moved_ns() > 1_000_000


def test_a_process_that_was_let_go_on_has_not_moved(started):
    child = started(SPIN)
    child.pause()
    child.resume()
    time.sleep(0.05)
    assert child.moved_ns() == 0


def test_work_between_the_reply_and_the_standstill_is_seen(started):
    child = started(SPIN)
    child.ready()
    child.note_halt()
    time.sleep(0.2)
    child.halt()
    child.pause()
    assert child.late_ns() > 1_000_000


def test_a_process_that_was_told_to_stop_stands_still(started):
    child = started(SPIN)
    child.ready()
    child.halt()
    stat = Path(f"/proc/{child.process.pid}/stat")
    until(lambda: stat.read_text().split()[2] == "T")


def test_processor_time_is_that_of_the_process(started):
    child = started(SPIN)
    before = processes.cpu_ns([child.process.pid])
    time.sleep(0.2)
    assert processes.cpu_ns([child.process.pid]) > before
    child.kill()
    assert processes.cpu_ns([child.process.pid]) == 0


def test_what_waits_in_the_kernel_counts_as_standing(started):
    child = started(WAIT_FOR_CHILD)
    stat = Path(f"/proc/{child.process.pid}/stat")
    until(lambda: stat.read_text().split()[2] == "D")
    begun = time.monotonic()
    child.pause()
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize(("text", "own_doing"), [(SPIN, True), (IDLE, False)])
def test_who_runs_on_is_told_from_who_gets_no_processor(started, monkeypatch, text, own_doing):
    # A signal that never comes stands for work in the kernel that does not look at signals.
    monkeypatch.setattr(processes, "send", lambda pids, number: None)
    monkeypatch.setattr(processes, "_LIMIT_S", 0.5)
    monkeypatch.setattr(processes, "_STARVED_S", 2.0)
    monkeypatch.setattr(processes, "_OWN_DOING_NS", 20_000_000)
    pid = started(text).process.pid
    until(lambda: processes.cpu_ns([pid]) > 5_000_000)
    time.sleep(0.3)  # the interpreter has started by then
    begun = time.monotonic()
    with pytest.raises(processes.Unstoppable) as raised:
        processes.stop([pid])
    assert raised.value.own_doing is own_doing
    # One that could not have stopped is waited for longer.
    assert (time.monotonic() - begun > 2.0) is not own_doing


@dataclass
class Stubborn:
    """A child that does not stop, and then is found to have run for `moved` nanoseconds."""

    own_doing: bool = False
    moved: int = 0

    def pause(self) -> None:
        raise processes.Unstoppable("It goes on.", own_doing=self.own_doing)

    def moved_ns(self) -> int:
        return self.moved


def life(child: Stubborn) -> Life:
    return Life(child, None)  # nothing is asked of it here


def test_a_candidate_that_runs_on_is_rejected():
    with pytest.raises(LifeEnded) as ended:
        life(Stubborn(own_doing=True)).stand_still()
    assert ended.value.outcome.rule == "does_not_stop"


def test_a_machine_on_which_nothing_stops_is_our_own_failure():
    with pytest.raises(SandboxError):
        life(Stubborn(own_doing=False)).stand_still()


def test_a_candidate_that_ran_again_and_again_while_it_was_stopped_is_rejected():
    still, moving = life(Stubborn(moved=20_000)), life(Stubborn(moved=5_000_000))
    for _ in range(40):
        still.refuse_moved()
    moving.refuse_moved()
    moving.refuse_moved()
    with pytest.raises(LifeEnded) as ended:
        moving.refuse_moved()
    assert ended.value.outcome.rule == "not_standing_still"
