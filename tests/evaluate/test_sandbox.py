"""What a sandboxed process can see and do."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from kernelwright.core.evaluation import isolates
from kernelwright.evaluate.isolation import levels, sandbox


@pytest.fixture
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Run a shell line in the sandbox; its exit status and output."""
    level, why = levels.isolation_level()
    if not isolates(level, "bubblewrap+seccomp"):
        pytest.skip(why)
    monkeypatch.setenv("KERNELWRIGHT_SECRET", "do-not-tell")

    def run(line: str, timeout_s: float = 10.0, **settings) -> tuple[int | None, str]:
        command = sandbox.Command(argv=["/bin/sh", "-c", line], processes=True, **settings)
        child = sandbox.start(command, level, tmp_path / "log")
        try:
            code, _ = child.ending(timeout_s)
            return code, child.log_text()
        finally:
            child.kill()

    return run


def test_the_environment_holds_no_secret_even_in_proc(inside):
    _, printed = inside("env; cat /proc/*/environ | tr '\\0' '\\n'")
    assert "PATH=" in printed
    assert "do-not-tell" not in printed


def test_home_and_the_projects_files_are_not_there(inside):
    code, printed = inside(f"ls {Path.home()} {Path(__file__).parent}")
    assert code != 0
    assert "conftest" not in printed


def test_nothing_outside_the_work_folder_can_be_written(inside, tmp_path):
    work = tmp_path / "work"
    work.mkdir()
    code, _ = inside(f"echo 1 > {sandbox.WORK}/kept; ! touch /usr/x 2>/dev/null", work=work)
    assert code == 0
    assert (work / "kept").read_text() == "1\n"


def test_there_is_no_network_and_no_other_process(inside):
    _, printed = inside("cat /proc/net/dev | wc -l; ls -d /proc/[0-9]* | wc -l")
    devices, processes = (int(word) for word in printed.split())
    assert devices <= 3  # two lines of heading and the loopback
    assert processes <= 6


def test_a_file_cannot_grow_past_its_limit(inside, tmp_path):
    work = tmp_path / "work"
    work.mkdir()
    line = f"head -c 4000000 /dev/zero > {sandbox.WORK}/big"
    code, _ = inside(line, work=work, limits=sandbox.Limits(file_bytes=1 << 20))
    assert code != 0
    assert (work / "big").stat().st_size <= 1 << 20


def test_killing_the_child_ends_everything_it_started(inside, tmp_path):
    marker = f"8{os.getpid()}"
    inside(f"sleep {marker} & sleep {marker} & sleep {marker}", timeout_s=0.5)
    deadline = time.monotonic() + 5
    while running := [p for p in Path("/proc").glob("[0-9]*/cmdline") if _mentions(p, marker)]:
        assert time.monotonic() < deadline, running
        time.sleep(0.02)


def _mentions(cmdline: Path, text: str) -> bool:
    try:
        return text.encode() in cmdline.read_bytes()
    except OSError:
        return False


class Unkillable:
    """A process that waits for a device for ever. Nothing has its number."""

    pid = 1 << 30

    def __init__(self):
        self.waited = []

    def wait(self, timeout=None):
        self.waited.append(timeout)
        raise subprocess.TimeoutExpired("it", timeout)


def test_who_cannot_be_killed_is_not_waited_for_for_ever(tmp_path):
    process = Unkillable()
    sandbox.Child(process, tmp_path / "log").kill()
    assert process.waited[0] is not None
