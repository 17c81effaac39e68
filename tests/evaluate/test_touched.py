"""Pages that a process touched, as its page tables tell."""

import ctypes
import mmap
import os
import subprocess
import sys

import pytest

from kernelwright.evaluate.running.touched import any_touched

PAGE = 4096


@pytest.fixture
def memory():
    view = (ctypes.c_char * (64 * PAGE)).from_buffer(mmap.mmap(-1, 64 * PAGE))
    return view, ctypes.addressof(view)


def test_only_what_was_touched_counts(memory):
    view, start = memory
    assert any_touched(os.getpid(), start, start + 64 * PAGE) is False
    view[9 * PAGE] = 1
    assert any_touched(os.getpid(), start, start + 64 * PAGE) is True
    assert any_touched(os.getpid(), start, start + 9 * PAGE) is False
    assert any_touched(os.getpid(), start + 10 * PAGE, start + 64 * PAGE) is False


def test_another_process_of_ours_can_be_looked_at():
    text = (
        "import ctypes, mmap, sys\n"
        "view = (ctypes.c_char * (1 << 20)).from_buffer(mmap.mmap(-1, 1 << 20))\n"
        "view[1 << 19] = 1\n"
        "print(ctypes.addressof(view), flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", text], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        start = int(other.stdout.readline())
        middle = start + (1 << 19)
        assert any_touched(other.pid, start, middle) is False
        assert any_touched(other.pid, middle, middle + PAGE) is True
        other.communicate()


def test_of_nobody_nothing_is_known():
    assert any_touched(2**22 + 1, 0, PAGE) is None
