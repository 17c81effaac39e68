"""What Nsight Compute prints, read, and what a diagnosis makes of it."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelwright.core.diagnosis import Diagnosis, Figure
from kernelwright.evaluate.profile.counted import counted
from kernelwright.evaluate.profile.counters import (
    METRICS,
    MOST_LAUNCHES,
    Counters,
    KernelCounters,
    kernels,
)
from kernelwright.evaluate.profile.diagnose import HINTS
from kernelwright.testing.runs import PROBLEM

SAID = (Path(__file__).parent / "ncu.txt").read_text()
# The made-up problem reads and writes 2048 by 4096 floats, and reads 4096 more.
READ, WRITTEN = 33_570_816, 33_554_432
WAITING = Diagnosis(
    bottleneck="latency_bound", hints=(*HINTS["latency_bound"], "Something seen in the code."),
    not_known=("something",),
)  # fmt: skip


def launch(**values):
    usual = {"name": "k", "ns": 1000.0, "read_bytes": READ, "written_bytes": WRITTEN}
    return KernelCounters(**(usual | values))


def with_launches(*found, to=WAITING):
    return counted(to, Counters(kernels=found), PROBLEM)


def figures(diagnosis):
    return {figure.name: figure.value for figure in diagnosis.counters}


def test_each_launch_has_its_name_its_bytes_its_shares_and_its_stalls():
    rows, scale = kernels(SAID)
    assert rows.name == "void rows<(int)4>(const float *, float *, long)"
    assert (rows.read_bytes, rows.written_bytes, rows.ns) == (134_250_496, 1_048_576, 60_000)
    assert (rows.memory_percent, rows.arithmetic_percent) == (81.25, 22.1)
    assert (rows.occupancy_percent, rows.l2_hit_percent) == (71.4, 30.5)
    assert rows.stalls["long_scoreboard"] == 12.4
    assert scale.name == "scale(float *, long)"
    assert len(rows.stalls) == 9


def test_everything_that_is_asked_for_is_read():
    header = next(line for line in SAID.splitlines() if line.startswith('"ID"'))
    assert set(METRICS) <= set(header.replace('"', "").split(","))
    assert set(KernelCounters.model_fields) == set(kernels(SAID)[0].model_fields_set)


def test_what_is_no_number_is_not_counted():
    _, scale = kernels(SAID)
    assert "no_instruction" not in scale.stalls
    (bare,) = kernels('"ID","Process ID","Kernel Name","dram__bytes_read.sum"\n"","","","byte"\n'
                      '"0","1","k","5"\n')  # fmt: skip
    assert (bare.read_bytes, bare.written_bytes, bare.stalls) == (5, None, {})


@pytest.mark.parametrize(
    ("unit", "nbytes"), [("byte", 1.5), ("Kbyte", 1500), ("Mbyte", 1.5e6), ("Gbyte", 1.5e9)]
)
def test_units_that_were_scaled_are_scaled_back(unit, nbytes):
    table = (
        '"ID","Process ID","Kernel Name","dram__bytes_read.sum"\n"","","","{}"\n"0","1","k","1.5"'
    )
    assert kernels(table.format(unit))[0].read_bytes == nbytes


def test_times_are_in_nanoseconds_whatever_they_are_printed_in():
    table = (
        '"ID","Process ID","Kernel Name","gpu__time_duration.sum"\n"","","","{}"\n"0","1","k","2"'
    )
    assert [kernels(table.format(u))[0].ns for u in ("ns", "usecond", "ms")] == [2, 2000, 2e6]


@pytest.mark.parametrize(
    "text",
    [
        "", "==ERROR== nothing", '"ID","Process ID"', '"ID","Process ID"\n"",""\n"0","1"',
        SAID.partition('"0","4242"')[0], '"ID","Process ID","Kernel Name"\n"","",""\n"0","1","k"',
        '"ID","Process ID","Kernel Name"\n' + '"' + "x" * 200_000 + '"',
    ],
)  # fmt: skip
def test_what_is_no_table_has_no_launches(text):
    assert kernels(text) == ()


def test_a_line_that_was_cut_off_is_left_out():
    assert len(kernels(SAID[: SAID.rindex('"1.05"')])) == 1


def test_a_table_that_the_program_printed_itself_is_not_the_last():
    forged = (
        '"ID","Process ID","Kernel Name","dram__bytes_read.sum"\n"","","","byte"\n"0","1","x","1"\n'
    )
    assert kernels(forged + SAID) == kernels(SAID)


def test_there_is_an_end_to_launches_and_to_numbers():
    head = '"ID","Process ID","Kernel Name","dram__bytes_read.sum"\n"","","","byte"\n'
    assert len(kernels(head + '"0","1","k","1"\n' * 500)) == MOST_LAUNCHES
    assert kernels(head + '"0","1","k","1e300"\n') == ()


@given(st.text(alphabet='",\n0159.e=abcIDProcessKernelName ', max_size=400))
def test_no_text_breaks_it(text):
    kernels('"ID","Process ID","Kernel Name"\n' + text)


def test_the_figures_of_a_call_are_sums_of_bytes_and_means_over_time():
    said = with_launches(*kernels(SAID))
    assert figures(said) == {
        "read from memory": pytest.approx(201.35936),
        "written to memory": pytest.approx(34.603008),
        "of the bytes of inputs and outputs": pytest.approx(351.5, abs=0.1),
        "memory is busy": pytest.approx(76.25),
        "multiprocessors are busy": pytest.approx(19.1),
        "occupancy, achieved": pytest.approx(76.4),
        "found in the L2 cache": pytest.approx(35.5),
        "waits most for global memory (long scoreboard)": pytest.approx(10.4),
    }
    assert said.counters[0].text == "read from memory: 201 MB"


def test_what_one_launch_does_not_say_is_not_said_of_the_call():
    said = with_launches(launch(memory_percent=50.0), launch(read_bytes=None))
    assert figures(said) == {}


def test_reading_again_is_named_with_how_often():
    said = with_launches(launch(read_bytes=3 * READ))
    assert any("reads 3.0 times the bytes of its inputs" in hint for hint in said.hints)
    assert not any("times" in hint for hint in with_launches(launch(read_bytes=1.2 * READ)).hints)


def test_writing_again_is_named_too():
    said = with_launches(launch(written_bytes=2 * WRITTEN))
    assert any("writes 2.0 times the bytes of its outputs" in hint for hint in said.hints)


def test_launches_that_hand_each_other_tensors_are_to_be_fewer():
    said = with_launches(launch(), launch())
    assert any("Its 2 launches hand each other tensors" in hint for hint in said.hints)
    assert not any("reads 2.0 times" in hint for hint in said.hints)


def test_a_kernel_that_waited_for_no_known_reason_is_memory_bound_when_memory_is_busy():
    said = with_launches(launch(memory_percent=85.0))
    assert said.bottleneck == "memory_bound"
    assert said.hints[: len(HINTS["memory_bound"])] == HINTS["memory_bound"]
    assert "Something seen in the code." in said.hints
    assert not set(HINTS["latency_bound"]) & set(said.hints)
    assert with_launches(launch(memory_percent=40.0)).bottleneck == "latency_bound"


def test_few_warps_are_a_reason_too():
    assert with_launches(launch(occupancy_percent=12.0)).bottleneck == "low_occupancy"


def test_what_the_code_or_the_roof_says_is_kept():
    spills = Diagnosis(bottleneck="register_spills", figures=(Figure(name="spilled", value=8),))
    said = with_launches(launch(memory_percent=90.0), to=spills)
    assert said.bottleneck == "register_spills"
    assert said.figures == spills.figures
    assert with_launches(launch()).not_known == WAITING.not_known


def test_the_longest_wait_has_a_hint_when_it_is_most_of_the_waiting():
    most = with_launches(launch(stalls={"barrier": 6.0, "wait": 2.0}))
    assert any("wait for each other" in hint for hint in most.hints)
    even = {"barrier": 2.0, "wait": 1.9, "lg_throttle": 1.9}
    assert not any("wait for each other" in h for h in with_launches(launch(stalls=even)).hints)
    little = with_launches(launch(stalls={"barrier": 0.5}))
    assert not any("wait for each other" in hint for hint in little.hints)


def test_a_diagnosis_of_before_has_no_counters():
    assert Diagnosis.model_validate({"bottleneck": "unknown"}).counters == ()
