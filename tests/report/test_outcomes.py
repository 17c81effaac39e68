import pytest

from kernelwright.core.evaluation import (
    BuildFailed,
    Crashed,
    Mismatch,
    Passed,
    Rejected,
    TimedOut,
    WrongResult,
)
from kernelwright.report.outcomes import reason, whole
from kernelwright.testing.runs import passed

WRONG = Mismatch(
    workload_id="h3", split="hidden", distribution="ties", output="out0", kind="nonfinite",
    matched_ratio=0.5, detail="element 7 is inf, expected 1",
)  # fmt: skip


@pytest.mark.parametrize(
    ("outcome", "line"),
    [
        (passed(1e6), "right on 18 cases of 2 workloads"),
        (Passed(agreements=passed(1e6).agreements), "right on 18 cases of 2 workloads, not timed"),
        (BuildFailed(diagnostics="In file k.cpp:\nk.cpp:3: error: no\nmore"), "k.cpp:3: error: no"),
        (BuildFailed(diagnostics="ld: cannot find -lfoo"), "ld: cannot find -lfoo"),
        (
            Crashed(stage="core", signal="SIGSEGV", detail="at address 0"),
            "died in core with SIGSEGV: at address 0",
        ),
        (TimedOut(stage="build", limit_s=60), "build took longer than 60 s"),
        (Rejected(rule="no_files", evidence="opened /etc/passwd"), "no_files: opened /etc/passwd"),
    ],
)
def test_each_outcome_says_why_in_one_line(outcome, line):
    assert reason(outcome) == line


def test_of_a_hidden_workload_only_the_class_of_the_mistake_is_told():
    for said in (reason(WrongResult(mismatches=(WRONG,))), whole(WrongResult(mismatches=(WRONG,)))):
        assert said == "out0: nonfinite on a hidden workload"


def test_of_a_search_workload_everything_is_told():
    seen = WRONG.model_copy(update={"split": "search"})
    said = reason(WrongResult(mismatches=(seen, seen, seen)))
    assert "h3, ties, 50.00% within tolerance; element 7 is inf, expected 1, and 2 more" in said


def test_a_compilers_words_are_kept_whole():
    text = "k.cpp:3: error: no\n    3 |  x\n      |  ^\n"
    assert whole(BuildFailed(diagnostics=text)) == text
