"""The system-call filter of the sandbox, as classic BPF for `native/confine.c`.

A candidate computes; it has no reason to start processes, reach a network, trace its neighbours
or load programs into the kernel. Unix sockets stay allowed inside namespaces, since CUDA's own
threads use them, and so do threads: `clone` passes only with CLONE_THREAD, and `clone3`, whose
flags a filter cannot read, answers ENOSYS so that libc falls back to `clone`. What is refused
answers EPERM, which a program can handle.
"""

from __future__ import annotations

import platform
import struct

from kernelwright.evaluate.isolation.syscalls import (
    AUDIT_ARCHITECTURE,
    BY_ARGUMENT,
    NEVER,
    WITHOUT_NAMESPACES,
    numbers,
)

_LOAD_WORD, _MASK, _RETURN = 0x20, 0x54, 0x06
_IF_EQUAL, _IF_AT_LEAST, _IF_ANY_BIT = 0x15, 0x35, 0x45
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_EPERM, _ENOSYS = 1, 38
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16
_X32 = 0x40000000  # the third set of numbers of x86-64, which would pass all comparisons

_CLONE_THREAD = 0x00010000
_CLONE_NAMESPACES = 0x7E020000
_AF_UNIX, _SOCK_STREAM, _SOCK_SEQPACKET, _SOCKET_TYPE = 1, 1, 5, 0xF
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C  # both type into a terminal
_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4  # 0 hides a process's memory from a judge who is not root
_MADV_COLD, _MADV_PAGEOUT = 20, 21  # choose which pages of a file leave memory
_F_SETSIG = 10  # chooses the signal that a descriptor sends, SIGCONT for example
_ON_ONESELF = (
    "prlimit64", "sched_setaffinity", "sched_setscheduler", "sched_setparam", "sched_setattr",
)  # fmt: skip


def known(machine: str | None = None) -> bool:
    """Whether there is a filter for this machine."""
    return (machine or platform.machine()) in AUDIT_ARCHITECTURE


def program(
    *,
    processes: bool,
    namespaces: bool = True,
    unix_sockets: bool = True,
    machine: str | None = None,
) -> bytes | None:
    """The filter for this machine, or None where its system-call numbers are not known to us.

    With `processes` true, `fork` and `clone` are left alone: a compiler driver and a module that
    builds on first use start processes of their own. Without `namespaces` the host's files and
    processes have names inside, so more is refused; `unix_sockets` then says whether any may be
    made at all, since one could reach a service of the host by its file name.
    """
    machine = machine or platform.machine()
    if machine not in AUDIT_ARCHITECTURE:
        return None
    denied, special = numbers(NEVER, machine), numbers(BY_ARGUMENT, machine)
    if not namespaces:
        denied |= numbers(WITHOUT_NAMESPACES, machine)
    if not processes:
        denied |= {name: special[name] for name in ("fork", "vfork") if name in special}
    rules = [_refuse(number, _EPERM) for number in denied.values()]
    rules.append(_refuse(special["clone3"], _ENOSYS))
    rules.append(_when(special["clone"], _clone(processes)))
    rules.append(_when(special["ioctl"], [_argument(1), _deny(_TIOCSTI), _deny(_TIOCLINUX)]))
    rules.append(_when(special["fcntl"], [_argument(1), _deny(_F_SETSIG)]))
    advice = [_argument(2), _deny(_MADV_COLD), _deny(_MADV_PAGEOUT)]
    rules.append(_when(special["madvise"], advice))
    if not namespaces and not unix_sockets:
        rules.append(_refuse(special["socket"], _EPERM))
    else:
        rules.append(_when(special["socket"], [_argument(0), _deny_but(_AF_UNIX)]))
    if not namespaces:
        rules += _on_oneself(special)
    return _beginning(machine) + b"".join(rules) + _instruction(_RETURN, _ALLOW)


def _on_oneself(special: dict[str, int]) -> list[bytes]:
    """What reaches further than the process itself by an argument."""
    rules = [_when(special[name], [_argument(0), _deny_but(0)]) for name in _ON_ONESELF]
    # A pair of datagram sockets can send to any other by its file name.
    kinds = [_argument(1), _instruction(_MASK, _SOCKET_TYPE)]
    connected = _instruction(_IF_EQUAL, _SOCK_STREAM, 2, 0)
    rules.append(_when(special["socketpair"], [*kinds, connected, _deny_but(_SOCK_SEQPACKET)]))
    refused = [_deny(_PR_SET_PDEATHSIG), _deny(_PR_SET_DUMPABLE)]
    rules.append(_when(special["prctl"], [_argument(0), *refused]))
    return rules


def _instruction(code: int, operand: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("<HBBI", code, if_true, if_false, operand)


def _error(number: int) -> bytes:
    return _instruction(_RETURN, _ERRNO | number)


def _beginning(machine: str) -> bytes:
    """Kill what calls by another architecture's numbers; leave this one's number loaded."""
    start = [
        _instruction(_LOAD_WORD, _ARCHITECTURE),
        _instruction(_IF_EQUAL, AUDIT_ARCHITECTURE[machine], 1, 0),
        _instruction(_RETURN, _KILL),
        _instruction(_LOAD_WORD, _NUMBER),
    ]
    if machine == "x86_64":
        start += [_instruction(_IF_AT_LEAST, _X32, 0, 1), _error(_ENOSYS)]
    return b"".join(start)


def _refuse(number: int, error: int) -> bytes:
    return _instruction(_IF_EQUAL, number, 0, 1) + _error(error)


def _when(number: int, body: list[bytes]) -> bytes:
    """`body` for the call `number`, which is allowed when it comes to the body's end."""
    code = b"".join(body) + _instruction(_RETURN, _ALLOW)
    return _instruction(_IF_EQUAL, number, 0, len(code) // 8) + code


def _argument(index: int) -> bytes:
    """Load the low half of an argument, which is all of it for an int."""
    return _instruction(_LOAD_WORD, _FIRST_ARGUMENT + 8 * index)


def _deny(value: int) -> bytes:
    return _instruction(_IF_EQUAL, value, 0, 1) + _error(_EPERM)


def _deny_but(value: int) -> bytes:
    return _instruction(_IF_EQUAL, value, 1, 0) + _error(_EPERM)


def _clone(processes: bool) -> list[bytes]:
    body = [_argument(0), _instruction(_IF_ANY_BIT, _CLONE_NAMESPACES, 0, 1), _error(_EPERM)]
    if not processes:
        body += [_instruction(_IF_ANY_BIT, _CLONE_THREAD, 1, 0), _error(_EPERM)]
    return body
