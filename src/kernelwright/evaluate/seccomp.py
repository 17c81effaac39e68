"""The system-call filter of the sandbox, as classic BPF for ``bwrap --seccomp``.

A candidate computes; it has no reason to start processes, reach a network, trace its neighbours
or load programs into the kernel. Unix sockets stay allowed, since CUDA's own threads use them, and
so do threads: `clone` passes only with CLONE_THREAD, and `clone3`, whose flags a filter cannot
read, answers ENOSYS so that libc falls back to `clone`.
"""

from __future__ import annotations

import platform
import struct

_LOAD_WORD, _JUMP_EQUAL, _JUMP_ANY_BIT, _RETURN = 0x20, 0x15, 0x45, 0x06
_ALLOW, _KILL = 0x7FFF0000, 0x80000000
_ERRNO = 0x00050000
_EPERM, _ENOSYS = 1, 38
_CLONE_THREAD = 0x00010000
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16

_AUDIT_ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_DENIED = {
    "x86_64": {
        "fork": 57, "vfork": 58, "ptrace": 101,
        "personality": 135, "mount": 165, "umount2": 166, "keyctl": 250, "unshare": 272,
        "perf_event_open": 298, "setns": 308, "process_vm_readv": 310, "process_vm_writev": 311,
        "kcmp": 312, "bpf": 321, "userfaultfd": 323, "io_uring_setup": 425,
        "pidfd_open": 434, "pidfd_getfd": 438,
    },
    "aarch64": {
        "umount2": 39, "mount": 40, "personality": 92, "unshare": 97, "ptrace": 117,
        "keyctl": 219, "perf_event_open": 241, "setns": 268,
        "process_vm_readv": 270, "process_vm_writev": 271, "kcmp": 272, "bpf": 280,
        "userfaultfd": 282, "io_uring_setup": 425, "pidfd_open": 434, "pidfd_getfd": 438,
    },
}  # fmt: skip
_SOCKET = {"x86_64": 41, "aarch64": 198}
_AF_UNIX = 1
_CLONE = {"x86_64": 56, "aarch64": 220}
_CLONE3 = 435


def _instruction(code: int, operand: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("<HBBI", code, if_true, if_false, operand)


def program(*, processes: bool, machine: str | None = None) -> bytes | None:
    """The filter for this machine, or None where its system-call numbers are not known to us.

    With `processes` true, `fork` and `clone` are left alone: a compiler driver and a module that
    builds on first use start processes of their own.
    """
    machine = machine or platform.machine()
    if machine not in _DENIED:
        return None
    denied = dict(_DENIED[machine])
    if processes:
        denied = {name: number for name, number in denied.items() if "fork" not in name}
    filters = [
        _instruction(_LOAD_WORD, _ARCHITECTURE),
        _instruction(_JUMP_EQUAL, _AUDIT_ARCHITECTURE[machine], 1, 0),
        _instruction(_RETURN, _KILL),
        _instruction(_LOAD_WORD, _NUMBER),
    ]
    for number in denied.values():
        filters += [
            _instruction(_JUMP_EQUAL, number, 0, 1),
            _instruction(_RETURN, _ERRNO | _EPERM),
        ]
    filters += [
        _instruction(_JUMP_EQUAL, _SOCKET[machine], 0, 4),
        _instruction(_LOAD_WORD, _FIRST_ARGUMENT),
        _instruction(_JUMP_EQUAL, _AF_UNIX, 1, 0),
        _instruction(_RETURN, _ERRNO | _EPERM),
        _instruction(_RETURN, _ALLOW),
    ]
    if not processes:
        filters += [
            _instruction(_JUMP_EQUAL, _CLONE3, 0, 1),
            _instruction(_RETURN, _ERRNO | _ENOSYS),
            _instruction(_JUMP_EQUAL, _CLONE[machine], 0, 3),
            _instruction(_LOAD_WORD, _FIRST_ARGUMENT),
            _instruction(_JUMP_ANY_BIT, _CLONE_THREAD, 1, 0),
            _instruction(_RETURN, _ERRNO | _EPERM),
        ]
    filters.append(_instruction(_RETURN, _ALLOW))
    return b"".join(filters)
