"""The filter's answers, from running its instructions as the kernel would."""

from __future__ import annotations

import struct

import pytest

from kernelwright.evaluate.isolation import seccomp
from kernelwright.evaluate.isolation.syscalls import AUDIT_ARCHITECTURE, BY_ARGUMENT, NEVER, numbers

MACHINES = tuple(AUDIT_ARCHITECTURE)
ALLOW, EPERM, ENOSYS, KILL = "allow", "EPERM", "ENOSYS", "kill"
ANSWERS = {0x7FFF0000: ALLOW, 0x00050001: EPERM, 0x00050026: ENOSYS, 0x80000000: KILL}
SIGCHLD, THREAD, NEW_USER = 17, 0x00010000, 0x10000000


def answer(
    name: str, *arguments: int, machine: str = "x86_64", architecture: int | None = None, **how
) -> str:
    """What becomes of a call of `name` on `machine`, by the filter made with `how`."""
    program = seccomp.program(**{"processes": False, "machine": machine, **how})
    assert program is not None
    number = int(name) if name.isdigit() else numbers(NEVER | BY_ARGUMENT, machine)[name]
    audit = AUDIT_ARCHITECTURE[machine] if architecture is None else architecture
    data = struct.pack("<IIQ6Q", number, audit, 0, *arguments, *[0] * (6 - len(arguments)))
    return ANSWERS[run(list(struct.iter_unpack("<HBBI", program)), data)]


def run(program: list[tuple[int, ...]], data: bytes) -> int:
    at = held = 0
    while True:
        code, if_true, if_false, operand = program[at]
        at += 1
        match code:
            case 0x20:
                (held,) = struct.unpack_from("<I", data, operand)
            case 0x54:
                held &= operand
            case 0x06:
                return operand
            case 0x15 | 0x35 | 0x45:
                holds = {0x15: held == operand, 0x35: held >= operand, 0x45: held & operand}
                at += if_true if holds[code] else if_false


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("name", NEVER)
def test_what_is_never_needed_is_refused_always(machine, name):
    for how in ({}, {"processes": True}, {"namespaces": False}):
        assert answer(name, machine=machine, **how) == EPERM


@pytest.mark.parametrize("machine", MACHINES)
def test_reading_and_writing_pass(machine):
    read = {"x86_64": "0", "aarch64": "63"}[machine]
    assert answer(read, machine=machine) == ALLOW
    assert answer(read, machine=machine, namespaces=False) == ALLOW


@pytest.mark.parametrize("machine", MACHINES)
def test_threads_pass_and_processes_only_where_they_are_needed(machine):
    assert answer("clone", THREAD, machine=machine) == ALLOW
    assert answer("clone", SIGCHLD, machine=machine) == EPERM
    assert answer("clone", SIGCHLD, machine=machine, processes=True) == ALLOW
    assert answer("clone3", machine=machine, processes=True) == ENOSYS


@pytest.mark.parametrize("processes", [False, True])
def test_no_clone_makes_a_namespace(processes):
    for flags in (NEW_USER | SIGCHLD, NEW_USER | THREAD, 0x20000 | SIGCHLD, 0x40000000):
        assert answer("clone", flags, processes=processes) == EPERM


def test_the_other_numberings_of_the_same_machine_do_not_pass():
    assert answer(str(0x40000000 + 57)) == ENOSYS
    assert answer("0", architecture=0x40000003) == KILL


def test_sockets_are_local_ones_and_without_namespaces_only_pairs():
    inet, unix, netlink, stream, datagram = 2, 1, 16, 1, 2
    assert (answer("socket", unix), answer("socket", inet)) == (ALLOW, EPERM)
    assert answer("socket", netlink) == EPERM
    bare = {"namespaces": False, "unix_sockets": False}
    assert answer("socket", unix, **bare) == EPERM
    assert answer("socketpair", unix, stream | 0x80000, **bare) == ALLOW
    assert answer("socketpair", unix, datagram | 0x80000, **bare) == EPERM
    assert answer("socketpair", unix, datagram) == ALLOW


def test_nothing_types_into_a_terminal():
    assert answer("ioctl", 1, 0x5412) == EPERM
    assert answer("ioctl", 1, (7 << 32) | 0x5412) == EPERM  # the kernel reads the low half only
    assert answer("ioctl", 1, 0x5401) == ALLOW


def test_no_descriptor_chooses_a_signal_that_would_wake_a_stopped_process():
    set_signal, get_flags = 10, 3
    for how in ({}, {"processes": True}, {"namespaces": False}):
        assert answer("fcntl", 5, set_signal, 18, **how) == EPERM
        assert answer("fcntl", 5, get_flags, **how) == ALLOW


def test_no_life_chooses_or_asks_which_pages_of_a_file_are_in_memory():
    cold, page_out, populate = 20, 21, 23
    for how in ({}, {"processes": True}, {"namespaces": False}):
        assert answer("madvise", 0, 4096, cold, **how) == EPERM
        assert answer("madvise", 0, 4096, page_out, **how) == EPERM
        assert answer("madvise", 0, 4096, populate, **how) == ALLOW
        assert {answer(name, **how) for name in ("mincore", "fadvise64", "readahead")} == {EPERM}


@pytest.mark.parametrize("name", ["prlimit64", "sched_setaffinity", "sched_setattr"])
def test_without_namespaces_a_process_changes_only_itself(name):
    assert answer(name, 0, namespaces=False) == ALLOW
    assert answer(name, 4711, namespaces=False) == EPERM
    assert answer(name, 4711) == ALLOW


def test_without_namespaces_a_process_cannot_hide_its_outputs_from_the_judge():
    set_dumpable, set_name = 4, 15
    assert answer("prctl", set_dumpable, 0, namespaces=False) == EPERM
    assert answer("prctl", set_name, namespaces=False) == ALLOW


def test_a_machine_that_is_not_known_gets_no_filter():
    assert seccomp.program(processes=False, machine="vax") is None
    assert not seccomp.known("vax")
