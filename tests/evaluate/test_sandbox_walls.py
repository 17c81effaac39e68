"""What a program can reach at each level that works here, tried from inside.

The same attempts are made with no walls: an attempt that fails there too would show nothing.
"""

from __future__ import annotations

import functools
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kernelwright.core.errors import Unavailable
from kernelwright.core.evaluation import Crashed, Isolation, WrongResult
from kernelwright.evaluate import judge
from kernelwright.evaluate.defences import Defences
from kernelwright.evaluate.isolation import levels, sandbox, walls
from kernelwright.evaluate.native.programs import confine

ATTEMPTS = Path(__file__).with_name("attempts.py")
WALLED: tuple[Isolation, ...] = (
    "landlock+seccomp", "bubblewrap+seccomp", "bubblewrap+landlock+seccomp",
)  # fmt: skip

# Reached without walls by every user, so that being refused means something.
REACHABLE = (
    "file_of_the_host", "folder_of_the_host", "home_folder", "accounts", "brokers_command_line",
    "signal_to_the_broker", "read_of_the_brokers_memory", "brokers_limits", "network",
    "datagrams", "netlink", "abstract_socket", "named_socket", "named_socket_by_a_pair",
    "file_beside_the_secret", "mode_of_a_file", "times_of_a_file", "length_of_a_file",
    "watch_on_a_folder", "memory_shared_by_key",
)  # fmt: skip
# Refused here by something else than our walls too: the kernel's settings, or a lack of rights.
ELSEWHERE = (
    "secret_in_an_environment", "brokers_environment", "brokers_memory", "brokers_descriptors",
    "trace_of_the_broker", "descriptor_of_the_broker", "brokers_processors", "brokers_priority",
    "file_in_the_system", "mount", "new_user_namespace", "new_user_namespace_by_clone",
    "io_uring", "typing_into_the_terminal", "kernel_programs", "other_numbers_of_calls",
    "capabilities", "more_descriptors_than_named",
)  # fmt: skip


@pytest.fixture(scope="module")
def targets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """Things outside that a candidate must not reach, as the arguments of the attempts."""
    folder = tmp_path_factory.mktemp("host")
    (folder / "home").mkdir()
    (folder / "secret").write_text("another run's")
    (folder / "spare").write_text("another run's")
    name = f"kernelwright-test-{os.getpid()}"
    with (
        pytest.MonkeyPatch.context() as patch,
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(socket.AF_UNIX) as abstract,
        socket.socket(socket.AF_UNIX) as named,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagrams,
    ):
        patch.setenv("KERNELWRIGHT_SECRET", "do-not-tell")
        abstract.bind(f"\0{name}")
        named.bind(str(folder / "socket"))
        datagrams.bind(str(folder / "datagrams"))
        abstract.listen()
        named.listen()
        yield [str(os.getpid()), str(folder), str(tcp.getsockname()[1]), name]


@pytest.fixture(scope="module")
def attempted(
    targets: list[str],
    tmp_path_factory: pytest.TempPathFactory,
    needs_level: Callable[[Isolation], None],
):
    """What each attempt came to at a level; skips where the level does not work."""
    log = tmp_path_factory.mktemp("log") / "log"

    @functools.cache
    def run(level: Isolation, processes: bool = True) -> dict[str, str]:
        needs_level(level)
        command = sandbox.Command(
            argv=[sys.executable, "-I", "-B", str(ATTEMPTS), *targets],
            reads=[ATTEMPTS, *sandbox.python_folders()],
            processes=processes,
        )
        child = sandbox.start(command, level, log)
        try:
            assert child.ending(30.0) == (0, None), child.log_text()
        finally:
            child.kill()
        found: dict[str, str] = json.loads(child.log_text().splitlines()[-1])
        return found

    return run


@pytest.mark.parametrize("name", REACHABLE)
def test_without_walls_each_attempt_succeeds(attempted, name):
    assert attempted("process")[name] == "reached"


@pytest.mark.parametrize("name", [*REACHABLE, *ELSEWHERE])
@pytest.mark.parametrize("level", WALLED)
def test_behind_walls_it_is_refused(attempted, level, name):
    assert attempted(level)[name] != "reached"


@pytest.mark.parametrize("level", WALLED)
def test_a_module_may_start_processes_and_a_native_candidate_only_threads(attempted, level):
    module, native = attempted(level), attempted(level, processes=False)
    assert (module["new_process"], module["new_thread"]) == ("reached", "reached")
    assert native["new_process"] != "reached"
    assert native["new_thread"] == "reached"


def test_without_namespaces_it_cannot_outlive_the_process_that_adopts_its_orphans(attempted):
    assert attempted("landlock+seccomp")["freed_from_its_parent"] != "reached"


def test_every_attempt_is_expected_somewhere(attempted):
    named = {*REACHABLE, *ELSEWHERE, "new_process", "new_thread", "freed_from_its_parent"}
    assert attempted("process").keys() == named


HIDING = """
import ctypes, os, sys
from kernelwright.evaluate.isolation import processes
if os.getuid() == 0:
    os.setresuid(65534, 65534, 65534)
ctypes.CDLL(None).prctl(4, 1)  # changing the user hid us already
if sys.argv[1] == "hide":
    processes.hide()
broker = os.getpid()
if os.fork() == 0:
    ctypes.CDLL(None).prctl(4, 1)
    for name in ("environ", "mem"):
        try:
            open(f"/proc/{broker}/{name}", "rb").close()
            print("read", end=" ", flush=True)
        except OSError:
            print("refused", end=" ", flush=True)
    os._exit(0)
os.wait()
"""


@pytest.mark.parametrize(("hide", "found"), [("hide", "refused refused"), ("no", "read read")])
def test_another_process_of_the_user_reads_the_broker_unless_it_hides(hide, found):
    tried = subprocess.run(
        [sys.executable, "-c", HIDING, hide], capture_output=True, text=True, check=True
    )
    assert tried.stdout.strip() == found


@pytest.mark.parametrize("level", WALLED)
def test_a_level_that_the_machine_can_have_is_reached(level, needs_level):
    needs_level(level)
    assert levels.why_not(level) is None


def test_a_level_is_not_reached_when_what_it_forbids_can_be_done(monkeypatch, needs_level):
    needs_level("landlock+seccomp")
    monkeypatch.setattr(levels, "_PROBE", "echo came up; echo filtered; echo something leaks")
    why = "landlock+seccomp does not work here (something leaks)."
    assert levels.why_not("landlock+seccomp") == why


def test_the_probe_sees_what_an_open_process_can_do(monkeypatch):
    """The same probe with no walls, as if they had been put up and did nothing."""
    start = levels.sandbox.start
    monkeypatch.setattr(
        levels.sandbox, "start", lambda command, level, log: start(command, "process", log)
    )
    monkeypatch.setattr(levels, "lacking", lambda level: None)
    assert "can be written" in (levels.why_not("bubblewrap+seccomp") or "")
    assert "Landlock has no effect" in (levels.why_not("landlock+seccomp") or "")


def test_signals_stay_inside_without_landlocks_help(tmp_path):
    """Kernels before 6.12 do not know how to scope signals; a second filter does it there."""
    target = subprocess.Popen(["sleep", "20"])
    try:
        line = f"kill -TERM {target.pid} && echo sent; kill -0 $$ && echo own"
        plain = _confined([], line)
        kept = _confined(["--own-signals"], line)
        assert target.poll() is not None or target.wait(5) is not None
    finally:
        target.kill()
        target.wait()
    assert "sent" in plain
    assert "sent" not in kept


def _confined(options: list[str], line: str) -> str:
    argv = [str(confine()), *options, "--", "/bin/sh", "-c", line]
    return subprocess.run(argv, capture_output=True, text=True, check=False).stdout


def test_a_descriptor_that_was_not_named_is_closed(tmp_path):
    with (tmp_path / "open").open("w") as one, (tmp_path / "kept").open("w") as other:
        given = [one.fileno(), other.fileno()]
        program = f"import os; os.fstat({given[1]}); os.fstat({given[0]})"
        argv = [str(confine()), "--keep", str(given[1]), "--", sys.executable, "-c", program]
        tried = subprocess.run(argv, pass_fds=given, capture_output=True, text=True, check=False)
    assert f"os.fstat({given[0]})" in tried.stderr or "Bad file descriptor" in tried.stderr
    assert tried.returncode == 1


def test_a_wall_that_cannot_be_built_ends_the_start_with_a_sentence():
    argv = [str(confine()), "--landlock", "--read", "/not/there", "--", "/bin/true"]
    tried = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert tried.returncode == 125
    assert tried.stderr == "confine: open /not/there: No such file or directory\n"


@pytest.mark.parametrize(("on", "ending"), [(True, Crashed), (False, WrongResult)])
def test_a_kernel_reads_the_accounts_of_the_host_only_without_the_sandbox(
    problem, reference, cpp, on, ending
):
    if levels.isolation_level()[0] == "process":
        pytest.skip("there is no sandbox here")
    spy = """
    #include <cstdio>
    #include <cstdlib>
    extern "C" void kernel(const float* x, float* out, int64_t rows, int64_t columns) {
        if (fopen("/etc/passwd", "r") == nullptr) abort();
    }
    """
    with judge.Judge(problem, reference, defences=Defences(sandbox=on)) as opened:
        evaluation = opened.judge(cpp(spy), "search")
    assert isinstance(evaluation.outcome, ending), evaluation.outcome
    assert ("switched off: sandbox" in evaluation.not_checked) == (not on)


def test_a_judge_that_must_have_more_isolation_than_there_is_says_so(
    problem, reference, monkeypatch
):
    monkeypatch.setattr(judge, "isolation_level", lambda: ("landlock+seccomp", "No bubblewrap."))
    with pytest.raises(Unavailable, match=r"'bubblewrap\+seccomp' is required.*No bubblewrap\."):
        judge.Judge(problem, reference, require_isolation="bubblewrap+seccomp")
    judge.Judge(problem, reference, require_isolation="landlock+seccomp").close()


@pytest.mark.parametrize(
    ("minor", "left_out"), [(1, {"nvidia0", "nvidia2"}), (None, set()), (7, set())]
)
def test_a_candidate_is_shown_the_node_of_its_own_card(tmp_path, monkeypatch, minor, left_out):
    nodes = {"nvidia0", "nvidia1", "nvidia2", "nvidiactl", "nvidia-uvm", "nvidia-caps"}
    for name in (*nodes, "null"):
        (tmp_path / name).touch()
    monkeypatch.setattr(walls, "only_minor", lambda: minor)
    assert {Path(node).name for node in walls.gpu_nodes(tmp_path)} == nodes - left_out
