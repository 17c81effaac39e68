"""Limits by control group, on a hierarchy that is ours to divide: as root, that of `pids`."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from kernelwright.evaluate.isolation import cgroup
from kernelwright.evaluate.isolation.sandbox import Command, start
from kernelwright.evaluate.native.programs import confine

PIDS = Path("/sys/fs/cgroup/pids")


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A group of our own, named in the environment as a user would."""
    folder = PIDS / f"kernelwright-test-{os.getpid()}"
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("no hierarchy of control groups can be written here")
    monkeypatch.setenv(cgroup.SETTING, str(folder))
    cgroup.roots.cache_clear()
    yield folder
    cgroup.roots.cache_clear()
    folder.rmdir()


def test_where_nothing_was_given_to_us_nothing_is_divided(monkeypatch):
    monkeypatch.delenv(cgroup.SETTING, raising=False)
    monkeypatch.setattr(cgroup, "_delegated", lambda: None)
    cgroup.roots.cache_clear()
    try:
        assert cgroup.new_group(1 << 30, 10) is None
        assert "memory and pids" in (cgroup.missing() or "")
    finally:
        cgroup.roots.cache_clear()


def test_what_is_not_limited_is_named(root):
    assert "for memory is ours" in (cgroup.missing() or "")


def test_processes_are_counted_together(root):
    group = cgroup.new_group(1 << 30, 8)
    assert group is not None
    line = "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 5 >/dev/null 2>&1 & done; echo all"
    joins = [word for entry in group.entries for word in ("--join", entry)]
    argv = [str(confine()), *joins, "--", "/bin/sh", "-c", line]
    tried = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=20)
    inside = (group.folders[0] / "cgroup.procs").read_text().split()
    for pid in inside:
        os.kill(int(pid), 9)
    group.kill()
    assert "ork" in tried.stderr  # "Cannot fork"
    assert "all" not in tried.stdout


def test_a_life_is_put_into_a_group_that_is_gone_afterwards(root, tmp_path):
    child = start(Command(argv=["/bin/sleep", "20"]), "process", tmp_path / "log")
    try:
        assert child.group is not None
        [folder] = child.group.folders
        assert folder.parent == root
        while len((folder / "cgroup.procs").read_text().split()) < 2:
            assert child.ending(0.01) == (None, None)
    finally:
        child.kill()
    assert not folder.exists()
