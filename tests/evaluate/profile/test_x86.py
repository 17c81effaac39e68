"""What is read from a disassembly: of text made up, and of loops that g++ compiles here."""

import shutil
import subprocess

import pytest

from kernelwright.evaluate.profile.x86 import hot, loops
from kernelwright.languages.cpp import Cpp

missing = Cpp().missing("build") or (
    None if shutil.which("objdump") else "objdump is not installed (Debian: binutils)"
)
compiled = pytest.mark.skipif(missing is not None, reason=str(missing))

# Not -march=native: what is asserted must not depend on the processor that the tests run on.
OPTIONS = ["-std=c++17", "-O3", "-mavx2", "-mfma", "-fPIC", "-shared", "-fno-math-errno",
           "-fno-trapping-math"]  # fmt: skip

VECTORISED = """
extern "C" void kernel(const float* __restrict x, float* __restrict y, long n) {
    for (long i = 0; i < n; i++) y[i] = x[i] * 2.0f + 1.0f;
}
"""
# Each round needs the result of the one before it.
RECURRENCE = """
extern "C" void kernel(const float* __restrict x, float* __restrict y, long n) {
    float s = 0;
    for (long i = 0; i < n; i++) { s = s * 2.0f + x[i]; y[i] = s; }
}
"""
STRIDED = """
extern "C" void kernel(const float* __restrict x, float* __restrict y, long rows, long columns) {
    for (long c = 0; c < columns; c++) {
        float s = 0;
        for (long r = 0; r < rows; r++) s += x[r * columns + c];
        y[c] = s;
    }
}
"""
# The sum of the vector's parts, in the outer loop, is scalar: it runs once for a row.
ROW_SUMS = """
extern "C" void kernel(const float* __restrict x, float* __restrict y, long rows, long columns) {
    for (long r = 0; r < rows; r++) {
        float s = 0;
        #pragma omp simd reduction(+ : s)
        for (long c = 0; c < columns; c++) s += x[r * columns + c] * x[r * columns + c];
        y[r] = s;
    }
}
"""
CALLING = """
#include <cmath>
extern "C" void kernel(const float* __restrict x, float* __restrict y, long n) {
    for (long i = 0; i < n; i++) y[i] = std::exp(x[i]);
}
"""


@pytest.fixture
def hot_loops(tmp_path):
    def compile_and_read(text, *options):
        source, made = tmp_path / "k.cpp", tmp_path / "k.so"
        source.write_text(text)
        subprocess.run(["g++", *OPTIONS, *options, source, "-o", made], check=True)
        said = subprocess.run(
            ["objdump", "-d", "--no-show-raw-insn", "-M", "intel", made],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        return hot(loops(said))

    return compile_and_read


@compiled
def test_a_loop_over_neighbours_is_vectorised_and_what_remains_is_left_out(hot_loops):
    (loop,) = hot_loops(VECTORISED)
    assert loop.vectorised
    assert (loop.loads, loop.stores, loop.packed, loop.fma, loop.scalar) == (1, 1, 1, 1, 0)
    assert loop.widths == {256: 1}
    assert not loop.strided


@compiled
def test_what_an_outer_loop_does_around_it_is_not_part_of_a_loop(hot_loops):
    (loop,) = hot_loops(ROW_SUMS, "-fopenmp")
    assert loop.vectorised
    assert (loop.fma, loop.scalar) == (1, 0)


@compiled
def test_the_same_loop_told_not_to_is_scalar(hot_loops):
    (loop,) = hot_loops(VECTORISED, "-fno-tree-vectorize")
    assert not loop.vectorised
    assert (loop.packed, loop.scalar, loop.fma) == (0, 1, 1)


@compiled
def test_a_loop_whose_rounds_wait_for_each_other_is_scalar(hot_loops):
    (loop,) = hot_loops(RECURRENCE)
    assert not loop.vectorised


@compiled
def test_a_walk_down_a_column_is_strided(hot_loops):
    assert any(loop.strided for loop in hot_loops(STRIDED))


@compiled
def test_a_step_that_the_compiler_knows_is_strided_too(hot_loops):
    text = STRIDED.replace("r * columns", "r * 1000")
    assert any(loop.strided for loop in hot_loops(text))


@compiled
def test_a_function_of_libm_is_named(hot_loops):
    (loop,) = hot_loops(CALLING)
    assert loop.calls == {"expf": 1}
    assert loop.computes
    assert not loop.vectorised


@compiled
def test_a_maximum_that_is_a_comparison_and_a_choice_counts(hot_loops):
    text = VECTORISED.replace("x[i] * 2.0f + 1.0f", "x[i] > 0 ? x[i] : 0")
    (loop,) = hot_loops(text)
    assert loop.vectorised


def listing(*lines, name="kernel", start=0x1000):
    body = [f"    {start + 4 * at:x}:\t{line}" for at, line in enumerate(lines)]
    return "\n".join([f"{start:016x} <{name}>:", *body])


def test_only_the_innermost_loop_counts():
    text = listing(
        "vmulss xmm0,xmm0,xmm1",
        "vaddps ymm0,ymm0,ymm1",
        "jne    1004 <kernel+0x4>",
        "jne    1000 <kernel>",
    )
    (loop,) = loops(text)
    assert (loop.address, loop.packed, loop.scalar, loop.branches) == (0x1004, 1, 0, 1)


def test_a_jump_forwards_or_out_of_the_function_makes_no_loop():
    assert loops(listing("jne    1008 <kernel+0x8>", "jmp    900 <other>", "ret")) == ()


def test_the_compilers_own_functions_are_left_out():
    text = listing("vaddss xmm0,xmm0,xmm1", "jne    1000 <frame_dummy>", name="frame_dummy")
    assert loops(text) == ()


def test_one_vector_among_scalar_operations_or_calls_is_not_vectorised():
    """A sum in its order: the products are a vector, and each is added by itself."""
    mixed = listing(*["vmulps ymm0,ymm0,ymm0", *["vaddss xmm1,xmm1,xmm0"] * 8], "jne    1000 <k>")
    assert not loops(mixed)[0].vectorised
    calling = listing("vaddps xmm0,xmm0,xmm1", "call   900 <expf@plt>", "jne    1000 <k>")
    assert not loops(calling)[0].vectorised


def test_a_scalar_loop_of_its_own_is_not_taken_for_what_remains():
    wide = ("vaddps ymm0,ymm0,YMMWORD PTR [rdi+rax*1]", "jne    1000 <kernel>")
    other = ("vdivss xmm0,xmm0,xmm1", "jne    1008 <kernel+0x8>")
    assert [loop.vectorised for loop in hot(loops(listing(*wide, *other)))] == [True, False]
    rest = ("vaddss xmm0,xmm0,xmm1", "jne    1008 <kernel+0x8>")
    assert [loop.vectorised for loop in hot(loops(listing(*wide, *rest)))] == [True]


def test_a_loop_that_was_copied_into_a_caller_counts_once():
    lines = ("vaddss xmm0,xmm0,xmm1", "jne    1000 <k>")
    there = listing(*lines, name="kernel")
    copied = listing(*[line.replace("1000", "2000") for line in lines], name="entry", start=0x2000)
    assert [loop.function for loop in hot(loops(f"{there}\n\n{copied}"))] == ["kernel"]
    twice = listing(*lines, "vaddss xmm0,xmm0,xmm1", "jne    1008 <k>")
    assert len(hot(loops(twice))) == 2


def test_a_backward_walk_over_neighbours_is_not_strided():
    near = listing(
        "vaddss xmm0,xmm0,DWORD PTR [rax]",
        "add    rax,0xfffffffffffffffc",
        "jne    1000 <kernel>",
    )
    assert not loops(near)[0].strided
    assert loops(near.replace("fffc", "ff00"))[0].strided


def test_nothing_to_read_is_no_loop():
    assert loops("") == ()
    assert loops("objdump: k.so: file format not recognized") == ()
