"""The frames that the broker exchanges with a runner; `native/frames.h` has the same.

A command is the magic number, an operation, its first call, how many, a subject and a token; a
reply is the magic number, the operation, a status, a number and nanoseconds that are claimed.
"""

from __future__ import annotations

import struct

MAGIC = 0x4B57524E
COMMAND = struct.Struct("<6I")
REPLY = struct.Struct("<4Iq")
