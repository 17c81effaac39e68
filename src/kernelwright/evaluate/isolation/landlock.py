"""Which version of Landlock the kernel has. The rules themselves are set by `native/confine.c`."""

from __future__ import annotations

import ctypes
import functools

_CREATE_RULESET = 444
_ASK_ABI = 1


@functools.cache
def kernel_abi() -> int:
    """The version of Landlock's interface, or 0 where the kernel has none or keeps it off."""
    libc = ctypes.CDLL(None, use_errno=True)
    answer = int(libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _ASK_ABI))
    return max(answer, 0)
