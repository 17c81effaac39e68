"""Verification of C++ candidates: what is caught where, and what gets by with a defence off."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import pytest

from kernelwright.agents.view import shareable, verdict_of
from kernelwright.core.evaluation import Crashed, Rejected, WrongResult
from kernelwright.evaluate.building.builder import Builder
from kernelwright.evaluate.correctness.cases import CaseSet
from kernelwright.evaluate.correctness.exam import Exam
from kernelwright.evaluate.correctness.notes import Verified
from kernelwright.evaluate.correctness.verify import Failure, run_stage
from kernelwright.evaluate.defences import ALL_ON, Defences
from kernelwright.evaluate.isolation.levels import isolation_level
from kernelwright.evaluate.running.bodies import body
from kernelwright.languages.cpp import Cpp
from kernelwright.testing.evaluators import evaluation_of, number_candidate


@dataclass
class Bench:
    """Builds and verifies one candidate at a time, without timing."""

    problem: object
    reference: object
    builder: Builder
    cpp: Callable[[str], object]
    folder: Path

    def exam(self, defences: Defences = ALL_ON) -> Exam:
        return Exam(self.problem, self.reference, defences)

    def run(
        self,
        text: str,
        lent: AbstractContextManager[CaseSet],
        defences: Defences = ALL_ON,
        *,
        stage: str = "core",
        build: str = "plain",
        threads: int | None = None,
    ) -> Verified | Failure:
        candidate, language = self.cpp(text), Cpp()
        if build == "races":
            plan = language.race_build(candidate, self.problem)
        else:
            plan = language.build(candidate, self.problem, sanitize=build == "memory")
        built = self.builder.build(plan)
        assert hasattr(built, "artifact"), built
        runner = body(
            built, "native", plan.environment, self.folder / "none",
            device="cpu", sanitize=build != "plain", thread_count=threads,
        )  # fmt: skip
        level, _ = isolation_level()
        with lent as cases:
            return run_stage(cases, runner, "native", stage, level, self.folder / "log", defences)


@pytest.fixture(scope="module")
def bench(problem, reference, cpp, tmp_path_factory) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("verify")
    level, _ = isolation_level()
    builder = Builder(folder, level)
    yield Bench(problem, reference, builder, cpp, folder)
    builder.close()


@pytest.fixture(scope="module")
def exam(bench) -> Iterator[Exam]:
    found = bench.exam()
    yield found
    found.close()


def before(silu: str, statement: str) -> str:
    return silu.replace("#pragma", statement + "\n    #pragma", 1)


REMEMBERS_BY_POINTER = """
    static const float* last; static float* kept;
    if (x == last) { memcpy(out, kept, rows * columns * 4); return; }
    last = x; kept = (float*)realloc(kept, rows * columns * 4 + 1);
    for (int64_t i = 0; i < rows * columns; i++) kept[i] = x[i] / (1.0f + expf(-x[i])) + 0.5f;
"""


def kinds(found: Verified | Failure) -> set[str]:
    assert isinstance(found, WrongResult), found
    return {mismatch.kind for mismatch in found.mismatches}


def test_a_right_candidate_passes_and_says_what_was_done(bench, exam, silu):
    found = bench.run(silu, exam.lend("core", "native"))
    assert isinstance(found, Verified), found
    assert {a.workload_id for a in found.agreements} > {"report", "empty", "one-first", "odd"}
    assert found.checks["core calls compared with the float64 oracle"] >= 40
    assert found.checks["repeated at another address, over another poison"] >= 20
    assert found.checks["calls with other bits than the first time"] == 0


def test_what_was_kept_by_pointer_is_wrong_at_the_screen(bench, exam, silu):
    text = before(silu, REMEMBERS_BY_POINTER)
    assert "wrong_value" in kinds(bench.run(text, exam.lend("screen", "native"), stage="screen"))


def test_without_shared_rows_what_was_kept_by_pointer_gets_by(bench, silu):
    off = Defences(same_address_new_content=False)
    exam = bench.exam(off)
    try:
        found = bench.run(before(silu, REMEMBERS_BY_POINTER), exam.lend("core", "native"), off)
        assert isinstance(found, Verified), found
    finally:
        exam.close()


@pytest.mark.parametrize("calls", [1, 5, 20])
def test_being_right_on_the_first_calls_alone_is_not_enough(bench, exam, silu, calls):
    cheat = before(silu, f"static int calls; if (calls++ >= {calls}) return;")
    assert "unwritten" in kinds(bench.run(cheat, exam.lend("core", "native")))


def test_being_wrong_at_the_report_size_alone_is_found_in_the_core(bench, exam, silu):
    cheat = silu.replace("0.5f", "(rows * columns >= 192 * 1024 ? 0.51f : 0.5f)")
    found = bench.run(cheat, exam.lend("core", "native"))
    assert "wrong_value" in kinds(found)
    # The order of calls is secret, and a few wrong ones are enough: the hidden size of this kind
    # (193 by 1025) may not have been asked by then.
    assert {m.workload_id for m in found.mismatches} <= {"report", "hidden"}


def test_what_may_be_told_comes_before_what_is_hidden(bench, exam, silu):
    found = bench.run(silu.replace("0.5f", "0.6f"), exam.lend("core", "native"))
    assert isinstance(found, WrongResult)
    told = [m.split == "hidden" for m in found.mismatches]
    assert told == sorted(told)
    assert all(
        (m.detail is None) == hidden for m, hidden in zip(found.mismatches, told, strict=True)
    )


def test_a_read_before_the_first_element_is_a_crash(bench, exam, silu):
    found = bench.run(silu.replace("x[i];", "x[i] + 0.0f * x[i - 1];"), exam.lend("core", "native"))
    assert isinstance(found, Crashed), found
    assert found.signal == "SIGSEGV"


def test_a_fault_on_a_hidden_size_says_what_is_special_there_and_no_size(bench, exam, silu):
    only_one_column = silu.replace("0.5f", "(columns == 1 && rows > 1 ? 0.6f : 0.5f)")
    found = bench.run(only_one_column, exam.lend("core", "native"))
    assert isinstance(found, WrongResult), found
    assert {m.workload_id for m in found.mismatches} == {"hidden"}
    assert all("size_one" in m.traits and m.detail is None for m in found.mismatches)
    dies = before(silu, "if (columns == 1 && rows > 1) __builtin_trap();")
    died = bench.run(dies, exam.lend("core", "native"))
    assert isinstance(died, Crashed), died
    assert re.match(r"On a hidden workload \(size_one\b[\w, ]*\): ", died.detail)


@pytest.mark.parametrize("where", ["columns == 1 && rows > 1", "rows * columns >= 192 * 1024"])
def test_what_is_printed_of_hidden_inputs_is_in_no_answer_to_an_agent(
    bench, exam, silu, problem, where
):
    prints = (
        'fprintf(stderr, "SEEN %ld %ld %.9g\\n", (long)rows, (long)columns, x[0]);'
        f"if ({where}) abort();"
    )
    found = bench.run("#include <cstdio>\n" + before(silu, prints), exam.lend("core", "native"))
    assert isinstance(found, Crashed), found
    evaluation = evaluation_of(number_candidate(1), found)
    evaluation = evaluation.model_copy(update={"log": found.detail})
    told = verdict_of(evaluation, problem)
    hidden = {tuple(w.axes.values()) for w in problem.workloads if w.split == "hidden"}
    said = told.model_dump_json() + shareable(evaluation, problem).model_dump_json()
    seen = re.findall(r"SEEN (\S+) (\S+) ", said)
    assert not hidden & {tuple(map(int, pair)) for pair in seen if "(…)" not in pair}
    if "columns == 1" in where:
        assert seen == []
        assert "an axis of size 1" in told.diagnosis


def test_a_kernel_that_is_right_where_it_is_aligned_alone_is_told_so(bench, exam, silu):
    text = silu.replace("0.5f", "((uintptr_t)x % 32 ? 0.6f : 0.5f)")
    for _ in range(8):  # the order is secret, and no aligned call may have come before the end
        found = bench.run(text, exam.lend("core", "native"))
        if all("unaligned" in m.traits for m in found.mismatches):
            return
    pytest.fail(f"it was not told: {found}")


def test_a_kernel_that_is_wrong_everywhere_is_not_told_that_alignment_is_to_blame(
    bench, exam, silu
):
    # Also where inputs are large, and a tenth more is within what errors are allowed.
    wrong = silu.replace("0.5f", "0.6f + 0.1f * v")
    found = bench.run(wrong, exam.lend("core", "native"))
    assert not any("unaligned" in m.traits for m in found.mismatches)


def test_an_aligned_vector_load_of_what_is_only_aligned_to_floats_is_a_crash(bench, exam, silu):
    text = "#include <immintrin.h>\n" + before(
        silu, "if (rows * columns >= 8) _mm256_store_ps(out, _mm256_load_ps(x));"
    )
    assert isinstance(bench.run(text, exam.lend("core", "native")), Crashed)


@pytest.mark.parametrize(
    ("statement", "rule", "said"),
    [
        ("__builtin_ia32_ldmxcsr(__builtin_ia32_stmxcsr() | 0x8040);",
         "floating_point_state", "flushed to zero"),
        ("__builtin_ia32_ldmxcsr(__builtin_ia32_stmxcsr() | 0x2000);",
         "floating_point_state", "rounding mode"),
        ("signal(SIGALRM, SIG_IGN);", "process_state", "another handler"),
        ("sigset_t all; sigfillset(&all); sigprocmask(SIG_BLOCK, &all, nullptr);",
         "process_state", "signals are blocked"),
        ("umask(0123);", "process_state", "umask"),
        ('(void)!chdir("/");', "process_state", "folder"),
        ('setenv("OMP_NUM_THREADS", "1", 1);', "process_state", "environment"),
    ],
)  # fmt: skip
def test_what_a_caller_would_notice_afterwards_is_rejected(
    bench, exam, silu, statement, rule, said
):
    headers = "#include <csignal>\n#include <sys/stat.h>\n#include <unistd.h>\n"
    # Set behind the loop and put back before it: its values would be wrong first.
    restored = before(silu, "__builtin_ia32_ldmxcsr(0x1F80);")
    text = headers + restored.replace("    }\n}", "    }\n    " + statement + "\n}")
    found = bench.run(text, exam.lend("screen", "native"), stage="screen")
    assert isinstance(found, Rejected), found
    assert (found.rule, said in found.evidence) == (rule, True)
    off = Defences(process_state=False)
    found = bench.run(text, exam.lend("screen", "native"), off, stage="screen")
    assert isinstance(found, Verified | WrongResult), found


def test_a_calling_thread_that_pins_itself_is_rejected(bench, exam, silu):
    pin = "cpu_set_t one; CPU_ZERO(&one); CPU_SET(0, &one); sched_setaffinity(0, sizeof one, &one);"
    found = bench.run(
        "#include <sched.h>\n" + before(silu, pin), exam.lend("screen", "native"), stage="screen"
    )
    assert isinstance(found, Rejected), found
    assert "other processors" in found.evidence


def test_threads_that_work_on_after_the_call_are_noticed_and_sleeping_ones_are_not(
    bench, exam, silu
):
    headers = "#include <thread>\n#include <chrono>\n"
    start = "static bool once = (std::thread([] {{ for (;;) {}; }}).detach(), true); (void)once;"
    busy = headers + before(silu, start.format('asm volatile("")'))
    nap = "std::this_thread::sleep_for(std::chrono::seconds(1))"
    found = bench.run(busy, exam.lend("audit", "native"))
    assert isinstance(found, Rejected), found
    assert "go on working" in found.evidence
    idle = headers + before(silu, start.format(nap))
    assert isinstance(bench.run(idle, exam.lend("audit", "native")), Verified)


def test_a_candidate_that_needs_all_its_threads_fails_with_one(bench, exam, silu):
    text = before(silu, "if (omp_get_max_threads() == 1) return;")
    assert "unwritten" in kinds(bench.run(text, exam.lend("audit", "native"), threads=1))
    assert isinstance(bench.run(silu, exam.lend("audit", "native"), threads=3), Verified)


SHARED = "    float v = 0;\n    #pragma omp parallel for"
RACES = {
    "a shared scratch variable": lambda silu: silu.replace(
        "    #pragma omp parallel for", SHARED
    ).replace("float v = x[i]", "v = x[i]"),
    "an accumulator without reduction": lambda silu: before(silu, "float total = 0;").replace(
        "float v = x[i];", "float v = x[i]; total += v;"
    ).replace("    }\n}", "    }\n    if (total == 12345.0f) out[0] = total;\n}"),
    "a missing barrier": lambda silu: silu.replace(
        "    #pragma omp parallel for\n",
        "    static float s[1 << 21];\n    #pragma omp parallel\n    {\n"
        "    #pragma omp for nowait\n"
        "    for (int64_t i = 0; i < rows * columns; i++) s[i] = x[i];\n    #pragma omp for\n",
    ).replace("float v = x[i];", "float v = s[rows * columns - 1 - i];").replace(
        "out[i]", "out[rows * columns - 1 - i]"
    ) + "}\n",
    "overlapping writes": lambda silu: silu.replace(
        "out[i] =", "if (i + 1 < rows * columns) out[i + 1] = 0; out[i] ="
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", RACES)
def test_a_race_is_found_whether_or_not_it_showed(bench, exam, silu, name):
    found = bench.run(
        RACES[name](silu), exam.lend("audit", "native"), stage="sanitize", build="races"
    )
    assert isinstance(found, Rejected), found
    assert found.rule == "data_race"


HONEST = {
    "plain": lambda silu: silu,
    "dynamic chunks": lambda silu: silu.replace("for\n", "for schedule(dynamic, 7)\n", 1),
    "two phases and a barrier": lambda silu: RACES["a missing barrier"](silu).replace(
        " nowait", ""
    ),
    "critical and atomic": lambda silu: before(silu, "double total = 0; long n = 0;").replace(
        "float v = x[i];",
        "float v = x[i];\n        #pragma omp critical\n        total += v;\n"
        "        #pragma omp atomic\n        n++;\n",
    ).replace("    }\n}", "    }\n    if (total == 12345.0 || n < 0) out[0] = 0;\n}"),
    "reduction": lambda silu: before(silu, "double total = 0;").replace(
        "parallel for\n", "parallel for reduction(+ : total)\n", 1
    ).replace("float v = x[i];", "float v = x[i]; total += v;").replace(
        "    }\n}", "    }\n    if (total == 12345.0) out[0] = 0;\n}"
    ),
    "a pool of std::thread": lambda silu: "#include <thread>\n" + silu.replace(
        "    #pragma omp parallel for\n    for (int64_t i = 0; i < rows * columns; i++) {",
        "    auto part = [=](int64_t first) {\n"
        "    for (int64_t i = first; i < rows * columns; i += 2) {",
    ).replace("    }\n}", "    }\n    };\n    std::thread other(part, 1);\n    part(0);\n"
              "    other.join();\n}"),
}  # fmt: skip


@pytest.mark.parametrize("name", HONEST)
def test_no_race_is_made_up(bench, exam, silu, name):
    found = bench.run(
        HONEST[name](silu), exam.lend("audit", "native"), stage="sanitize", build="races"
    )
    assert isinstance(found, Verified), found


def test_a_race_on_a_hidden_workload_tells_no_more_than_that(bench, exam, silu):
    hidden_only = RACES["overlapping writes"](silu).replace(
        "if (i + 1 <", "if (columns == 129 && i + 1 <"
    )
    found = bench.run(hidden_only, exam.lend("audit", "native"), stage="sanitize", build="races")
    assert isinstance(found, Rejected), found
    assert "kernel.cpp" not in found.evidence


def test_a_step_past_a_heap_block_is_found_on_a_hidden_size_too(bench, exam, silu):
    text = silu.replace("x[i];", "x[i + (columns == 129 && i == 0 ? -1 : 0)];")
    found = bench.run(text, exam.lend("audit", "native"), stage="sanitize", build="memory")
    assert isinstance(found, Crashed), found
    assert "kernel.cpp" not in found.detail
