"""What a writer is told about each verdict."""

import itertools

import pytest

from kernelwright.core.diagnosis import Diagnosis, Figure
from kernelwright.core.evaluation import (
    BuildFailed,
    Crashed,
    Measurement,
    Mismatch,
    Passed,
    Rejected,
    TimedOut,
    WrongResult,
)
from kernelwright.generate.causes import likely_causes
from kernelwright.generate.feedback import LONGEST, diagnosis

from .conftest import PROBLEM, evaluation

GCC = """\
In file included from kw_shim.cpp:4:
kernel.cpp: In function ‘void kernel(const float*, float*, int64_t)’:
kernel.cpp:2:44: error: ‘relu’ was not declared in this scope
    2 |   for (int64_t i = 0; i < n; ++i) out[i] = relu(x[i]);
      |                                            ^~~~
kernel.cpp:3:10: warning: unused variable ‘q’ [-Wunused-variable]
    3 |     int q;
      |         ^
"""


def said(outcome):
    text = diagnosis(evaluation(outcome), PROBLEM)
    assert len(text) <= LONGEST
    return text


def mismatch(kind="wrong_value", *, workload="s0", split="search", **changes):
    values = {
        "workload_id": workload,
        "split": split,
        "distribution": "normal",
        "output": "out0",
        "kind": kind,
        "matched_ratio": 0.75,
        "detail": "element 16 is 0, expected 3.5",
    }
    return Mismatch(**(values | changes))


def measured(subject, ns, regime="returned"):
    blocks = itertools.cycle([0.99, 1.0, 1.01])
    return Measurement(
        workload_id="report",
        subject=subject,
        regime=regime,
        calls=(10,) * 30,
        elapsed_ns=tuple(int(10 * ns * next(blocks)) for _ in range(30)),
        overhead_ns=0,
    )


def test_a_failed_build_shows_the_errors_with_their_lines_and_not_the_noise():
    text = said(BuildFailed(diagnostics=GCC))
    assert "kernel.cpp:2:44: error: ‘relu’ was not declared in this scope" in text
    assert "|   for (int64_t i = 0; i < n; ++i) out[i] = relu(x[i]);" in text
    assert "unused" not in text
    assert "In file included" not in text
    assert "Write it out: max(x, 0)" in text


def test_hundreds_of_errors_are_five():
    lines = "\n".join(f"kernel.cpp:{n}:1: error: thing {n} is wrong" for n in range(300))
    text = said(BuildFailed(diagnostics=lines))
    assert "thing 4 is wrong" in text
    assert "thing 5 is wrong" not in text


def test_diagnostics_without_an_error_line_are_shown_as_they_are():
    assert "the linker fell over" in said(BuildFailed(diagnostics="the linker fell over\n"))


@pytest.mark.parametrize(
    ("message", "cause"),
    [
        ("error: 'sigmoid' was not declared in this scope", "1 / (1 + exp(-x))"),
        ("error: ‘max’ was not declared in this scope", "#include <algorithm>"),
        ("error: 'accumulate' is not a member of 'std'", "#include <numeric>"),
        ("error: 'TILE_N' was not declared in this scope", "// tunable: TILE_N = 64 in"),
        ("error: use of undeclared identifier 'frobnicate'", "`frobnicate` is used and never"),
        ('error: identifier "blk" is undefined', "`blk` is used and never defined"),
        ("fatal error: torch/extension.h: No such file or directory", "torch/extension.h"),
        ("error: expected '}' at end of input", "never closed"),
        ("error: expected ';' before 'float'", "not valid in its language"),
        ("undefined symbol: cblas_sgemm", "has no body here"),
        (
            'static assertion failed: write the function as: extern "C" void kernel(float* x)',
            "The signature is not the one",
        ),
        ("error: inlining failed in call to 'always_inline' '_mm512_abs_ph'", "CPU does not have"),
        ("error: redefinition of 'int main()'", "defined twice"),
        ("error: assignment of read-only location '*x'", "input is const"),
        (
            "AttributeError: module 'triton.language' has no attribute 'relu'",
            "Triton has no `relu`",
        ),
        ("NameError: name 'self' is not defined", "A kernel has no `self`"),
        ("ModuleNotFoundError: No module named 'cupy'", "package cupy is not there"),
        ("TypeError: forward() missing 1 required positional argument", "same arguments as Model"),
        ("kernel.py: there is no class ModelNew. Define", "must define the class ModelNew"),
        ("kernel.py:3: invalid syntax", "not valid in its language"),
    ],
)
def test_a_message_gets_its_likely_cause(message, cause):
    assert any(cause in sentence for sentence in likely_causes(message))


def test_causes_are_few_and_not_repeated():
    text = "\n".join(f"error: ‘name{n % 7}’ was not declared in this scope" for n in range(50))
    causes = likely_causes(text)
    assert len(causes) == len(set(causes)) == 4


def test_a_wrong_value_says_where_by_how_much_and_on_what():
    text = said(WrongResult(mismatches=(mismatch(),)))
    assert "out0 at rows = 3, cols = 17, inputs drawn 'normal'" in text
    assert "75.0% of its elements are right" in text
    assert "element 16 is 0, expected 3.5" in text


def test_a_wrong_tail_is_suspected_where_most_is_right_and_sizes_are_ragged():
    text = said(WrongResult(mismatches=(mismatch(),)))
    assert "partial tile" in text
    assert "no multiples of 8" in text
    even = said(WrongResult(mismatches=(mismatch(workload="s1"),)))
    assert "no multiples of 8" not in even


def test_a_wrong_formula_is_suspected_where_nothing_is_right():
    text = said(WrongResult(mismatches=(mismatch(matched_ratio=0.0),)))
    assert "wrong formula" in text
    assert "partial tile" not in text


def test_one_kind_of_input_that_fails_alone_is_a_hint():
    alone = mismatch(distribution="heavy")
    assert "fails on 'heavy' inputs only" in said(WrongResult(mismatches=(alone, alone)))
    both = said(WrongResult(mismatches=(alone, mismatch())))
    assert "inputs only" not in both


@pytest.mark.parametrize(
    ("kind", "hint"),
    [
        ("nonfinite", "Subtract the maximum before exp"),
        ("unwritten", "never written"),
        ("out_of_bounds_write", "beyond the end of the output"),
        ("input_mutated", "changes its inputs"),
        ("precision", "Keep sums in float"),
        ("nondeterministic", "race between threads"),
        ("wrong_shape", "another shape"),
        ("wrong_dtype", "another dtype"),
    ],
)
def test_each_kind_of_mismatch_has_its_hint(kind, hint):
    assert hint in said(WrongResult(mismatches=(mismatch(kind),)))


def test_of_hidden_workloads_only_the_class_is_told():
    hidden = mismatch(
        "nonfinite", workload="h0", split="hidden", detail="cols = 31337", output="out0",
        distribution="sparse", traits=("tail", "unaligned"),
    )  # fmt: skip
    text = said(WrongResult(mismatches=(hidden,)))
    assert "on inputs that are not shown: nonfinite, inputs drawn 'sparse' (an axis that" in text
    assert "to no vector)" in text
    assert "do not rely on any size" in text
    for secret in ("31337", "h0", "75.0%"):
        assert secret not in text


def test_many_mismatches_are_counted_and_not_listed():
    text = said(WrongResult(mismatches=(mismatch(),) * 11))
    assert "and 7 more like these" in text


@pytest.mark.parametrize(
    ("signal", "hint"),
    [("SIGSEGV", "last, partial tile"), ("SIGFPE", "integer by zero"), ("SIGILL", "instruction")],
)
def test_a_crash_says_the_signal_and_what_is_behind_it(signal, hint):
    text = said(Crashed(stage="core", signal=signal, detail="On workload s0 (rows=3, cols=17)."))
    assert f"died on the inputs of the full check, with {signal}" in text
    assert hint in text
    assert "rows=3" in text


def test_a_crash_on_hidden_inputs_does_not_tell_what_was_printed_there():
    detail = "On a hidden workload (size_one, x): it ended.\nmy sizes are 5 and 31337"
    text = said(Crashed(stage="core", signal="SIGSEGV", detail=detail))
    assert "On inputs that are not shown (an axis of size 1)." in text
    assert "31337" not in text


def test_a_crash_of_python_gets_the_cause_of_its_message():
    detail = "NameError: name 'tl' is not defined"
    text = said(Crashed(stage="load", signal=None, detail=detail))
    assert "died while it was loaded, with an error" in text
    assert "`tl` is used and never defined" in text


@pytest.mark.parametrize("stage", ["build", "load", "screen", "core", "timing", "sanitize"])
def test_a_time_out_says_the_stage_and_the_limit(stage):
    text = said(TimedOut(stage=stage, limit_s=5.0))
    assert "longer than 5 s" in text
    assert "Likely causes" in text


def test_a_rejection_says_the_rule_and_its_evidence():
    text = said(Rejected(rule="forged_reply", evidence="It wrote to a pipe."))
    assert "'forged_reply'" in text
    assert "It wrote to a pipe." in text


def test_a_pass_says_how_fast_against_each_baseline_and_how_much_was_moved():
    outcome = Passed(
        agreements=(),
        measurements=(
            measured("candidate", 1_000_000),
            measured("eager", 3_000_000),
            measured("torch.compile", 500_000),
            measured("control", 3_000_000),
            measured("candidate", 400_000, "buffer"),
        ),
    )
    text = said(outcome)
    assert "right on every case" in text
    # 2 million floats are read and as many written: 16 MB in 1 ms and in 0.4 ms.
    assert "1 ms a call at rows = 1000, cols = 2000" in text
    assert "16 MB, so it moves 16 GB/s" in text
    assert "40 GB/s" in text
    assert "- eager: 3 ms, so this is 3 times as fast" in text
    assert "faster" in text
    assert "- torch.compile: 0.5 ms, so this is 0.5 times as fast" in text
    assert "slower" in text
    assert "control" not in text


def test_a_pass_says_what_limits_it_with_figures_headroom_and_hints():
    profile = Diagnosis(
        bottleneck="not_vectorised",
        figures=(Figure(name="loops that compute", value=2),),
        headroom=7.25,
        hints=("Make the rounds independent.",),
    )
    text = said(Passed(agreements=(), profile=profile))
    assert "not vectorised: A loop of it computes one element at a time. (loops that" in text
    assert "loops that compute: 2" in text
    assert "more than 7.25 times as fast" in text
    assert "- Make the rounds independent." in text


def test_a_pass_whose_limit_is_not_known_has_no_word_about_it():
    text = said(Passed(agreements=(), profile=Diagnosis(bottleneck="unknown")))
    assert text == said(Passed(agreements=()))


def test_a_pass_without_times_says_so():
    assert "It was not timed." in said(Passed(agreements=()))


@pytest.mark.parametrize(
    "outcome",
    [
        BuildFailed(diagnostics="error: " + "x" * 100_000),
        Crashed(stage="load", signal=None, detail="y" * 100_000),
        Rejected(rule="r", evidence="z" * 100_000),
        Rejected(rule="r" * 100_000, evidence="z"),
        WrongResult(mismatches=(mismatch(detail="w" * 100_000),) * 4),
        BuildFailed(diagnostics=""),
    ],
)
def test_no_verdict_makes_a_long_diagnosis(outcome):
    assert said(outcome)
