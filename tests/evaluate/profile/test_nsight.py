"""Calls under a stand-in for Nsight Compute: a script that takes its options, starts the program
that it is put in front of, and prints what `ncu` prints. The driver is one that stands in too."""

import dataclasses
import shlex
import subprocess
from pathlib import Path

import pytest

from kernelwright.core.candidate import Lane
from kernelwright.evaluate.building.builder import Built
from kernelwright.evaluate.correctness.exam import Exam
from kernelwright.evaluate.defences import ALL_ON
from kernelwright.evaluate.isolation.levels import isolation_level
from kernelwright.evaluate.judge import Judge
from kernelwright.evaluate.profile import nsight
from kernelwright.evaluate.profile.counters import Counters
from kernelwright.evaluate.profile.nsight import NotCounted, count
from kernelwright.evaluate.running import runner as running
from kernelwright.evaluate.running.bodies import body, scalar_mask, write_setup

HERE = Path(__file__).parent
SAID = HERE / "ncu.txt"
KERNEL = """
#include <cstdint>
#include <cstdio>
extern "C" int kw_entry_on(void* const* tensors, const int64_t* axes, void*) {
    // CUDA names its threads, and does not start where it cannot.
    FILE* name = fopen("/proc/thread-self/comm", "w");
    puts(name != nullptr ? "kernel" : "kernel that cannot name its threads");
    fflush(stdout);
    float* out = static_cast<float*>(tensors[1]);
    for (int64_t i = 0; i < axes[0] * axes[1]; i++) out[i] = 0;
    return 0;
}
"""
MODULE = """
import torch

torch.cuda.profiler.start = lambda: print("cuProfilerStart", flush=True)
torch.cuda.profiler.stop = lambda: print("cuProfilerStop", flush=True)


class ModelNew(torch.nn.Module):
    def forward(self, x):
        print("kernel", flush=True)
        return x + 1
"""
DENIED = (
    "==ERROR== ERR_NVGPUCTRPERM - The user does not have permission to access NVIDIA GPU "
    "Performance Counters on the target device 0. For instructions on enabling permissions and to "
    "get more information see https://developer.nvidia.com/ERR_NVGPUCTRPERM"
)
NONE = "==PROF== Disconnected from process 4242\n==WARNING== No kernels were profiled."
_MARKS = ("cuProfilerStart", "cuProfilerStop")
# Options end where the program begins, which /usr/bin/env is in front of.
SCRIPT = """\
#!/bin/bash
echo "options: $*"
echo "connection: $NV_COMPUTE_PROFILER_LOCAL_CONNECTION_OVERRIDE"
options=()
while [ "$1" != /usr/bin/env ]; do options+=("$1"); shift; done
{before}
"$@"
echo "the program ended with $?"
{after}
"""


@pytest.fixture(autouse=True)
def place(monkeypatch, tmp_path_factory):
    """Where a test puts what is on the path, beside nothing of its kind."""
    folder = tmp_path_factory.mktemp("bin")
    monkeypatch.setattr(nsight, "_CUDA_TOOLKIT", folder / "no-toolkit")
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return folder


@pytest.fixture
def ncu(place):
    """Puts the stand-in on the path: what it does before the program, and after it."""

    def put(after="true", before="true"):
        tool = place / "ncu"
        tool.write_text(SCRIPT.format(before=before, after=after))
        tool.chmod(0o755)
        return tool

    return put


def printing(text):
    return f"printf '%s\\n' {shlex.quote(text)}"


@pytest.fixture(scope="module")
def exam(problem, reference):
    found = Exam(problem, reference, ALL_ON, "cuda")
    yield found
    found.close()


@pytest.fixture
def native(driver, problem, tmp_path):
    (tmp_path / "kernel.cpp").write_text(KERNEL)
    built = Built(folder=tmp_path, artifact=tmp_path / "kernel.so", log="")
    command = ["g++", "-shared", "-fPIC", str(tmp_path / "kernel.cpp"), "-o", str(built.artifact)]
    subprocess.run(command, check=True)
    variables = {"LD_LIBRARY_PATH": str(driver), "FAKE_DEVICE": "/tmp"}
    found = body(built, "native", variables, tmp_path, device="cuda", scalars=scalar_mask(problem))
    return dataclasses.replace(found, reads=(*found.reads, driver))


@pytest.fixture
def call(exam, native, tmp_path):
    """Counts, and gives what was found and what was printed."""

    def counted(runner=None, lane: Lane = "native", level="process"):
        log = tmp_path / "counters.log"
        with exam.lend("single", lane) as cases:
            found = count(runner or native, lane, cases, level, log)
        return found, log.read_text() if log.exists() else ""

    return counted


def test_where_it_is_permitted_the_call_has_its_counters(call, ncu):
    ncu(after=f"cat {SAID}")
    found, said = call()
    assert isinstance(found, Counters), found
    assert [kernel.name[:9] for kernel in found.kernels] == ["void rows", "scale(flo"]
    assert "the program ended with 0" in said


def test_clocks_are_left_alone_and_one_call_is_counted_after_one_that_is_not(call, ncu):
    ncu(after=f"cat {SAID}")
    _, said = call()
    options = said.splitlines()[0]
    for option in (
        "--clock-control none", "--csv", "--page raw", "--profile-from-start off",
        "--target-processes all", "dram__bytes_read.sum,dram__bytes_write.sum",
    ):  # fmt: skip
        assert option in options
    marks = [line for line in said.splitlines() if line in ("kernel", *_MARKS)]
    assert marks == ["kernel", "cuProfilerStart", "kernel", "cuProfilerStop"]
    assert "connection: uds" in said


def test_it_works_inside_the_best_sandbox_of_this_machine(call, ncu):
    level, _ = isolation_level()
    # The file of what is printed is outside, hence in the script.
    ncu(after=printing(SAID.read_text()))
    found, said = call(level=level)
    assert isinstance(found, Counters), said
    assert [line for line in said.splitlines() if "kernel" in line.split()] == ["kernel", "kernel"]


def test_a_module_is_started_anew_under_it(call, ncu, problem, tmp_path):
    ncu(after=f"cat {SAID}")
    (tmp_path / "best_module.py").write_text(MODULE)
    write_setup(problem, "cpu", tmp_path / "setup.json")
    built = Built(folder=tmp_path, artifact=tmp_path / "best_module.py", log="")
    module = body(built, "module", {}, tmp_path / "setup.json", device="cpu")
    found, said = call(module, "module")
    assert isinstance(found, Counters), said
    marks = [line for line in said.splitlines() if line in ("kernel", *_MARKS)]
    assert marks == ["kernel", "cuProfilerStart", "kernel", "cuProfilerStop"]


def test_what_is_not_permitted_is_said_with_what_to_do(call, ncu):
    ncu(after=printing(f"{DENIED}\n{NONE}"))
    found, _ = call()
    assert isinstance(found, NotCounted)
    assert "administrators only (ERR_NVGPUCTRPERM)" in found.why
    assert "NVreg_RestrictProfilingToAdminUsers=0" in found.why
    assert "\n" not in found.why


def test_it_is_said_too_when_the_program_is_ended_for_it(call, ncu):
    ncu(before=f"{printing(DENIED)}; exit 1")
    found, _ = call()
    assert "ERR_NVGPUCTRPERM" in found.why


def test_what_is_not_there_is_said_with_where_it_comes_from(call):
    found, said = call()
    assert isinstance(found, NotCounted)
    assert "ncu (NVIDIA Nsight Compute) is neither on PATH nor in" in found.why
    assert said == ""


def test_the_toolkit_is_looked_at_too_and_links_are_followed(tmp_path, monkeypatch):
    real = tmp_path / "cuda-13.0" / "ncu"
    real.parent.mkdir()
    real.write_text("")
    (tmp_path / "cuda").symlink_to(real.parent)
    monkeypatch.setattr(nsight, "_CUDA_TOOLKIT", tmp_path / "cuda")
    assert nsight.find() == real


@pytest.mark.parametrize(
    ("printed", "said"),
    [
        ("garbage\n\x01\x02,,,\"'", "no figure that can be read"),
        (NONE, "no kernel in it"),
        ("==ERROR== Cuda driver is not compatible with Nsight Compute", "ncu says: Cuda driver is"),
        (
            "==ERROR== Profiling failed because a driver resource was unavailable. Ensure that no "
            "other tool (like DCGM) is concurrently collecting profiling data.",
            "another tool holds them",
        ),
        (SAID.read_text().replace('"ID"', '"I"'), "no figure that can be read"),
    ],
)
def test_what_cannot_be_read_is_no_error(call, ncu, printed, said):
    ncu(after=printing(printed))
    found, _ = call()
    assert isinstance(found, NotCounted)
    assert said in found.why
    assert found.why.startswith("hardware counters: ")


def test_a_figure_that_this_version_does_not_have_is_left_out(call, ncu):
    without = (
        'case "$*${options[*]}" in *lts__t_sector_hit_rate*) echo "==ERROR== Failed to find metric '
        'lts__t_sector_hit_rate.pct"; exit 1;; esac'
    )
    ncu(before=without, after=f"cat {SAID}")
    found, said = call()
    assert isinstance(found, Counters), found
    assert "lts__t_sector_hit_rate" not in said.splitlines()[0]


def test_it_is_given_up_when_nothing_can_be_left_out(call, ncu):
    ncu(before='echo "==ERROR== Failed to find metric something.else"; exit 1')
    found, _ = call()
    assert "ncu says: Failed to find metric" in found.why


def test_one_that_does_not_end_is_ended(call, ncu, monkeypatch):
    monkeypatch.setattr(nsight, "_ENDING_S", 2.0)
    ncu(after="echo still here; sleep 600")
    found, _ = call()
    assert "it did not end within 2 s of the call" in found.why
    assert "still here" in found.why


def test_one_that_does_not_begin_is_ended(call, ncu, monkeypatch):
    monkeypatch.setattr(running, "_FIRST_ANSWER_S", 0.5)
    ncu(before="sleep 600")
    found, _ = call()
    assert "the runner did not come up under it" in found.why


def test_a_call_that_takes_too_long_is_ended(call, ncu, native, tmp_path, monkeypatch):
    monkeypatch.setattr(nsight, "_CALL_LIMIT_S", 0.5)
    ncu(after=f"cat {SAID}")
    (tmp_path / "kernel.cpp").write_text(
        "#include <unistd.h>\n" + KERNEL.replace("fflush(stdout);", "sleep(600);")
    )
    command = ["g++", "-shared", "-fPIC", str(tmp_path / "kernel.cpp"), "-o"]
    subprocess.run([*command, str(tmp_path / "kernel.so")], check=True)
    found, _ = call()
    assert "the call took longer than 0.5 s under it" in found.why


def test_a_call_that_crashes_is_no_error(call, ncu, native, tmp_path):
    ncu(after=printing(NONE))
    (tmp_path / "kernel.cpp").write_text(KERNEL.replace("return 0;", "return 700;"))
    command = ["g++", "-shared", "-fPIC", str(tmp_path / "kernel.cpp"), "-o"]
    subprocess.run([*command, str(tmp_path / "kernel.so")], check=True)
    found, _ = call()
    assert isinstance(found, NotCounted)


def test_the_judge_has_one_call_at_the_report_size_counted_on_a_gpu(
    judge: Judge, cpp, silu, problem, monkeypatch
):
    def asked(runner, lane, cases, level, log):
        sizes = {workload.id for workload, _ in cases.cases}
        return runner.argv, lane, sizes, cases.calls[0].axes, level

    monkeypatch.setattr(nsight, "count", asked)
    monkeypatch.setattr(judge, "_room", dataclasses.replace(judge._room, device="cuda"))
    argv, lane, workloads, axes, level = judge.counters(cpp(silu))
    assert any("gpu_runner" in word for word in argv)
    assert (lane, level) == ("native", judge._room.level)
    assert workloads == {problem.report_workload.id}
    assert axes == tuple(problem.report_workload.axes[name] for name in problem.axes)
    assert judge.counters(cpp("no kernel")) is None


def test_on_a_cpu_nothing_is_counted(judge: Judge, cpp, silu):
    assert judge.counters(cpp(silu)) is None
