"""Programs that take all they can get, at each level: what bounds them, and what ends them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from kernelwright.core.evaluation import Isolation
from kernelwright.evaluate.isolation import sandbox

Run = Callable[..., tuple[int | None, str]]
LEVELS: tuple[Isolation, ...] = ("process", "landlock+seccomp", "bubblewrap+landlock+seccomp")


@pytest.fixture(params=LEVELS)
def level(request: pytest.FixtureRequest, needs_level: Callable[[Isolation], None]) -> Isolation:
    needs_level(request.param)
    chosen: Isolation = request.param
    return chosen


@pytest.fixture
def run(level: Isolation, tmp_path: Path) -> Run:
    """Run a Python program inside; its exit status, None when it had to be ended, and output."""

    def run(program: str, *, timeout_s: float = 10.0, **settings) -> tuple[int | None, str]:
        command = sandbox.Command(
            argv=[sys.executable, "-I", "-S", "-B", "-c", program],
            reads=sandbox.python_folders(),
            processes=True,
            **settings,
        )
        child = sandbox.start(command, level, tmp_path / "log")
        try:
            code, _ = child.ending(timeout_s)
        finally:
            child.kill()
        return code, child.log_text()

    return run


@pytest.fixture
def marker() -> str:
    """Something to recognise processes by, in their command lines."""
    return f"9{os.getpid()}{time.monotonic_ns() % 10**6}"


def assert_gone(marker: str) -> None:
    deadline = time.monotonic() + 5
    while running := [p for p in Path("/proc").glob("[0-9]*/cmdline") if mentions(p, marker)]:
        assert time.monotonic() < deadline, running
        time.sleep(0.02)


def mentions(cmdline: Path, text: str) -> bool:
    try:
        return text.encode() in cmdline.read_bytes()
    except OSError:
        return False


BOMB = """
import os, time
for _ in range(5):
    os.fork()  # {marker}
print("bomb", flush=True)
while True:
    pass
"""
DAEMONS = """
import os, signal, time
for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
    signal.signal(number, signal.SIG_IGN)
for _ in range(3):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:  # {marker}
            time.sleep(60)
        os._exit(0)
print("daemons", flush=True)
{then}
"""


def test_a_fork_bomb_that_spins_is_ended_as_a_whole(run, marker):
    code, printed = run(BOMB.format(marker=marker), timeout_s=1.0)
    assert code is None
    assert "bomb" in printed
    assert_gone(marker)


@pytest.mark.parametrize("then", ["time.sleep(60)", ""], ids=["ended", "left behind"])
def test_daemons_that_left_their_session_end_with_the_life(run, marker, then):
    code, printed = run(DAEMONS.format(marker=marker, then=then), timeout_s=1.0)
    assert code == (None if then else 0)
    assert "daemons" in printed
    assert_gone(marker)


BROKER = """
import sys, time
from pathlib import Path
from kernelwright.evaluate.isolation import sandbox
command = sandbox.Command(
    argv=[sys.executable, "-I", "-S", "-c", sys.argv[2]], reads=sandbox.python_folders(),
    processes=True)
child = sandbox.start(command, sys.argv[1], Path(sys.argv[3]))
while "daemons" not in child.log_text():
    time.sleep(0.01)
if sys.argv[4] == "paused":
    child.pause()
print("started", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("state", ["running", "paused"])
def test_nothing_outlives_a_broker_that_was_killed(level, marker, tmp_path, state):
    program = DAEMONS.format(marker=marker, then="time.sleep(60)")
    broker = subprocess.Popen(
        [sys.executable, "-c", BROKER, level, program, str(tmp_path / "log"), state],
        stdout=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": str(tmp_path)},
    )  # fmt: skip
    with broker:
        assert broker.stdout is not None
        assert broker.stdout.readline() == "started\n"
        broker.send_signal(signal.SIGKILL)
    assert_gone(marker)


def test_memory_is_bounded(run):
    limits = sandbox.Limits(memory_bytes=64 << 20)
    code, printed = run("b'x' * (128 << 20)", limits=limits)
    assert code == 1
    assert "MemoryError" in printed
    assert run("b'x' * (128 << 20)")[0] == 0


FILL = """
import errno, os
written = 0
try:
    for index in range(40):
        with open(f"{os.environ['TMPDIR']}/{index}", "wb") as file:
            for _ in range(16):
                written += file.write(b"x" * (1 << 20))
except OSError as error:
    print(errno.errorcode[error.errno], written >> 20)
else:
    print("all", written >> 20)
"""


def test_the_scratch_folder_of_a_namespace_has_a_size(run, level):
    if level != "bubblewrap+landlock+seccomp":
        pytest.skip("this level has no file system of its own")
    _, printed = run(FILL)
    why, megabytes = printed.split()
    assert why == "ENOSPC"
    assert 400 < int(megabytes) <= 512


def test_a_file_has_a_size_and_the_scratch_folder_is_gone_afterwards(run, level):
    limits = sandbox.Limits(file_bytes=1 << 20)
    _, printed = run(
        "import os, signal\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "path = os.environ['TMPDIR'] + '/big'\n"
        "try:\n    open(path, 'wb').write(b'x' * (4 << 20))\n"
        "except OSError as error:\n    print(error.errno)\n"
        "print(os.path.getsize(path), path)\n",
        limits=limits,
    )
    size, path = printed.split()[-2:]
    assert int(size) <= 1 << 20
    assert not Path(path).exists()


def test_descriptors_are_counted(run):
    _, printed = run(
        "held = []\n"
        "try:\n    while True: held.append(open('/dev/null'))\n"
        "except OSError as error:\n    print(error.errno, len(held))\n"
    )
    assert printed.split() == ["24", "253"]  # EMFILE, with three from the start


def test_a_program_that_hangs_is_stopped_continued_and_ended(level, marker, tmp_path):
    command = sandbox.Command(
        argv=["/bin/sh", "-c", f"i=0; while :; do i=$((i+1)); done # {marker}"],
    )
    child = sandbox.start(command, level, tmp_path / "log")
    try:
        assert child.ending(0.2) == (None, None)
        child.pause()
        before = _processor_ticks(marker)
        time.sleep(0.1)
        assert _processor_ticks(marker) == before
        child.resume()
        time.sleep(0.2)
        assert _processor_ticks(marker) > before
        child.pause()
    finally:
        child.kill()
    assert_gone(marker)


def _processor_ticks(marker: str) -> int:
    """What the one process inside has used: bubblewrap and confine have the marker too."""
    used = [
        int((cmdline.parent / "stat").read_text().rpartition(")")[2].split()[11])
        for cmdline in Path("/proc").glob("[0-9]*/cmdline")
        if mentions(cmdline, marker)
    ]
    return sum(used)


def test_a_signal_that_ended_the_program_is_named(level, tmp_path):
    command = sandbox.Command(argv=["/bin/sh", "-c", "kill -s SEGV $$"])
    child = sandbox.start(command, level, tmp_path / "log")
    try:
        assert child.ending(20.0)[1] == "SIGSEGV"
    finally:
        child.kill()
