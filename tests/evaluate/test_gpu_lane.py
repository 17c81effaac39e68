"""The native lane on a GPU: its runner and its keeper, over a driver that stands in for NVIDIA's.

The kernels here are host code, and the "device" is memory of this machine. What a real device does
is seen by the programs of the corpora that need a GPU.
"""

import random
import shutil
import subprocess
from pathlib import Path

import pytest

from kernelwright.core.errors import SandboxError
from kernelwright.core.evaluation import Crashed, Measurement, Rejected, WrongResult
from kernelwright.evaluate.building.builder import Built
from kernelwright.evaluate.correctness.audit import unsanitized
from kernelwright.evaluate.correctness.exam import Exam
from kernelwright.evaluate.correctness.notes import Verified
from kernelwright.evaluate.correctness.verify import run_stage
from kernelwright.evaluate.defences import ALL_ON
from kernelwright.evaluate.running.bodies import body, lent, scalar_mask
from kernelwright.evaluate.running.life import LifeEnded
from kernelwright.evaluate.running.runner import life
from kernelwright.evaluate.timing.bench import launch_bound
from kernelwright.evaluate.timing.keeper import Keeper
from kernelwright.evaluate.timing.staging import Staging, TimedCases
from kernelwright.evaluate.timing.turns import Answers, CandidateTurns
from kernelwright.languages.cuda import Cuda
from kernelwright.problems.reference import Reference

HERE = Path(__file__).parent
PROBLEM = HERE.parent / "honest" / "_problems" / "scalars.py"
# x, gain, shift, mirrored, then the output.
KERNEL = """
#include <cstdint>
#include <unistd.h>
static int calls;
extern "C" int kw_entry_on(void* const* tensors, const int64_t* axes, void*) {{
    float* x = static_cast<float*>(tensors[0]);
    const float gain = *static_cast<const double*>(tensors[1]);
    const float shift = *static_cast<const int64_t*>(tensors[2]);
    const bool mirrored = *static_cast<const bool*>(tensors[3]);
    float* out = static_cast<float*>(tensors[4]);
    const int64_t n = axes[0] * axes[1];
    auto work = [=] {{ for (int64_t i = 0; i < n; i++) {{
        const float v = x[i] * gain + shift;
        out[i] = mirrored ? -v : v;
    }} }};
    calls++;
    {}
    return 0;
}}
"""


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    """A folder with libcuda.so.1 and the files of its memory, as variables for a process."""
    folder = tmp_path_factory.mktemp("driver")
    command = ["cc", "-shared", "-fPIC", str(HERE / "fake_driver.c"), "-o", "libcuda.so.1"]
    subprocess.run(command, cwd=folder, check=True)
    yield {"LD_LIBRARY_PATH": str(folder), "FAKE_DEVICE": str(folder)}
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def exam():
    with Reference.open(str(PROBLEM)) as reference:
        problem = reference.load()
        found = Exam(problem, reference, ALL_ON, "cuda")
        found.cases = TimedCases(problem, reference, ["file"])
        yield found
        found.close()


@pytest.fixture
def runner(driver, exam, tmp_path):
    """From the last lines of the kernel to what starts it."""

    def built(lines):
        (tmp_path / "kernel.cpp").write_text(KERNEL.format(lines))
        artifact = tmp_path / "kernel.so"
        subprocess.run(
            ["g++", "-shared", "-fPIC", str(tmp_path / "kernel.cpp"), "-o", str(artifact)],
            check=True,
        )
        return body(
            Built(folder=tmp_path, artifact=artifact, log=""), "native", driver, tmp_path,
            device="cuda", scalars=scalar_mask(exam.problem),
        )  # fmt: skip

    return built


@pytest.fixture
def judged(runner, exam, tmp_path):
    """From the last lines of the kernel to what the screen says."""
    return lambda lines: run_stage(
        exam.screen("native"), runner(lines), "native", "screen", "process", tmp_path / "log",
        ALL_ON,
    )  # fmt: skip


def kinds(found):
    assert isinstance(found, WrongResult)
    return {mismatch.kind for mismatch in found.mismatches}


def test_a_right_kernel_is_right_and_numbers_are_read_on_the_host(judged):
    found = judged("work();")
    assert isinstance(found, Verified)
    assert found.checks["inputs unchanged"] > 0


def test_what_was_not_written_holds_the_poison(judged):
    assert kinds(judged("(void)work;")) == {"unwritten"}


def test_bytes_behind_an_output_are_watched_on_the_device(judged):
    assert "out_of_bounds_write" in kinds(judged("work(); out[n] = 1;"))


def test_an_input_that_was_changed_on_the_device_is_noticed(judged):
    assert "input_mutated" in kinds(judged("work(); x[0] += 1;"))


def test_an_error_of_the_device_is_told_by_its_name(judged):
    found = judged("work(); if (calls == 2) return 700;")
    assert isinstance(found, Crashed)
    assert found.signal == "CUDA_ERROR_ILLEGAL_ADDRESS"


def test_an_error_that_is_not_known_keeps_its_number(judged):
    assert judged("return 12345;").signal == "CUDA error 12345"


@pytest.fixture
def staging(exam):
    found = Staging(exam.cases, 8)
    found.put_weights(exam.cases.cases[0])
    yield found
    found.close()


@pytest.fixture
def keeper(staging, driver, tmp_path, monkeypatch):
    for name, value in driver.items():
        monkeypatch.setenv(name, value)
    found = Keeper(staging, tmp_path)
    yield found
    found.close()


@pytest.fixture
def timed(runner, exam, staging, keeper, tmp_path):
    """From the last lines of the kernel to the mismatches of a block of four calls."""
    cases = exam.cases

    def block(lines):
        answers = Answers(cases)
        lend = lent(runner(lines), keeper.handles)
        with life(
            lend, staging.table_fd, staging.inputs, keeper.nothing, "process", tmp_path / "log"
        ) as running:
            turns = CandidateTurns(
                cases=cases, staging=staging, answers=answers, running=running, regime="returned",
                lane="native", random=random.Random(1), defences=ALL_ON, copies=False,
                keeper=keeper,
            )  # fmt: skip
            turns.start()
            assert turns.take(4, lead=True) > 0
        return answers.mismatches()

    return block


def test_outputs_of_a_block_are_taken_from_the_keepers_memory(timed):
    assert timed("work();") == []


def test_a_wrong_output_in_a_block_is_found(timed):
    assert timed("work(); if (calls == 4) out[0] += 1;")


def said_of(timed, lines):
    try:
        return "mismatches" if timed(lines) else "right"
    except LifeEnded as ended:
        return ended.outcome.rule if isinstance(ended.outcome, Rejected) else ended.outcome.kind


def test_what_is_not_finished_when_the_clock_stops_is_not_taken_for_right(timed):
    # A device goes on while its process stands still; here another process is what goes on.
    later = "if (fork() == 0) { usleep(3000); work(); _exit(0); }"
    assert said_of(timed, f"if (calls < 2) work(); else {later}") in ("late_outputs", "mismatches")


def test_the_keeper_knows_words_that_changed_after_it_had_noted_them(keeper, driver):
    keeper.stage(2, 4, random.Random(1))
    keeper.sample()
    assert keeper.collect(2, 4)
    keeper.stage(2, 4, random.Random(1))
    keeper.sample()
    # The second block of memory that the keeper asked for is that of the outputs.
    (outputs,) = Path(driver["FAKE_DEVICE"]).glob(f"kw-{keeper.pid}-1")
    with outputs.open("r+b") as memory:
        memory.write(b"\x07" * outputs.stat().st_size)
    assert not keeper.collect(2, 4)


def test_a_keeper_without_a_driver_says_so(exam, tmp_path):
    staging = Staging(exam.cases, 2)
    with pytest.raises(SandboxError, match=r"libcuda\.so\.1"):
        Keeper(staging, tmp_path)
    staging.close()


@pytest.mark.parametrize(("call_ns", "bound"), [(20_000, True), (3_000_000, False)])
def test_times_of_calls_that_are_mostly_launches_are_not_believed(call_ns, bound):
    def block(subject, per_call_ns):
        return Measurement(
            workload_id="report", subject=subject, regime="returned", calls=(4, 4),
            elapsed_ns=(4 * per_call_ns + 400_000,) * 2, overhead_ns=400_000,
        )  # fmt: skip

    assert launch_bound([block("candidate", call_ns), block("eager", 100_000)]) is bound


def test_what_no_sanitizer_looks_for_on_a_gpu_is_said():
    assert list(unsanitized(Cuda(), "cuda")) == [
        "memory errors and data races: compute-sanitizer is not run on a GPU yet"
    ]
