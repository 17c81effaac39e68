"""Messages between us and the reference's process: JSON frames, and arrays in shared memory.

A frame is four bytes of length and JSON; a frame may carry one file descriptor of anonymous
memory, in which the arrays that it describes lie. Nothing is ever unpickled. No torch.
"""

from __future__ import annotations

import json
import mmap
import os
import socket
import struct
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from kernelwright.core.formats import Array

Message = dict[str, Any]

MAX_FRAME_BYTES = 32 << 20
_HEADER = struct.Struct("<I")
_ALIGNMENT = 64


class Closed(Exception):
    """The other side has gone, or sent what is not a frame."""


def send(sock: socket.socket, message: Message, fd: int | None = None) -> None:
    """Send `message`, and with it `fd`, which stays open here.

    Raises:
        Closed: the other side has gone, or the message is too large.
    """
    body = json.dumps(message, allow_nan=False).encode()
    if len(body) > MAX_FRAME_BYTES:
        raise Closed(f"a message of {len(body)} bytes is over the limit of {MAX_FRAME_BYTES}")
    try:
        socket.send_fds(sock, [_HEADER.pack(len(body))], [] if fd is None else [fd])
        sock.sendall(body)
    except OSError as error:
        raise Closed(str(error)) from error


def receive(sock: socket.socket, timeout_s: float | None = None) -> tuple[Message, int | None]:
    """The next message and the descriptor that came with it, which is now the caller's to close.

    Raises:
        Closed: the other side has gone, or sent what is not a frame.
        TimeoutError: the message was not there in whole after `timeout_s`.
    """
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    fds: list[int] = []
    try:
        header = _read(sock, _HEADER.size, deadline, fds)
        (size,) = _HEADER.unpack(header)
        if size > MAX_FRAME_BYTES:
            raise Closed(f"a frame of {size} bytes is over the limit")
        message = json.loads(_read(sock, size, deadline, fds))
        if not isinstance(message, dict):
            raise Closed("a frame is not a JSON object")
    except TimeoutError:
        _close_all(fds)
        raise
    except (Closed, OSError, ValueError) as error:
        _close_all(fds)
        raise Closed(str(error)) from error
    _close_all(fds[1:])
    return message, fds[0] if fds else None


def _close_all(fds: Sequence[int]) -> None:
    for fd in fds:
        os.close(fd)


def _read(sock: socket.socket, size: int, deadline: float | None, fds: list[int]) -> bytes:
    got = bytearray()
    while len(got) < size:
        if deadline is not None:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            sock.settimeout(left)
        data, new, _, _ = socket.recv_fds(sock, min(size - len(got), 1 << 20), 4)
        fds.extend(new)
        if not data:
            raise Closed("the other side has gone")
        got += data
    return bytes(got)


def share(arrays: Sequence[Array]) -> tuple[int, list[int]]:
    """Anonymous memory that holds `arrays` one after another, and the offset of each in bytes.

    The descriptor is the caller's to close.
    """
    offsets, end = [], 0
    for array in arrays:
        offsets.append(end)
        end += -(-array.nbytes // _ALIGNMENT) * _ALIGNMENT
    fd = os.memfd_create("kernelwright-case", os.MFD_CLOEXEC)
    os.ftruncate(fd, max(end, 1))
    for array, offset in zip(arrays, offsets, strict=True):
        # Writing skips the page faults that filling a fresh mapping would take.
        _write(fd, np.ascontiguousarray(array).view(np.uint8).data, offset)
    return fd, offsets


def _write(fd: int, data: memoryview, offset: int) -> None:
    while data.nbytes:
        done = os.pwrite(fd, data[: 1 << 30], offset)
        data, offset = data[done:], offset + done


class Shared:
    """A read-only view of the memory that came with a frame. Its arrays keep it alive."""

    def __init__(self, fd: int) -> None:
        self._size = os.fstat(fd).st_size
        flags = mmap.MAP_SHARED | getattr(mmap, "MAP_POPULATE", 0)
        self._map = mmap.mmap(fd, self._size, flags=flags, prot=mmap.PROT_READ)

    def array(self, dtype: np.dtype[Any], count: int, offset: int) -> Array:
        """`count` elements at `offset` bytes, flat and read-only.

        Raises:
            Closed: they do not lie within the memory.
        """
        if offset < 0 or count < 0 or offset + count * dtype.itemsize > self._size:
            raise Closed("an array does not lie within the memory that came with it")
        if not count:
            return np.empty(0, dtype)
        found: Array = np.frombuffer(self._map, dtype, count, offset)
        return found
