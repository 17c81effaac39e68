"""What the judge says about right, wrong, broken and hostile C++ candidates."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from kernelwright.core.candidate import Candidate
from kernelwright.core.errors import SandboxError, Unavailable, UnknownName, UsageError
from kernelwright.core.evaluation import (
    BuildFailed,
    Crashed,
    Evaluation,
    Passed,
    Rejected,
    TimedOut,
    WrongResult,
)
from kernelwright.core.statistics import by_subject, versus_best
from kernelwright.evaluate.judge import Judge
from kernelwright.evaluate.running import bodies

Cpp = Callable[[str], Candidate]


@pytest.fixture
def verdict(judge: Judge, cpp: Cpp) -> Callable[[str], Evaluation]:
    return lambda text: judge.judge(cpp(text), "search")


def inside(silu: str, statement: str) -> str:
    """The right kernel with `statement` before its loop."""
    return "#include <unistd.h>\n" + silu.replace("#pragma", statement + "\n    #pragma")


def kinds(evaluation: Evaluation) -> set[str]:
    assert isinstance(evaluation.outcome, WrongResult), evaluation.outcome
    return {mismatch.kind for mismatch in evaluation.outcome.mismatches}


def test_a_right_candidate_passes_with_paired_samples(judge, cpp, silu):
    evaluation = judge.judge(cpp(silu), "promotion")
    outcome = evaluation.outcome
    assert isinstance(outcome, Passed), outcome
    for regime in ("returned", "buffer"):
        subjects = by_subject(outcome.measurements, regime)
        assert set(subjects) == {"candidate", "eager", "torch.compile", "control"}
        assert len({len(m.calls) for m in subjects.values()}) == 1
        assert versus_best(outcome.measurements, regime) is not None
    assert {a.split for a in outcome.agreements} == {"search", "hidden", "report"}
    performed = {check.name: check.count for check in evaluation.checks}
    assert performed["timed outputs compared"] >= 30
    assert outcome.profile is not None
    assert outcome.profile.headroom is not None
    assert performed["sanitize calls compared with the float64 oracle"] > 0


def test_the_code_of_a_candidate_is_looked_at_whatever_its_verdict(judge, cpp, silu):
    found = judge.facts(cpp(silu.replace("0.5f", "0.5001f")))
    assert found is not None
    assert found.loops or found.not_known
    assert judge.facts(cpp('extern "C" void kernel() { oops; }')) is None


def test_a_wrong_value_is_found_at_the_screen(verdict, silu):
    evaluation = verdict(silu.replace("0.5f", "0.5001f"))
    assert kinds(evaluation) == {"wrong_value"}
    assert "core" not in evaluation.stage_s


def test_an_unwritten_tail_is_told_from_a_wrong_value(verdict, silu):
    assert "unwritten" in kinds(verdict(silu.replace("rows * columns;", "rows * columns - 8;")))


def test_a_write_past_the_end_is_caught(verdict, silu):
    text = silu.replace("}\n}", "}\n    out[rows * columns] = 0.0f;\n}")
    evaluation = verdict(text)
    caught = isinstance(evaluation.outcome, Crashed) or "out_of_bounds_write" in kinds(evaluation)
    assert caught


def test_a_read_far_past_the_end_is_a_crash_with_its_signal(verdict, silu):
    outcome = verdict(silu.replace("x[i]", "x[i + 100000000]")).outcome
    assert isinstance(outcome, Crashed)
    assert outcome.signal == "SIGSEGV"


def test_a_write_to_an_input_is_a_crash_that_says_so(verdict, silu):
    outcome = verdict(
        silu.replace("float v = x[i];", "float v = x[i]; ((float*)x)[i] = 0;")
    ).outcome
    assert isinstance(outcome, Crashed)
    assert "read-only" in outcome.detail


def test_arithmetic_in_a_narrower_type_is_caught(verdict, silu):
    narrow = silu.replace(
        "float v = x[i];",
        "uint32_t bits; memcpy(&bits, &x[i], 4); bits &= 0xFFFF0000u;"
        " float v; memcpy(&v, &bits, 4);",
    )
    assert kinds(verdict("#include <cstring>\n" + narrow)) <= {"wrong_value", "precision"}


def test_nan_is_not_taken_for_agreement(verdict, silu):
    nonsense = silu.replace("+ 0.5f;", '+ 0.5f; out[i] = __builtin_nanf("");')
    assert "nonfinite" in kinds(verdict(nonsense))


def test_a_compiler_error_comes_back_readable(verdict, silu):
    outcome = verdict(silu.replace("expf", "expff")).outcome
    assert isinstance(outcome, BuildFailed)
    assert "'expff' was not declared" in outcome.diagnostics.replace("‘", "'").replace("’", "'")
    assert "/tmp" not in outcome.diagnostics


def test_a_wrong_signature_shows_the_right_one(verdict, silu):
    outcome = verdict(silu.replace("float* out", "double* out")).outcome
    assert isinstance(outcome, BuildFailed)
    assert "const float* x, float* out, int64_t rows, int64_t columns" in outcome.diagnostics


def test_a_source_cannot_include_what_the_builder_cannot_see(verdict, silu):
    outcome = verdict('#include "/etc/passwd"\n' + silu).outcome
    assert isinstance(outcome, BuildFailed)
    assert "No such file" in outcome.diagnostics


def test_ending_the_process_with_success_is_no_success(verdict, silu):
    outcome = verdict(inside(silu, "_exit(0);")).outcome
    assert isinstance(outcome, Crashed)


def test_a_hang_is_a_time_out_and_the_next_candidate_is_unaffected(judge, cpp, verdict, silu):
    hang = inside(silu, "for (volatile int i = 0;; i = 1) {}")
    outcome = verdict(hang).outcome
    assert isinstance(outcome, TimedOut)
    assert isinstance(judge.judge(cpp(silu), "search").outcome, Passed)


def test_a_forged_reply_is_rejected_or_fails(verdict, silu):
    forge = inside(
        silu,
        "for (int fd = 3; fd < 16; fd++) {"
        " unsigned reply[6] = {0x4B57524E, 2, 0, 1, 0, 0}; write(fd, reply, sizeof reply); }"
        " return;",
    )
    outcome = verdict(forge).outcome
    assert isinstance(outcome, Rejected | WrongResult | Crashed)


def test_processes_cannot_be_started(verdict, silu):
    """A fork bomb gets an error from the first fork, where there is a filter."""
    bomb = inside(silu, "for (int i = 0; i < 100; i++) if (fork() >= 0) _exit(7);")
    evaluation = verdict(bomb)
    if evaluation.isolation == "process":
        pytest.skip("there is no system-call filter here")
    assert isinstance(evaluation.outcome, Passed)


def test_memory_is_limited(verdict, silu):
    greedy = inside(
        silu, "char* all = (char*)malloc(1ull << 38); if (all == nullptr) abort(); all[0] = 1;"
    )
    assert isinstance(verdict("#include <cstdlib>\n" + greedy).outcome, Crashed)


def test_a_remembered_answer_is_wrong_in_the_timed_calls(verdict, silu):
    """Right once per shape, then the same again: passes nothing that draws fresh inputs."""
    memo = silu.replace(
        "#pragma",
        "static int64_t seen = -1; if (seen == rows * columns) return; seen = rows * columns;\n"
        "    #pragma",
    )
    assert "unwritten" in kinds(verdict(memo))


def test_the_clock_never_says_less_than_a_call_took(judge, cpp, silu):
    """A call that waits for a millisecond takes a millisecond, however the blocks are cut."""
    wait = (
        "timespec begin, now; clock_gettime(CLOCK_MONOTONIC, &begin);"
        " do clock_gettime(CLOCK_MONOTONIC, &now); while ((now.tv_sec - begin.tv_sec) * 1000000000"
        " + now.tv_nsec - begin.tv_nsec < 1000000);"
    )
    evaluation = judge.judge(cpp("#include <ctime>\n" + inside(silu, wait)), "search")
    assert isinstance(evaluation.outcome, Passed)
    timed = by_subject(evaluation.outcome.measurements)["candidate"]
    assert min(timed.samples_ns) >= 1_000_000


def test_an_unknown_language_is_the_callers_mistake(judge, cpp, silu):
    with pytest.raises(UnknownName, match="Did you mean 'cpp'"):
        judge.judge(cpp(silu).model_copy(update={"language": "cp"}), "search")


def test_a_candidate_for_another_lane_is_the_callers_mistake(judge, cpp, silu):
    with pytest.raises(UsageError, match="lane='native'"):
        judge.judge(cpp(silu).model_copy(update={"lane": "module"}), "search")


def test_a_language_that_does_not_run_on_the_judges_device_is_named_with_where_it_does(
    judge, cpp, silu, monkeypatch
):
    monkeypatch.setattr("kernelwright.languages.cpp.Cpp.devices", ("cuda",))
    with pytest.raises(Unavailable, match="cpp candidates run on cuda, and this judge was opened"):
        judge.judge(cpp(silu), "search")


def test_a_runner_that_does_not_come_up_is_our_fault(judge, cpp, silu, monkeypatch):
    """A sandbox that breaks must never count against the candidate."""
    monkeypatch.setattr(bodies, "executable", lambda: Path("/bin/false"))
    with pytest.raises(SandboxError, match="did not come up"):
        judge.judge(cpp("// judged for the first time\n" + silu), "search")


def test_what_is_printed_is_shown_until_a_hidden_workload_was_seen(verdict, silu):
    """A late crash must not carry what was printed during hidden workloads, which are half of the
    calls, in a secret order. The screen has fewer calls than the one that crashes."""
    talk = 'printf("%ld rows\\n", long(rows)); fflush(stdout);'
    headers = "#include <cstdio>\n#include <cstdlib>\n"
    at_once = verdict(headers + inside(silu, talk + " abort();")).outcome
    count = "static int calls = 0; if (++calls == 25) abort();"
    late = verdict(headers + inside(silu, talk + count)).outcome
    assert isinstance(at_once, Crashed)
    assert isinstance(late, Crashed)
    assert " rows" in at_once.detail
    assert " rows" not in late.detail


def test_equal_text_with_other_settings_is_another_candidate(cpp, silu):
    one = cpp(silu)
    assert one.id == cpp(silu).id
    assert one.id != one.model_copy(update={"build_options": ("-O2",)}).id
