"""Lives that are forked: as fast as a fork, and as alone as a process that was started alone."""

from __future__ import annotations

import itertools
import json
import os
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kernelwright.core.errors import SandboxError
from kernelwright.core.evaluation import BEST_ISOLATION, Isolation
from kernelwright.core.problem import Problem
from kernelwright.evaluate.building.builder import Built
from kernelwright.evaluate.correctness.exam import Exam
from kernelwright.evaluate.defences import ALL_ON
from kernelwright.evaluate.running import runner
from kernelwright.evaluate.running.bodies import body, write_setup
from kernelwright.evaluate.running.zygote import Zygote, reachable
from kernelwright.problems.reference import Reference

Live = Callable[..., str]
MODEL = """
import torch
class ModelNew(torch.nn.Module):
    def forward(self, x):
        return torch.nn.functional.silu(x) + 0.5
"""
NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def folder(
    problem: Problem,
    tmp_path_factory: pytest.TempPathFactory,
    needs_level: Callable[[Isolation], None],
) -> Path:
    """A judge's: the problem, and the builds of candidates."""
    needs_level(BEST_ISOLATION)
    if not reachable():
        pytest.skip("Python lies under /tmp, and each forked life has a /tmp of its own")
    made = tmp_path_factory.mktemp("judge")
    write_setup(problem, "cpu", made / "problem.json")
    return made


@pytest.fixture(scope="module")
def zygote(folder: Path) -> Iterator[Zygote]:
    made = Zygote(folder)
    yield made
    made.close()


@pytest.fixture(scope="module")
def live(problem: Problem, reference: Reference, folder: Path, zygote: Zygote) -> Iterator[Live]:
    """Have a forked life load a module that begins with this program; what it printed."""
    exam = Exam(problem, reference, ALL_ON)

    def run(program: str, *, files: dict[str, str] | None = None, **settings: str) -> str:
        home = folder / f"build{next(NUMBERS)}"
        home.mkdir()
        for name, text in (files or {}).items():
            (home / name).write_text(text)
        artifact = home / "best.py"
        artifact.write_text(textwrap.dedent(program) + MODEL)
        made = body(
            Built(home, artifact, ""), "module", settings, folder / "problem.json",
            device="cpu", zygote=zygote,
        )  # fmt: skip
        log = home / "log"
        with (
            exam.lend("screen", "module") as cases,
            runner.life(
                made, cases.table_fd, cases.inputs, cases.outputs, BEST_ISOLATION, log
            ) as running,
        ):
            running.ask("load", stage="load", limit_s=60.0, count=1)
            return running.log

    yield run
    exam.close()


def test_a_life_is_forked_and_is_there_at_once(live, zygote):
    live("")
    begun = time.monotonic()
    printed = live("import os; print(os.getppid(), os.getpid(), flush=True)")
    assert time.monotonic() - begun < 5.0  # a fresh one takes 2 s on a machine that does nothing
    assert printed == "1 2\n"
    assert zygote.forked >= 2


def test_parallel_regions_run_with_the_threads_that_were_asked_for(live):
    program = """
    import torch
    x = torch.ones(512, 512)
    print((x @ x).relu().softmax(1).sum().item(), torch.get_num_threads(), flush=True)
    """
    assert live(program) == f"512.0 {len(os.sched_getaffinity(0))}\n"
    assert live(program, OMP_NUM_THREADS="1") == "512.0 1\n"


def test_one_life_leaves_nothing_that_the_next_one_finds(live):
    """Files, process numbers, inode numbers, shared memory, environment."""
    program = """
    import os
    made = []
    for place in ("/tmp", "/dev/shm"):
        made += sorted(os.listdir(place))
        with open(f"{place}/left", "w") as file:
            made.append(os.fstat(file.fileno()).st_ino)
    for _ in range(5):
        if os.fork() == 0:
            os._exit(0)
    free = os.statvfs("/tmp")
    print(made, os.getpid(), free.f_bavail, free.f_ffree, sorted(os.environ), flush=True)
    """
    assert live(program) == live(program) != ""


def test_it_sees_no_other_process_and_no_other_candidate(live, folder):
    other = folder / "other"
    other.mkdir(exist_ok=True)
    (other / "best.py").write_text("another candidate's")
    program = f"""
    import os
    print(sorted(filter(str.isdigit, os.listdir("/proc"))), os.path.exists({str(other)!r}))
    for hidden in ("/mnt/folder", "/mnt/proc"):
        print(os.path.exists(hidden), end=" ")
    with open("/proc/self/status") as file:
        print([line.split()[1] for line in file if line[:6] in ("CapEff", "CapPrm", "Seccom")])
    import sys; sys.stdout.flush()
    """
    first, second = live(program).splitlines()
    assert first == "['1', '2'] False"
    assert second == "False False ['0000000000000000', '0000000000000000', '2', '1']"


def test_every_attempt_from_inside_is_refused(live, tmp_path):
    attempts = Path(__file__).with_name("attempts.py").read_text()
    (tmp_path / "secret").write_text("x")
    (tmp_path / "spare").write_text("x")
    (tmp_path / "home").mkdir()
    arguments = [str(os.getpid()), str(tmp_path), "1", "none"]
    program = f"""
    import runpy, sys
    sys.argv = ["attempts", *{arguments!r}]
    runpy.run_path(__file__.replace("best.py", "attempts.py"))
    sys.stdout.flush()
    """
    found = json.loads(live(program, files={"attempts.py": attempts}).splitlines()[-1])
    reached = {name for name, answer in found.items() if answer == "reached"}
    # A life has the broker's descriptors, may start processes, and is ended by its namespace.
    assert reached <= {
        "more_descriptors_than_named", "new_process", "new_thread", "freed_from_its_parent"
    }  # fmt: skip


def test_its_first_process_cannot_be_traced_or_signalled(live):
    program = """
    import os, signal
    for name in ("environ", "mem", "maps"):
        try:
            open(f"/proc/1/{name}", "rb").read(1)
            print("read", name)
        except OSError as error:
            print(error.errno, end=" ")
    try:
        os.kill(1, signal.SIGKILL)
        print("sent")
    except OSError as error:
        print(error.errno, flush=True)
    """
    assert live(program) == "13 13 13 1\n"


def test_what_it_started_ends_with_it_and_the_next_life_is_well(live):
    marker = f"7{os.getpid()}"
    program = f"""
    import os, subprocess
    for _ in range(3):
        if os.fork() == 0:
            os.setsid()
            os.execv("/bin/sleep", ["sleep", "{marker}"])
    """
    live(program)
    deadline = time.monotonic() + 5
    while any(marker.encode() in text for text in _command_lines()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert live("print('well', flush=True)") == "well\n"


def _command_lines() -> Iterator[bytes]:
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            yield file.read_bytes()
        except OSError:
            continue


def test_variables_that_a_library_reads_when_it_is_loaded_need_a_process_of_their_own(live, zygote):
    before = zygote.forked
    printed = live("import os; print(os.environ['OMP_DYNAMIC'], flush=True)", OMP_DYNAMIC="true")
    assert printed == "true\n"
    assert zygote.forked == before


@pytest.mark.skipif(not reachable(), reason="Python lies under /tmp, so nothing is forked at all")
def test_where_it_does_not_come_up_lives_are_started_alone(tmp_path):
    broken = Zygote(tmp_path / "not" / "there")
    command = runner.sandbox.Command(argv=[])
    request = runner.Request(
        program="module_runner", arguments=(), environment={"OMP_NUM_THREADS": "1"}
    )
    for _ in range(2):
        assert broken.serves(command, BEST_ISOLATION, request)
        with pytest.raises(SandboxError):
            broken.start(command, request, tmp_path / "log")
    assert not broken.serves(command, BEST_ISOLATION, request)
