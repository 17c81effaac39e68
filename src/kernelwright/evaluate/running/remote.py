"""Looking into a runner's process from outside, while it stands still.

What a candidate returned lies in memory of its own. Asking its process to copy it out would give
it time to work after the clock was read; the broker therefore reads it where it is.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import re
from pathlib import Path

import numpy as np

from kernelwright.core.errors import SandboxError
from kernelwright.evaluate.running.arena import Bytes


class _Span(ctypes.Structure):
    _fields_ = [("address", ctypes.c_void_p), ("length", ctypes.c_size_t)]


class Unreadable(Exception):
    """There is no memory at an address that a runner named. Stays inside."""


@functools.cache
def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.process_vm_readv.restype = ctypes.c_ssize_t
    return libc


def read(pid: int, address: int, nbytes: int) -> Bytes:
    """A copy of `nbytes` at `address` in the process `pid`.

    Raises:
        Unreadable: there is no such memory.
        SandboxError: this machine does not let us look.
    """
    data = np.empty(nbytes, np.uint8)
    done = 0
    while done < nbytes:
        here = _Span(data.ctypes.data + done, nbytes - done)
        there = _Span(address + done, nbytes - done)
        got = _libc().process_vm_readv(pid, ctypes.byref(here), 1, ctypes.byref(there), 1, 0)
        if got <= 0:
            number = ctypes.get_errno()
            if number in (errno.EFAULT, errno.EINVAL, errno.ESRCH) or got == 0:
                raise Unreadable(f"{nbytes} bytes at {address:#x}")
            raise _no_look(os.strerror(number))
        done += got
    return data


def anonymous_bytes(pid: int) -> int:
    """How much memory of its own a process has pages for, counted page by page; 0 when it is gone.

    The kernel's running totals may be off by half a megabyte for each processor.

    Raises:
        SandboxError: this machine does not let us look.
    """
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except PermissionError as error:
        raise _no_look(str(error)) from error
    except OSError:
        return 0
    found = re.search(r"^Anonymous: *(\d+) kB$", text, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def _no_look(why: str) -> SandboxError:
    return SandboxError(
        f"The outputs cannot be read from the runner's process ({why}). "
        "Allow process_vm_readv on processes that we start, as Docker does by default."
    )
