"""The audit on a GPU under a stand-in for compute-sanitizer: a script that takes its options,
starts the program behind them, and writes what the tool writes. The driver stands in too."""

import dataclasses
import os
import shlex
import subprocess
from pathlib import Path

import pytest

from kernelwright.core.candidate import Candidate
from kernelwright.core.evaluation import Crashed, Passed, Rejected, WrongResult
from kernelwright.core.problem import Source
from kernelwright.core.protocols import BuildPlan
from kernelwright.evaluate.building.builder import Built
from kernelwright.evaluate.correctness import device_audit
from kernelwright.evaluate.correctness.device_audit import Audit, NotLearnt, Watched
from kernelwright.evaluate.correctness.exam import Exam
from kernelwright.evaluate.correctness.verify import run_stage
from kernelwright.evaluate.defences import ALL_ON
from kernelwright.evaluate.isolation import sandbox
from kernelwright.evaluate.isolation.levels import isolation_level
from kernelwright.evaluate.judge import Judge
from kernelwright.evaluate.running import runner as running
from kernelwright.evaluate.running.bodies import body, scalar_mask, write_setup

HERE = Path(__file__).parent
TOOLS = ("memcheck", "racecheck", "initcheck", "synccheck")
# x, then out. Once a second line stands in front of the first brace, it is done in each call.
KERNEL = """
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <unistd.h>
extern "C" int kw_entry_on(void* const* tensors, const int64_t* axes, void*) {{
    const float* x = static_cast<const float*>(tensors[0]);
    float* out = static_cast<float*>(tensors[1]);
    const int64_t n = axes[0] * axes[1];
    for (int64_t i = 0; i < n; i++) out[i] = x[i] / (1.0f + expf(-x[i])) + 0.5f;
    {}
    return 0;
}}
"""
MODULE = """
import torch


class ModelNew(torch.nn.Module):
    def forward(self, x):
        return x * torch.sigmoid(x) + 0.5
"""
# As the real one it leaves its report open in the program that it starts, here under the number 3.
SCRIPT = """\
#!/bin/bash
echo "options: $*"
declare -A given
while [[ "$1" == --* ]]; do given[$1]=$2; shift 2; done
exec 3> "${{given[--log-file]}}"
say() {{ printf '========= %s\\n' "$@" >&3; }}
summary() {{
    if [ "${{given[--tool]}}" = racecheck ]
    then say "RACECHECK SUMMARY: $1 hazards displayed ($1 errors, 0 warnings)"
    else say "ERROR SUMMARY: $1 errors"
    fi
}}
found() {{ say "$@"; summary 1; exit "${{given[--error-exitcode]}}"; }}
say COMPUTE-SANITIZER
{before}
"$@"
status=$?
echo "the program ended with $status"
{after}
exit $status
"""
CLEAN = "summary 0"
WRITE = (
    "Invalid __global__ write of size 4 bytes",
    "    at silu(float *)+0x100 in kernel.cu:34",
    "    by thread (255,0,0) in block (77,0,0)",
    "    Address 0x7cc43aa00400 is out of bounds",
)
FOUND = {
    "memcheck": WRITE,
    "racecheck": ("Error: Race reported between Write access at silu(int *)+0x90 in kernel.cu:34",),
    "initcheck": (
        "Uninitialized __global__ memory read of size 4 bytes",
        "    at silu(float *)+0x70 in kernel.cu:34",
    ),
    "synccheck": (
        "Barrier error detected. Divergent thread(s) in block.",
        "    at silu(float *)+0x70 in kernel.cu:34",
    ),
}


def saying(lines):
    return f"found {shlex.join(lines)}"


@pytest.fixture(autouse=True)
def tools(monkeypatch, tmp_path_factory):
    """A folder for the stand-in, which no candidate's is; whatever else there is, is not found."""
    folder = tmp_path_factory.mktemp("tools")
    monkeypatch.setattr(device_audit, "_CUDA_TOOLKIT", folder / "no-toolkit")
    monkeypatch.setenv("PATH", f"{folder}/bin:/usr/bin:/bin")
    return folder


@pytest.fixture
def sanitizer(tools):
    """Puts the stand-in on the path: what it does after the program, and before it."""

    def put(after=CLEAN, before="true"):
        tool = tools / "bin" / "compute-sanitizer"
        tool.parent.mkdir(exist_ok=True)
        tool.write_text(SCRIPT.format(before=before, after=after))
        tool.chmod(0o755)

    return put


@pytest.fixture(scope="module")
def exam(problem, reference):
    found = Exam(problem, reference, ALL_ON, "cuda")
    yield found
    found.close()


@pytest.fixture
def native(driver, problem, tmp_path):
    """From the last lines of the kernel to what starts it."""

    def runner(lines=""):
        (tmp_path / "kernel.cpp").write_text(KERNEL.format(lines))
        built = Built(folder=tmp_path, artifact=tmp_path / "kernel.so", log="")
        command = ["g++", "-shared", "-fPIC", str(tmp_path / "kernel.cpp"), "-o"]
        subprocess.run([*command, str(built.artifact)], check=True)
        variables = {"LD_LIBRARY_PATH": str(driver), "FAKE_DEVICE": "/tmp"}
        found = body(
            built, "native", variables, tmp_path, device="cuda", scalars=scalar_mask(problem)
        )
        return dataclasses.replace(found, reads=(*found.reads, driver))

    return runner


@pytest.fixture
def module(problem, tmp_path):
    """What starts a module, on the CPU: its tensors are torch's there too."""
    (tmp_path / "best_module.py").write_text(MODULE)
    write_setup(problem, "cpu", tmp_path / "setup.json")
    built = Built(folder=tmp_path, artifact=tmp_path / "best_module.py", log="")
    return body(built, "module", {}, tmp_path / "setup.json", device="cpu")


@pytest.fixture
def watched(exam, native, tmp_path):
    """Calls under the stand-in, and gives what was found."""

    def audited(tool="memcheck", lines="", *, runner=None, lane="native", text="", level="process"):
        source = {"kernel.cu" if lane == "native" else "best_module.py": text}
        with exam.lend("audit", lane) as cases:
            audit = Audit(
                runner=runner or native(lines), lane=lane, source=source, cases=cases,
                level=level, log=tmp_path / "log", defences=ALL_ON,
            )  # fmt: skip
            return audit.watch(tool)

    return audited


def said(tmp_path):
    return (tmp_path / "log").read_text()


@pytest.mark.parametrize("tool", TOOLS)
def test_where_a_tool_finds_nothing_every_case_was_called(watched, sanitizer, exam, tool):
    sanitizer()
    with exam.lend("audit", "native") as cases:
        wanted = len(cases.cases)
    assert watched(tool) == Watched(wanted)
    assert wanted > 1


def test_it_works_inside_the_best_sandbox_of_this_machine(watched, sanitizer, tmp_path):
    sanitizer()
    level, _ = isolation_level()
    assert isinstance(watched(level=level), Watched), said(tmp_path)
    sanitizer(saying(WRITE))
    assert isinstance(watched(level=level), Crashed), said(tmp_path)


@pytest.mark.parametrize("tool", TOOLS)
def test_what_a_tool_finds_is_a_verdict_with_its_place(watched, sanitizer, tool):
    sanitizer(saying(FOUND[tool]))
    found = watched(tool)
    if tool == "memcheck":
        assert isinstance(found, Crashed)
        assert found.stage == "sanitize"
        evidence = found.detail
    else:
        assert isinstance(found, Rejected)
        assert found.rule == {
            "racecheck": "data_race", "initcheck": "uninitialised_read",
            "synccheck": "misused_barrier",
        }[tool]  # fmt: skip
        evidence = found.evidence
    assert evidence.startswith(f"compute-sanitizer {tool}: {FOUND[tool][0]}")
    assert "in kernel.cu:34" in evidence
    assert "thread" not in evidence.replace("thread(s)", "")


def test_the_runner_is_the_only_child_and_has_the_variables(watched, sanitizer, tmp_path):
    sanitizer(before='echo "child: $1, OMP_NUM_THREADS=$OMP_NUM_THREADS"')
    watched()
    assert "child: " in said(tmp_path)
    child = next(line for line in said(tmp_path).splitlines() if line.startswith("child: "))
    assert "gpu_runner" in child
    assert f"OMP_NUM_THREADS={len(os.sched_getaffinity(0))}" in child
    options = said(tmp_path).splitlines()[0]
    for option in (
        "--tool memcheck", "--log-file /proc/self/fd/", "--padding 65536",
        "--target-processes application-only", "--report-api-errors no",
    ):  # fmt: skip
        assert option in options


def test_each_tensor_is_alone_in_memory_so_that_a_tool_sees_what_is_past_it(
    watched, sanitizer, native, exam, tmp_path
):
    sanitizer()
    past = "out[n] = 1;"
    with exam.lend("screen", "native") as cases:
        found = run_stage(
            cases, native(past), "native", "screen", "process", tmp_path / "log", ALL_ON
        )
    assert isinstance(found, WrongResult)
    # Where it lies between others, the bytes around it are those that are compared.
    assert isinstance(watched(lines=past), Watched)


def test_a_tool_that_is_not_there_is_said(watched):
    found = watched()
    assert isinstance(found, NotLearnt)
    assert "compute-sanitizer: not found, neither on PATH nor in" in found.why
    assert any(found.why in reason for reason in device_audit.left_out("native"))


def test_one_that_is_there_is_not_said_to_be_missing(sanitizer):
    sanitizer()
    assert list(device_audit.left_out("native")) == [
        "data races in global memory: compute-sanitizer looks at shared memory only"
    ]


def test_the_toolkit_is_looked_at_too_and_links_are_followed(tmp_path, monkeypatch):
    real = tmp_path / "cuda-13.0" / "compute-sanitizer"
    real.parent.mkdir()
    real.write_text("")
    (tmp_path / "cuda").symlink_to(real.parent)
    monkeypatch.setattr(device_audit, "_CUDA_TOOLKIT", tmp_path / "cuda")
    assert device_audit.find() == real


def test_a_script_that_starts_the_tool_in_the_folder_beside_it_works(
    watched, sanitizer, tools, tmp_path
):
    sanitizer()
    beside = tools / "compute-sanitizer"
    beside.mkdir()
    (tools / "bin" / "compute-sanitizer").rename(beside / "compute-sanitizer")
    script = tools / "bin" / "compute-sanitizer"
    script.write_text('#!/bin/sh\nexec "${0%/*}/../compute-sanitizer/compute-sanitizer" "$@"\n')
    script.chmod(0o755)
    level, _ = isolation_level()
    assert isinstance(watched(level=level), Watched), said(tmp_path)


NO_VERDICT = {
    "a device that it does not know": (
        "true", 'say "Error: Device not supported"; exit 1', "it says: Error: Device not supported",
    ),
    "a crash before the program": ("true", "kill -9 $$", "the runner did not come up under it"),
    "a crash after it": ("kill -9 $$", "true", "its report has no last line"),
    "a crash after its last line": (f"{CLEAN}; kill -9 $$", "true", "it ended with status"),
    "a report that was cut off": ("true", "true", "its report has no last line"),
    "a report that is empty": (": > /proc/self/fd/3", "true", "its report has no last line"),
    "a program that ended badly": (f"{CLEAN}; status=3", "true", "it ended with status 3"),
    "errors that are not shown": ("summary 3", "true", "it counts errors"),
    "a status against its report": (f"{CLEAN}; status=97", "true", "it counts errors"),
    "errors that are not known": (
        'say "Something new"; summary 1; status=97', "true", "it says: something that is not shown",
    ),
    "an error that it doubts": (
        f'say "Internal Sanitizer Error: x"; {saying(WRITE)}', "true",
        "it says: something that is not shown",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NO_VERDICT)
def test_a_tool_that_does_not_work_is_no_verdict(watched, sanitizer, name):
    after, before, why = NO_VERDICT[name]
    sanitizer(after, before)
    found = watched()
    assert isinstance(found, NotLearnt), found
    assert why in found.why
    assert found.why.startswith("compute-sanitizer memcheck: ")
    assert "\n" not in found.why


def test_what_was_found_counts_though_the_report_was_cut_off(watched, sanitizer):
    sanitizer(f"say {shlex.join(WRITE)}; kill -9 $$")
    assert isinstance(watched(), Crashed)


def test_a_tool_that_does_not_begin_is_ended(watched, sanitizer, monkeypatch):
    monkeypatch.setattr(running, "_FIRST_ANSWER_S", 0.5)
    sanitizer(before="sleep 600")
    assert "the runner did not come up under it" in watched().why


def test_a_tool_that_does_not_end_is_ended(watched, sanitizer, monkeypatch):
    monkeypatch.setattr(device_audit, "_ENDING_S", 0.5)
    sanitizer(f"{CLEAN}; sleep 600")
    assert "it did not end within 0.5 s of the last call" in watched().why


def test_calls_that_take_too_long_are_ended(watched, sanitizer, monkeypatch):
    monkeypatch.setattr(device_audit, "_ENDING_S", 0.5)
    monkeypatch.setattr(device_audit, "_CALLS_LIMIT_S", 0.5)
    sanitizer()
    assert "a call took longer than 1 s" in watched(lines="sleep(600);").why


def test_a_launch_that_fails_under_it_is_no_verdict(watched, sanitizer):
    sanitizer()
    found = watched(lines="return 701;")
    assert "ended under it with CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES" in found.why


def test_outputs_that_are_wrong_under_it_are_no_verdict(watched, sanitizer):
    sanitizer()
    assert "under it outputs were wrong" in watched(lines="out[0] += 1;").why


def test_what_ends_the_calls_is_told_by_what_the_tool_found(watched, sanitizer):
    sanitizer(saying(WRITE))
    assert isinstance(watched(lines="return 719;"), Crashed)


def test_a_candidate_that_writes_a_clean_report_itself_is_not_clean(watched, sanitizer):
    # The program has the report open, as under the real tool; it cannot give the tool its status.
    clean = 'dprintf(3, "========= ERROR SUMMARY: 0 errors\\n");'
    sanitizer("exit 97")
    found = watched(lines=f"ftruncate(3, 0); lseek(3, 0, SEEK_SET); {clean}")
    assert "it counts errors" in found.why


def test_a_candidate_cannot_tell_of_hidden_workloads_through_a_report(watched, sanitizer, problem):
    hidden = [w.axes for w in problem.split("hidden")]
    assert hidden
    lines = (
        'dprintf(3, "========= Invalid __global__ write of size 4 bytes\\n=========     at f in '
        'size:%ld\\n", static_cast<long>(n));'
    )
    only = " || ".join(f"(axes[0] == {a['rows']} && axes[1] == {a['columns']})" for a in hidden)
    sanitizer()
    found = watched(lines=f"if ({only}) {{ {lines} }}")
    assert isinstance(found, Crashed)
    assert "an error that is not shown" in found.detail
    assert "size:" not in found.detail


def test_tensor_maps_are_not_looked_at_by_a_tool_that_does_not_see_them(watched, sanitizer):
    sanitizer(saying(FOUND["initcheck"]))
    found = watched("initcheck", text='asm("cp.async.bulk.tensor.2d.global.shared::cta");')
    assert "is not run: it does not see what is written through tensor maps" in found.why
    assert isinstance(watched("memcheck", text="CUtensorMap map;"), Rejected | NotLearnt)


def test_of_a_module_counts_what_is_in_its_own_files(watched, sanitizer, module, tmp_path):
    own = ("Invalid __global__ read of size 4 bytes", "    at silu+0x1 in best_module.py:9")
    other = ("Invalid __global__ read of size 4 bytes", "    at at::native::x+0x1 in Loops.cuh:9")
    sanitizer(saying((*other, *own)))
    found = watched(runner=module, lane="module")
    assert isinstance(found, Crashed), said(tmp_path)
    assert "best_module.py:9" in found.detail
    assert "module_runner" in said(tmp_path)
    sanitizer(saying(other))
    found = watched(runner=module, lane="module")
    assert "none of them is of a known kind and in the candidate's files" in found.why


def test_which_tools_look_is_the_lanes_and_the_defences():
    assert device_audit.tools("native", ALL_ON) == TOOLS
    assert device_audit.tools("module", ALL_ON) == ("memcheck", "initcheck")
    without = dataclasses.replace(ALL_ON, sanitizers=False)
    assert device_audit.tools("native", without) == ("racecheck",)
    without = dataclasses.replace(ALL_ON, thread_sanitizer=False)
    assert "racecheck" not in device_audit.tools("native", without)


NAMED = "/bin/sh -c 'echo x > /proc/$$/task/$$/comm' && echo named"


@pytest.mark.parametrize("under_a_tool", [True, False])
def test_a_child_can_name_its_threads_as_cuda_does_where_a_tool_starts_it(tmp_path, under_a_tool):
    level, _ = isolation_level()
    if level != "bubblewrap+landlock+seccomp":
        pytest.skip(f"only Landlock in a namespace tells them apart, and here is {level}")
    command = sandbox.Command(
        argv=["/bin/sh", "-c", NAMED], processes=True, gpu=True, watched=under_a_tool
    )
    child = sandbox.start(command, level, tmp_path / "log")
    child.ending(10)
    child.kill()
    assert ("named" in child.log_text()) == under_a_tool


class HostCuda:
    """Stands in for the language: kernels in C++ that the stand-in for the driver can call."""

    name, lane, devices, entry_point = "cuda", "native", ("cuda",), "kernel.cu::launch"

    def __init__(self, driver):
        self.driver, self.sanitized = driver, 0

    def missing(self, purpose):
        return "this machine has no device" if purpose == "time" else None

    def guide(self, problem):
        return ""

    def build(self, candidate, problem, *, sanitize=False):
        self.sanitized += sanitize
        command = ("g++", "-shared", "-fPIC", "-x", "c++", "kernel.cu", "-o", "kernel.so")
        return BuildPlan(
            files=dict(candidate.source.files), commands=(command,), artifact="kernel.so",
            lane="native", environment={"LD_LIBRARY_PATH": str(self.driver), "FAKE_DEVICE": "/tmp"},
        )  # fmt: skip


@pytest.fixture(scope="module")
def language(driver):
    return HostCuda(driver)


@pytest.fixture(scope="module")
def gpu_judge(problem, reference, language):
    off = dataclasses.replace(ALL_ON, sandbox=False)
    with Judge(
        problem, reference, device="cuda", language=lambda _: language, defences=off
    ) as opened:
        yield opened


@pytest.fixture
def judged(problem, gpu_judge, language, request):
    """From a way to judge to the evaluation, of a candidate that no other test has."""
    text = KERNEL.format(f"// {request.node.name}")
    source = Source(files={"kernel.cu": text}, entry_point="kernel.cu::launch")
    candidate = Candidate(problem_id=problem.id, language="cuda", source=source)
    language.sanitized = 0
    return lambda effort: gpu_judge.judge(candidate, effort)


def test_promotion_calls_a_build_with_line_numbers_under_each_tool(judged, sanitizer, language):
    sanitizer()
    found = judged("promotion")
    assert isinstance(found.outcome, Passed), found
    assert language.sanitized == 1
    watched_by = {check.name for check in found.checks}
    assert {f"calls watched by compute-sanitizer {tool}" for tool in TOOLS} <= watched_by
    assert not any("compute-sanitizer: not found" in reason for reason in found.not_checked)


def test_promotion_ends_with_what_a_tool_finds(judged, sanitizer):
    sanitizer(f'[ "${{given[--tool]}}" = racecheck ] && {saying(FOUND["racecheck"])}\n{CLEAN}')
    found = judged("promotion")
    assert isinstance(found.outcome, Rejected)
    assert found.outcome.rule == "data_race"


def test_promotion_says_what_was_not_learnt(judged, sanitizer):
    sanitizer("exit 1")
    found = judged("promotion")
    assert isinstance(found.outcome, Passed)
    said = [reason for reason in found.not_checked if "compute-sanitizer racecheck" in reason]
    assert said == [
        "races in shared memory: compute-sanitizer racecheck: its report has no last line"
    ]


def test_without_the_tool_promotion_says_so_and_builds_nothing_for_it(judged, language):
    found = judged("promotion")
    assert isinstance(found.outcome, Passed)
    assert language.sanitized == 0
    assert any("compute-sanitizer: not found" in reason for reason in found.not_checked)


def test_a_search_does_not_wait_for_it(judged, sanitizer, language):
    sanitizer("exit 1")
    found = judged("search")
    assert isinstance(found.outcome, Passed)
    assert language.sanitized == 0
