"""The zygote itself: a trusted process that has torch loaded and becomes a life on request.

It runs inside bubblewrap, never loads a candidate, and keeps the rights of its own user namespace,
which are worth nothing outside. A life is forked from it, leaves for namespaces of its own (new
process numbers, a new empty /tmp, a new /proc), gives up every right, and only then turns to the
candidate. No region of OpenMP may run here: after one, a forked child hangs in its first.

    python -I -B -m kernelwright.evaluate.running.zygote_process SOCKET LIBRARY HIDDEN [triton]
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import os
import select
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from kernelwright.evaluate.running import ahead, module_runner, triton_start
from kernelwright.evaluate.running.zygote import DESCRIPTORS, MESSAGE_BYTES

_NEW = 0x00020000 | 0x04000000 | 0x08000000 | 0x20000000 | 0x40000000  # mount uts ipc pid net
_NOSUID, _NODEV, _READ_ONLY, _REMOUNT, _BIND = 0x2, 0x4, 0x1, 0x20, 0x1000
_RECURSIVE, _PRIVATE = 0x4000, 0x40000
_SET_DEATH_SIGNAL = 1
_HOME = Path("/tmp")  # a life's own, empty at first
_LIBC = ctypes.CDLL(None, use_errno=True)
_PROGRAMS = {"module_runner": module_runner.main, "ahead": ahead.main}


def main(arguments: Sequence[str]) -> None:
    """Serve requests until the broker closes its end."""
    broker = socket.socket(fileno=int(arguments[0]))
    library, hidden = ctypes.CDLL(arguments[1]), Path(arguments[2])
    built = {}
    if "triton" in arguments[3:]:
        ahead.get_ready()
        built = triton_start.get_ready(_HOME)
    ended, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    # What exists now is never collected, so that a life does not copy its pages for that.
    gc.collect()
    gc.freeze()
    broker.send(json.dumps({"ready": os.getpid()}).encode())
    while True:
        ready, _, _ = select.select([broker.fileno(), ended], [], [])
        if ended in ready:
            os.read(ended, 512)
            _report_ended(broker)
        if broker.fileno() in ready and not _serve(broker, library, hidden, built):
            return


def _report_ended(broker: socket.socket) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        code = os.waitstatus_to_exitcode(status)
        broker.send(json.dumps({"ended": pid, "code": code}).encode())


def _serve(
    broker: socket.socket, library: ctypes.CDLL, hidden: Path, built: dict[Path, bytes]
) -> bool:
    message, descriptors, _, _ = socket.recv_fds(broker, MESSAGE_BYTES, DESCRIPTORS)
    if not message:
        return False
    pid = os.fork()
    if pid == 0:
        broker.close()
        _become_life(json.loads(message), descriptors, library, hidden, built)
    for descriptor in descriptors:
        os.close(descriptor)
    broker.send(json.dumps({"forked": pid}).encode())
    return True


def _become_life(
    request: Mapping[str, Any],
    descriptors: list[int],
    library: ctypes.CDLL,
    hidden: Path,
    built: dict[Path, bytes],
) -> None:
    """Never returns: the process ends in here, whatever happens."""
    status = 1
    try:
        log, filter_fd, *kept = descriptors
        os.setsid()
        for output in (1, 2):
            os.dup2(log, output)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        _leave(request["reads"], Path(request["folder"]), hidden)
        triton_start.put(built, _HOME)
        flags = ["--supervise", "--filter", str(filter_fd), *request["options"]]
        for descriptor in kept:
            flags += ["--keep", str(descriptor)]
        words = [flag.encode() for flag in (*flags, "--")]
        library.confine((ctypes.c_char_p * len(words))(*words))
        os.environ.clear()
        os.environ.update(request["environment"])
        torch.set_num_threads(int(request["environment"]["OMP_NUM_THREADS"]))
        _PROGRAMS[request["program"]]([*request["arguments"], *map(str, kept)])
        status = 0
    except BaseException as error:  # a life has no caller: whatever it is, it ends here
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
        os._exit(status)


def _leave(reads: Sequence[str], folder: Path, hidden: Path) -> None:
    """Go on in new namespaces, as their first process; the one that was forked waits for it."""
    _checked(_LIBC.unshare(_NEW), "unshare")
    first = os.fork()
    if first:
        _, status = os.waitpid(first, 0)
        code = os.waitstatus_to_exitcode(status)
        os._exit(code if code >= 0 else 128 - code)
    _LIBC.prctl(_SET_DEATH_SIGNAL, signal.SIGKILL)
    _mount(None, "/", None, _RECURSIVE | _PRIVATE)
    _mount("proc", "/proc", "proc", _NOSUID | _NODEV)
    for place, megabytes in (("/tmp", 512), ("/dev/shm", 64)):
        _mount("tmpfs", place, "tmpfs", _NOSUID | _NODEV, f"size={megabytes}m,mode=0777")
    if not folder.is_dir():
        folder.mkdir(parents=True)
    for path in map(Path, reads):
        _show(path, hidden / "folder" / path.relative_to(folder))
    # Covered, since what bubblewrap mounted is locked; a life has no right to uncover it.
    _mount("tmpfs", str(hidden), "tmpfs", _READ_ONLY)
    os.chdir("/tmp")


def _show(path: Path, hidden: Path) -> None:
    """Bind one thing from the broker's folder to where the broker has it, read-only."""
    if hidden.is_dir():
        path.mkdir(parents=True, exist_ok=True)
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    _mount(str(hidden), str(path), None, _BIND)
    _mount(None, str(path), None, _BIND | _REMOUNT | _READ_ONLY | _NOSUID | _NODEV)


def _mount(
    source: str | None, target: str, kind: str | None, flags: int, data: str | None = None
) -> None:
    words = [word.encode() if word else None for word in (source, target, kind)]
    options = data.encode() if data else None
    _checked(_LIBC.mount(*words, ctypes.c_ulong(flags), options), f"mount {target}")


def _checked(answer: int, doing: str) -> None:
    if answer != 0:
        raise OSError(ctypes.get_errno(), f"{doing}: {os.strerror(ctypes.get_errno())}")


if __name__ == "__main__":
    main(sys.argv[1:])
    os._exit(0)  # taking torch apart would take seconds
