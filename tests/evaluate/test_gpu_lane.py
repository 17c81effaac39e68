"""The native lane on a GPU: its runner and its keeper, over a driver that stands in for NVIDIA's.

The kernels here are host code, and the "device" is memory of this machine. What a real device does
is seen by the programs of the corpora that need a GPU.
"""

import contextlib
import os
import random
import struct
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kernelwright.core.errors import SandboxError
from kernelwright.core.evaluation import Crashed, Rejected, WrongResult
from kernelwright.core.nvml import Pace
from kernelwright.evaluate.building.builder import Built
from kernelwright.evaluate.correctness.audit import unsanitized
from kernelwright.evaluate.correctness.exam import Exam
from kernelwright.evaluate.correctness.notes import Verified
from kernelwright.evaluate.correctness.verify import run_stage
from kernelwright.evaluate.defences import ALL_ON
from kernelwright.evaluate.isolation import processes
from kernelwright.evaluate.places import Places
from kernelwright.evaluate.running.arena import GUARD, PAGE, POISONS, Arena
from kernelwright.evaluate.running.bodies import body, lent, scalar_mask
from kernelwright.evaluate.running.life import LifeEnded
from kernelwright.evaluate.timing import keeper as keepers
from kernelwright.evaluate.timing.bench import Bench
from kernelwright.evaluate.timing.clocks import Clocks
from kernelwright.evaluate.timing.device_turns import Blocked, DeviceTurns
from kernelwright.evaluate.timing.gate import Gate
from kernelwright.evaluate.timing.grounds import DeviceGrounds
from kernelwright.evaluate.timing.keeper import Keeper, Shown, fitting
from kernelwright.evaluate.timing.staging import TURNED_BY, TimedCases, turnable
from kernelwright.evaluate.timing.turns import Answers, Spare
from kernelwright.evaluate.timing.witness import agreement
from kernelwright.languages.cuda import Cuda
from kernelwright.problems.reference import Reference

HERE = Path(__file__).parent
PROBLEM = HERE.parent / "honest" / "_problems" / "scalars.py"
# x, gain, shift, mirrored, then the output.
KERNEL = """
#include <cstdint>
#include <dlfcn.h>
#include <functional>
#include <unistd.h>
static int calls;
static void launch(std::function<void()> kernel) {{
    using Launch = void (*)(void (*)(void*), void*);
    static auto on_device = reinterpret_cast<Launch>(dlsym(RTLD_DEFAULT, "fakeLaunch"));
    on_device([](void* it) {{ (*static_cast<std::function<void()>*>(it))(); }},
              new std::function<void()>(kernel));
}}
extern "C" int kw_entry_on(void* const* tensors, const int64_t* axes, void*) {{
    float* x = static_cast<float*>(tensors[0]);
    const float gain = *static_cast<const double*>(tensors[1]);
    const float shift = *static_cast<const int64_t*>(tensors[2]);
    const bool mirrored = *static_cast<const bool*>(tensors[3]);
    float* out = static_cast<float*>(tensors[4]);
    const int64_t n = axes[0] * axes[1];
    auto compute = [=] {{ for (int64_t i = 0; i < n; i++) {{
        const float v = x[i] * gain + shift;
        out[i] = mirrored ? -v : v;
    }} }};
    auto work = [=] {{ launch(compute); }};
    calls++;
    {}
    return 0;
}}
"""


@pytest.fixture(scope="module")
def driver(driver):
    """The folder with libcuda.so.1 and the files of its memory, as variables for a process."""
    return {"LD_LIBRARY_PATH": str(driver), "FAKE_DEVICE": str(driver)}


@pytest.fixture(scope="module")
def exam():
    with Reference.open(str(PROBLEM)) as reference:
        problem = reference.load()
        found = Exam(problem, reference, ALL_ON, "cuda")
        found.cases = TimedCases(problem, ["file"], gpu=True)
        found.cases.cases = found.cases.drawn(reference)
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

    def judge(lines):
        with exam.lend("screen", "native") as cases:
            return run_stage(
                cases, runner(lines), "native", "screen", "process", tmp_path / "log", ALL_ON
            )

    return judge


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


class Silent:
    """A witness that was never there."""

    can_tell = False


@pytest.fixture
def keeper(exam, driver, tmp_path, monkeypatch):
    for name, value in driver.items():
        monkeypatch.setenv(name, value)
    found = Keeper(exam.cases, tmp_path)
    found.take_over()
    yield found
    found.close()


@pytest.fixture
def timed(runner, exam, keeper, grounds):
    """From the last lines of the kernel to the mismatches of a block of eight calls. Whoever
    queued them goes on: what stands in for a device is a process that would be stopped too."""

    def block(lines, *, queued=True, within_ns=None, **switched):
        answers = Answers(exam.cases, Spare())
        with grounds.life(runner(lines), "native") as running:
            turns = DeviceTurns(
                cases=exam.cases, keeper=keeper, witness=Silent(), answers=answers,
                running=running, regime="returned", lane="native", random=random.Random(1),
                defences=replace(ALL_ON, frozen_between=False, **switched), queued=queued,
                clocks=grounds.clocks,
            )  # fmt: skip
            turns.start()
            assert 0 < turns.take(8, lead=False) < (within_ns or float("inf"))
        return answers.mismatches()

    return block


@pytest.fixture
def grounds(exam, keeper, tmp_path):
    return DeviceGrounds(
        cases=exam.cases, keeper=keeper, baseline=None, level="process", log=tmp_path / "log",
        clocks=Clocks(),
    )  # fmt: skip


def test_a_runner_uses_the_card_that_the_judge_may_use(tmp_path, monkeypatch):
    built = Built(folder=tmp_path, artifact=tmp_path / "k.so", log="")

    def argv(device, **given):
        return body(built, "native", {}, tmp_path, device=device, **given).argv

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-7")
    assert "CUDA_VISIBLE_DEVICES=GPU-7" in argv("cuda")
    assert "CUDA_VISIBLE_DEVICES=GPU-7" in argv("cuda", timed=True)
    assert not any("CUDA_VISIBLE" in word for word in argv("cpu"))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert not any("CUDA_VISIBLE" in word for word in argv("cuda"))


def test_a_life_that_began_early_is_the_first_that_is_timed(grounds, runner):
    with grounds.early(runner("work();"), "native") as ready:
        began = processes.children(os.getpid())
        with grounds.life(ready, "native") as first:
            assert processes.children(os.getpid()) == began
            pid = first.pid
        with grounds.life(ready, "native") as second:
            assert second.pid != pid


def test_it_finds_nothing_that_another_life_left_since_it_began(grounds, runner, keeper):
    with grounds.early(runner("work();"), "native") as ready:
        keeper.layout.names.memory[:PAGE] = 7
        with grounds.life(ready, "native"):
            assert (keeper.layout.names.memory[256:PAGE] == GUARD).all()


def test_nobody_gets_a_life_that_began_over_other_memory(grounds, runner):
    body = runner("work();")
    with grounds.early(body, "native") as ready:
        other = replace(body, early=ready.early, argv=(*body.argv[:-1], "elsewhere"))
        with grounds.life(other, "native") as running:
            began = ready.early.taken(lent(body, "native", grounds.keeper.handles).argv)
            assert began is not None
            assert began.pid != running.pid
            began.end()


def test_an_early_life_that_nobody_took_is_ended(grounds, runner, tmp_path):
    before = processes.children(os.getpid())
    with grounds.early(runner("work();"), "native"):
        assert len(list(tmp_path.glob("early-*"))) == 1
        assert processes.children(os.getpid()) != before
    assert not list(tmp_path.glob("early-*"))
    assert processes.children(os.getpid()) == before


@pytest.mark.parametrize("queued", [True, False])
def test_outputs_of_a_block_are_taken_from_the_keepers_memory(timed, queued):
    assert timed("work();", queued=queued) == []


@pytest.mark.parametrize("queued", [True, False])
def test_the_gpus_clock_is_looked_at_before_and_after_a_block_and_not_within(
    timed, grounds, queued
):
    looks = []

    def pace():
        looks.append(time.monotonic())
        time.sleep(0.5)
        return Pace(1980, 0)

    grounds.clocks.pace = pace
    timed("work();", queued=queued, within_ns=400_000_000)
    assert len(looks) == 2


@pytest.mark.parametrize("queued", [True, False])
def test_a_wrong_output_in_a_block_is_found(timed, queued):
    assert timed("work(); launch([=] { out[0] += 1; });", queued=queued)


def test_the_other_calls_of_a_block_are_not_known_beforehand(timed):
    # The first call is the one that is not timed; of the eight one is a case as it is.
    found = [bool(timed(f"work(); if (calls == {n}) launch([=] {{ out[0] += 1; }});"))
             for n in range(2, 10)]  # fmt: skip
    assert sum(found) == 1


def test_what_is_computed_before_the_gate_opens_finds_no_inputs(timed):
    assert timed("if (calls == 1) work(); else compute();")


def test_without_late_inputs_it_would_find_them(timed):
    assert timed("if (calls == 1) work(); else compute();", late_inputs=False) == []


def said_of(timed, lines):
    try:
        return "mismatches" if timed(lines) else "right"
    except LifeEnded as ended:
        return ended.outcome.rule if isinstance(ended.outcome, Rejected) else ended.outcome.kind


def test_what_is_not_finished_when_the_clock_stops_is_not_taken_for_right(timed):
    # A device goes on while its process stands still; here another process is what goes on.
    later = "launch([=] { if (fork() == 0) { usleep(30000); compute(); _exit(0); } });"
    assert said_of(timed, f"if (calls < 2) work(); else {later}") in ("late_outputs", "mismatches")


def test_calls_that_wait_for_the_device_cannot_be_queued(timed):
    with pytest.raises(Blocked):
        timed("work(); if (calls == 3) usleep(2000000);")


def device_memory(keeper, driver, number):
    """The memory that the keeper asked for as its `number`: inputs, then outputs."""
    (file,) = Path(driver["FAKE_DEVICE"]).glob(f"kw-{keeper.pid}-{number}")
    return file


def test_the_keeper_knows_words_that_changed_after_it_had_noted_them(keeper, driver):
    def noted():
        keeper.stage(2, [Shown(0, {})] * 4)
        keeper.choose(2, 4, opened=False)
        keeper.sample()

    noted()
    assert keeper.collect(2, 3, opened=False)[1]
    noted()
    outputs = device_memory(keeper, driver, 1)
    with outputs.open("r+b") as memory:
        memory.write(b"\x07" * outputs.stat().st_size)
    assert not keeper.collect(2, 3, opened=False)[1]


def test_a_turned_case_is_rolled_by_whole_vectors(keeper, exam, driver):
    shown = keeper.turn(random.Random(3))
    assert set(shown.turned) == {"x"}
    assert shown.turned["x"] % TURNED_BY == 0
    keeper.stage(1, [shown])
    place = keeper.layout.calls[1].inputs[0]
    inputs = np.fromfile(device_memory(keeper, driver, 0), np.uint8)
    found = inputs[place.offset : place.offset + place.nbytes].view(np.float32)
    case = exam.cases.cases[shown.case]
    assert case.distribution == "file"
    assert (found == np.roll(case.inputs["x"].ravel(), -shown.turned["x"] // 4)).all()


def test_only_free_numbers_are_turned(exam):
    workload = exam.problem.report_workload
    assert [spec.name for spec in turnable(exam.problem, workload)] == ["x"]
    kept = workload.model_copy(update={"inputs": {"x": "file"}})
    assert turnable(exam.problem, kept) == ()


def test_outputs_that_are_not_there_are_not_opened(keeper):
    keeper.layout.names.memory[:] = 0xFF
    assert not keeper.open([0])
    keeper.layout.names.memory[:] = 0
    assert not keeper.open([0])
    keeper.sample()  # and it goes on


def test_outputs_that_are_there_are_opened_and_noted(keeper, driver):
    place = keeper.layout.calls[0].outputs[0]
    lent = Path(driver["FAKE_DEVICE"], "lent")
    lent.write_bytes(bytes(100) + b"\x03" * place.nbytes)
    named = str(lent).encode().ljust(64, b"\0") + struct.pack("<2q", 100, place.nbytes)
    keeper.layout.names.data(keeper.layout._named)[: len(named)] = np.frombuffer(named, np.uint8)
    assert keeper.open([0])
    keeper.choose(0, 1, opened=True)
    keeper.sample()
    (written,), unchanged = keeper.collect(0, 0, opened=True)
    assert unchanged
    assert (written.data == 3).all()
    with lent.open("r+b") as memory:
        memory.write(b"\x04" * (100 + place.nbytes))
    assert not keeper.collect(0, 0, opened=True)[1]


def test_a_witness_and_a_candidate_are_read_at_the_same_places(keeper, driver):
    place = keeper.layout.calls[1].outputs[0]
    keeper.stage(1, [Shown(0, {})])
    lent = Path(driver["FAKE_DEVICE"], "lent")
    lent.write_bytes(bytes([POISONS[1]]) * place.nbytes)
    named = str(lent).encode().ljust(64, b"\0") + struct.pack("<2q", 0, place.nbytes)
    assert keeper.open_rival(named, 1)
    ours, theirs = keeper.words(1, 1, 0, opened=False)
    assert (ours == theirs).all()
    assert ours.size > 1000


def test_a_keeper_takes_less_where_others_have_the_memory(exam, driver, tmp_path, monkeypatch):
    for name, value in driver.items():
        monkeypatch.setenv(name, value)
    with contextlib.closing(fitting(exam.cases, tmp_path)) as whole:
        most = whole.layout.inputs.nbytes
        slots = len(whole)
    monkeypatch.setenv("FAKE_DEVICE_BYTES", str(most - 1))
    monkeypatch.setattr(keepers, "_SHARES", (1 << 30, most // 2, 1))
    with contextlib.closing(fitting(exam.cases, tmp_path)) as part:
        assert 2 <= len(part) < slots
    monkeypatch.setenv("FAKE_DEVICE_BYTES", "1")
    with pytest.raises(SandboxError, match="OUT_OF_MEMORY"):
        fitting(exam.cases, tmp_path)


def test_a_keeper_leaves_most_of_what_is_free(exam, driver, tmp_path, monkeypatch):
    for name, value in driver.items():
        monkeypatch.setenv(name, value)
    with contextlib.closing(fitting(exam.cases, tmp_path)) as whole:
        taken, slots = whole.layout.inputs.nbytes, len(whole)
    with contextlib.closing(fitting(exam.cases, tmp_path, free_bytes=taken)) as part:
        assert part.layout.inputs.nbytes <= taken // 6
        assert 2 <= len(part) < slots


def test_a_keeper_without_a_driver_says_so(exam, tmp_path):
    with pytest.raises(SandboxError, match=r"libcuda\.so\.1"):
        Keeper(exam.cases, tmp_path)


def test_what_is_made_for_timing_is_made_anew_after_it_could_not_be(tmp_path):
    with Reference.open(str(PROBLEM)) as reference:
        bench = Bench(
            reference.load(), reference, device="cuda", level="process", folder=tmp_path,
            defences=ALL_ON, places=Places(1),
        )  # fmt: skip
        for _ in range(2):
            with pytest.raises(SandboxError, match=r"libcuda\.so\.1"):
                bench.start(["file"])
        bench.close()


def test_a_gate_that_nobody_goes_through_is_not_waited_at_for_ever():
    arena = Arena()
    arena.allocate()
    gate = Gate(arena)
    token = gate.renew()
    gate.open()
    assert not gate.wait(0.05)
    arena.memory[64:68].view(np.uint32)[0] = token
    assert gate.wait(0.05)
    arena.close()


def bits(values, dtype):
    return np.asarray(values, dtype).view(np.uint32)


def test_numbers_that_roundings_set_apart_agree():
    values = np.random.default_rng(1).standard_normal(1000)
    assert agreement(bits(values, "f4"), bits(values * 1.001, "f4"), "float32") == 1.0
    assert agreement(bits(values, "f2"), bits(values * 1.001, "f2"), "float16") == 1.0


@pytest.mark.parametrize("skipped", [0.0, np.nan, 1e30])
def test_work_that_was_not_done_does_not_agree(skipped):
    values = np.random.default_rng(1).standard_normal(1000)
    left = np.full(1000, skipped)
    assert agreement(bits(left, "f4"), bits(values, "f4"), "float32") < 0.1


def test_what_is_no_number_agrees_with_what_is_none():
    values = np.array([1.0, np.nan, np.inf, -np.inf])
    assert agreement(bits(values, "f4"), bits(values, "f4"), "float32") == 1.0
    assert agreement(bits(values[::-1], "f4"), bits(values, "f4"), "float32") < 0.5


def test_what_no_sanitizer_looks_for_on_a_gpu_is_said():
    said = "data races in global memory: compute-sanitizer looks at shared memory only"
    assert said in unsanitized(Cuda(), "cuda")
