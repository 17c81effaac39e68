"""Which addresses of a process were touched, as the kernel's page tables have it.

Nothing is asked of the process. Pages next to one that was touched may count as touched too: the
kernel maps up to 64 KiB of a file at once.
"""

from __future__ import annotations

import ctypes
import fcntl
import struct
from pathlib import Path

# linux/fs.h, from Linux 6.7 on: PAGEMAP_SCAN, its argument, and the category of a present page.
_SCAN = 0xC0606610
_ARGUMENT = struct.Struct("<12Q")
_PRESENT = 1 << 3
_REGION_BYTES = 24


def any_touched(pid: int, start: int, end: int) -> bool | None:
    """Whether process `pid` touched a page between the addresses `start` and `end`, both multiples
    of the page size; None where the kernel does not say."""
    region = ctypes.create_string_buffer(_REGION_BYTES)
    where = (start, end, 0, ctypes.addressof(region), 1, 1)
    argument = bytearray(_ARGUMENT.pack(_ARGUMENT.size, 0, *where, 0, _PRESENT, 0, _PRESENT))
    try:
        with Path(f"/proc/{pid}/pagemap").open("rb") as pagemap:
            return bool(fcntl.ioctl(pagemap, _SCAN, argument))
    except OSError:
        return None
