"""One call on more than 2^31 elements: an index of 32 bits wraps there, and nowhere else."""

import time

import pytest

from kernelwright.core import names
from kernelwright.core.candidate import Candidate
from kernelwright.core.evaluation import Crashed
from kernelwright.core.problem import Source
from kernelwright.evaluate.building.builder import Builder
from kernelwright.evaluate.correctness import far
from kernelwright.evaluate.correctness.far import FarLook, look_far
from kernelwright.evaluate.correctness.reach import Reach, reaches
from kernelwright.evaluate.isolation.levels import isolation_level
from kernelwright.evaluate.running.bodies import body
from kernelwright.problems.reference import Reference

ROW_SUM = """
#include <vector>
extern "C" void kernel(const float* x, float* out, int64_t rows, int64_t dim) {
    WORKSPACE
    #pragma omp parallel for
    for (INDEX r = 0; r < rows; r++) {
        float sum = 0;
        for (INDEX i = 0; i < (INDEX)dim; i += 4096) { sum += x[r * (INDEX)dim + i]; EACH }
        out[r] = sum;
    }
}
"""


@pytest.fixture(scope="module")
def look(tmp_path_factory):
    """From an index type and a line of preparation to what was found on builtin:row_sum."""
    folder = tmp_path_factory.mktemp("far")
    level, _ = isolation_level()
    builder = Builder(folder, level)
    language = names.load("language", "cpp")()
    with Reference.open("builtin:row_sum") as reference:
        problem = reference.load()
        case = reference.case(problem.report_workload, "file", 1)

        def found(index, workspace="", each=""):
            text = ROW_SUM.replace("INDEX", index).replace("WORKSPACE", workspace)
            text = text.replace("EACH", each)
            source = Source(files={"kernel.cpp": text}, entry_point="kernel.cpp::kernel")
            candidate = Candidate(problem_id=problem.id, language="cpp", source=source)
            plan = language.build(candidate, problem)
            setup = folder / "problem.json"
            runner = body(builder.build(plan), "native", plan.environment, setup, device="cpu")
            return look_far(problem, case, runner, level, folder / "log")

        yield found
    builder.close()


def test_an_index_of_64_bits_is_fine(look):
    assert look("int64_t") == FarLook(reached=3, not_learnt=())


def test_nobody_waits_for_a_call_that_has_come_far_enough(look):
    started = time.monotonic()
    walks_on = 'for (int s = 0; s < 1 << 20; s++) asm volatile("");'  # for days, in all
    assert look("int64_t", each=f"if (rows > 100000) {{ {walks_on} }}").reached == 3
    assert time.monotonic() - started < 15


def test_four_threads_share_the_rows(look):
    crashed = look("int64_t", "if (rows > 100000 && omp_get_max_threads() == 4) "
                   "((volatile float*)x)[-4096];")  # fmt: skip
    assert isinstance(crashed, Crashed)
    assert "With rows 7168 times as large" in crashed.detail


def test_what_is_wrong_only_after_a_walk_through_everything_is_found_with_just_enough_rows(look):
    first = "for (int64_t j = 0; rows > 100000 && j < rows * dim; j += 1 << 12) out[0] += x[j];"
    spin = "for (volatile int64_t s = 0; s < INT64_MAX; s++);"
    crashed = look("int", first + "if (rows > 4000000) " + spin)  # 7168 times as many
    assert isinstance(crashed, Crashed)
    assert "With rows 1393 times as large" in crashed.detail


def test_an_index_of_32_bits_is_found_and_told_what_to_do(look):
    crashed = look("int")
    assert isinstance(crashed, Crashed)
    assert crashed.signal == "SIGSEGV"
    assert "int64_t" in crashed.detail


def test_a_workspace_that_cannot_be_had_accuses_nobody(look):
    said = look("int64_t", "if (rows > 100000) *(volatile int*)nullptr = 1;")
    assert said == FarLook(
        reached=1,
        not_learnt=tuple(
            f"with rows {times} times as large, the call did not come to an end (crashed)"
            for times in (7168, 1393)
        ),
    )


def test_a_workspace_as_long_as_the_tensors_does_not_fill_the_machine(look):
    said = look("int64_t", "std::vector<float> own(rows > 100000 ? rows * dim : 1);")
    assert [why.partition(", ")[2] for why in said.not_learnt] == [
        "the call did not come to an end (crashed)"
    ] * 2


def test_what_runs_over_a_buffer_of_its_own_accuses_no_tensor(look):
    said = look("int64_t", "std::vector<float> own(1 << 24); volatile float* at = own.data(); "
                "for (int64_t i = 0; rows > 100000; i++) at[i] = 1;")  # fmt: skip
    assert isinstance(said, FarLook)
    assert "crashed" in said.not_learnt[0]


def test_a_workspace_as_long_as_the_rows_hides_nothing_when_rows_are_longer_instead(look):
    crashed = look("int", "std::vector<double> own(rows > 100000 ? (size_t)rows * 4096 : 1);")
    assert isinstance(crashed, Crashed)
    assert "With dim 7168 times as large" in crashed.detail


def test_a_slow_kernel_is_not_waited_for_and_nobody_says_that_it_is_fine(look, monkeypatch):
    monkeypatch.setattr(far, "_CALL_LIMIT_S", 3.0)
    started = time.monotonic()
    said = look("int64_t", 'if (rows > 100000) for (;;) asm volatile("");')
    assert said.reached == 1
    assert "none wrapped in 3 s of a call, and no more was waited for" in said.not_learnt[0]
    assert time.monotonic() - started < 60


def test_a_slow_kernel_whose_index_wraps_is_found_where_its_second_thread_begins(look):
    crashed = look("int", each="for (volatile int spent = 0; spent < 50; spent++);")
    assert isinstance(crashed, Crashed)


@pytest.fixture(scope="module")
def row_sum():
    with Reference.open("builtin:row_sum") as reference:
        yield reference.load()


def test_rows_are_made_more_for_four_threads_and_longer_for_one(row_sum):
    assert reaches(row_sum) == [
        Reach("rows", 7168, 4), Reach("rows", 1393, 4), Reach("dim", 7168, 1)
    ]  # fmt: skip


def test_a_tensor_that_is_much_smaller_gets_a_call_in_which_it_wraps_too(row_sum):
    sizes = {"rows": 1024, "dim": 8}
    small = row_sum.model_copy(
        update={"workloads": tuple(w.model_copy(update={"axes": sizes}) for w in row_sum.workloads)}
    )
    by_rows = [way.times * 1024 for way in reaches(small) if way.axis == "rows"]
    assert [rows * 8 // 2**31 for rows in by_rows] == [7, 1, 10]  # and out has an eighth of that
    assert by_rows[-1] > 2**31


def test_an_axis_that_comes_second_is_not_one_of_rows(row_sum):
    x = row_sum.inputs[0].model_copy(update={"shape": ("dim", "rows")})
    assert reaches(row_sum.model_copy(update={"inputs": (x,)})) == [Reach("rows", 7168, 1)]


def test_an_axis_that_a_tensor_has_twice_is_not_repeated(row_sum):
    x = row_sum.inputs[0].model_copy(update={"shape": ("dim", "dim")})
    ways = reaches(row_sum.model_copy(update={"inputs": (x,)}))
    assert {way.axis for way in ways} == {"rows"}


def test_rows_are_not_made_longer_where_another_axis_may_follow_from_them(row_sum):
    x = row_sum.inputs[0].model_copy(update={"shape": ("rows", "n0", "dim")})
    sizes = {**row_sum.report_workload.axes, "n0": 2}
    turned = row_sum.model_copy(
        update={
            "inputs": (x,),
            "axes": (*row_sum.axes, "n0"),
            "workloads": tuple(w.model_copy(update={"axes": sizes}) for w in row_sum.workloads),
        }
    )
    assert {way.threads for way in reaches(turned)} == {4}
