"""Reports of NVIDIA's compute-sanitizer, in the words of its manual."""

import pytest

from kernelwright.evaluate.correctness.sanitizer_report import read

OUT_OF_BOUNDS = """\
========= COMPUTE-SANITIZER
========= Invalid __global__ write of size 4 bytes
=========     at scale(float *, const float *, long)+0x100 in kernel.cu:34
=========     by thread (255,0,0) in block (77,0,0)
=========     Address 0x7cc43aa00400 is out of bounds
=========     and is 1 bytes after the nearest allocation at 0x7cc43aa00000 of size 1,024 bytes
=========         Device Frame: scale_all(float *)+0x30 in kernel.cu:44
=========     Saved host backtrace up to driver entry point at kernel launch time
=========         Host Frame: launch [0xae66] in kernel.so
=========
========= Invalid __global__ write of size 4 bytes
=========     at other()+0x90
=========
========= ERROR SUMMARY: 2 errors
"""
RACE = """\
========= COMPUTE-SANITIZER
========= Error: Race reported between Write access at sum(int *)+0x90 in kernel.cu:41
=========     and Read access at sum(int *)+0x100 in kernel.cu:51 [508 hazards]
=========
========= RACECHECK SUMMARY: 1 hazard displayed (1 error, 0 warnings)
"""
UNINITIALISED = """\
========= COMPUTE-SANITIZER
========= Uninitialized __global__ memory read of size 4 bytes
=========     at vectorAdd(int *)+0x70 in kernel.cu:41
=========     by thread (31,0,0) in block (1,0,0)
=========     Address 0x7f3c7ec000fc
=========
========= ERROR SUMMARY: 1,096 errors
========= ERROR SUMMARY: 1076 errors were not printed. Use --print-limit option to adjust
"""
BARRIER = """\
========= COMPUTE-SANITIZER
========= Barrier error detected. Divergent thread(s) in block.
=========     at [clone sum(int *)] outlineSync()+0x11f0 in kernel.cu:42
=========     by thread (32,0,0) in block (0,0,0)
=========         Device Frame: sum(int *)+0xe40 in kernel.cu:60
=========
========= ERROR SUMMARY: 32 errors
"""


def test_a_memory_error_has_its_kind_and_its_places():
    report = read(OUT_OF_BOUNDS, "memcheck")
    assert [found.kind for found in report.findings] == [
        "Invalid __global__ write of size 4 bytes"
    ] * 2
    assert report.findings[0].places == (
        "at scale(float *, const float *, long)+0x100 in kernel.cu:34",
        "Device Frame: scale_all(float *)+0x30 in kernel.cu:44",
    )
    assert report.findings[0].files == {"kernel.cu"}
    assert report.findings[1].files == frozenset()
    assert report.errors == 2
    assert report.complaints == ()


@pytest.mark.parametrize("tells", ["thread", "block", "Address", "1,024", "1 bytes", "Host"])
def test_what_tells_sizes_is_left_out(tells):
    assert tells not in str(read(OUT_OF_BOUNDS, "memcheck").findings[0])


def test_a_race_has_both_its_places_and_no_number():
    report = read(RACE, "racecheck")
    (found,) = report.findings
    assert "sum(int *)+0x90 in kernel.cu:41" in str(found)
    assert "and Read access at sum(int *)+0x100 in kernel.cu:51" in str(found)
    assert "508" not in str(found)
    assert report.errors == 1


def test_a_race_within_a_warp_is_a_warning_and_no_finding():
    warned = RACE.replace("Error: ", "Warning: ").replace("(1 error, 0", "(0 errors, 1")
    report = read(warned, "racecheck")
    assert report.findings == report.complaints == ()
    assert report.errors == 0


def test_reads_of_what_nobody_wrote_are_counted_with_those_not_printed():
    report = read(UNINITIALISED, "initcheck")
    assert report.findings[0].kind == "Uninitialized __global__ memory read of size 4 bytes"
    assert report.errors == 1096
    assert report.complaints == ()


def test_a_barrier_that_not_all_reach_is_a_finding():
    report = read(BARRIER, "synccheck")
    assert report.findings[0].kind == "Barrier error detected. Divergent thread(s) in block."
    assert report.findings[0].places[-1] == "Device Frame: sum(int *)+0xe40 in kernel.cu:60"


@pytest.mark.parametrize(
    ("summary", "tool"),
    [
        ("ERROR SUMMARY: 0 errors", "memcheck"),
        ("RACECHECK SUMMARY: 0 hazards displayed (0 errors, 0 warnings)", "racecheck"),
    ],
)
def test_a_clean_report_counts_none(summary, tool):
    report = read(f"========= COMPUTE-SANITIZER\n========= {summary}\n", tool)
    assert (report.findings, report.complaints, report.errors) == ((), (), 0)


@pytest.mark.parametrize("text", ["", "garbage\n", "========= COMPUTE-SANITIZER\n", RACE[:60]])
def test_a_report_that_was_cut_off_counts_nothing(text):
    assert read(text, "racecheck").errors is None


@pytest.mark.parametrize(
    "said",
    [
        "Error: Target application terminated before first instrumented API call",
        "Error: No attachable process found. compute-sanitizer timed-out.",
        "Program hit CUDA_ERROR_UNKNOWN (error 999) due to x on CUDA API call to cuMemAlloc_v2.",
        "ERROR SUMMARY: several errors",
        "Something new",
    ],
)
def test_what_is_not_known_is_a_complaint(said):
    report = read(f"========= COMPUTE-SANITIZER\n========= {said}\n", "memcheck")
    assert report.complaints == (said,)
    assert not report.doubted


@pytest.mark.parametrize(
    "said",
    [
        "Warning: Detected overflow of tracked cuda::barrier structures. Results might be "
        "incorrect. Try using --num-cuda-barriers to fix the issue",
        "Internal Sanitizer Error: The Sanitizer encountered an error while launching scale and "
        "didn't track the launch. Errors might go undetected.",
    ],
)
def test_what_the_tool_doubts_itself_is_doubted(said):
    assert read(f"{RACE}========= {said}\n", "racecheck").doubted


def test_of_what_came_after_hidden_workloads_nothing_is_shown():
    text = OUT_OF_BOUNDS + "========= a size is 4711\n"
    second = text.index("========= Invalid", 100)
    early, late = read(text, "memcheck", shown=second).findings
    assert "kernel.cu:34" in str(early)
    assert str(late).startswith("an error that is not shown")
    report = read(text, "memcheck", shown=0)
    assert "Invalid" not in str(report.findings[0])
    assert report.complaints[0].startswith("something that is not shown")
    # What decides whose it is does not depend on it.
    assert report.findings[0].files == {"kernel.cu"}


def test_what_leaves_no_room_for_other_words_is_shown_late_too():
    said = "Error: process didn't terminate successfully"
    assert read(f"========= {said}\n", "memcheck", shown=0).complaints == (said,)


def test_a_line_that_goes_on_later_is_no_part_of_what_is_shown():
    begun = "========= Invalid __global__ write of size 4 bytes\n"
    report = read(f"{begun}=========     at secret in 4711:1\n", "memcheck", len(begun))
    assert "4711" not in f"{report.findings[0]} {report.complaints}"


def test_nothing_that_is_shown_can_hide_or_is_long():
    text = f"========= Invalid __global__ \x1b[2J\x90‮ {'x' * 5000}\n"
    (found,) = read(text.encode().decode("latin-1"), "memcheck").findings
    assert len(str(found)) == 200
    assert str(found)[:-1].isascii()
    assert str(found).isprintable()
