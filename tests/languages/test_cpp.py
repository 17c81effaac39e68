"""C++ candidates: built for real, called through the judge's ABI, refused with a sentence."""

import ctypes
import os
import subprocess
import sys

import numpy as np
import pytest

from kernelwright.core.candidate import Tunable
from kernelwright.core.errors import BuildRefused
from kernelwright.core.formats import decode, storage_dtype
from kernelwright.core.problem import TensorSpec
from kernelwright.languages import cpp
from kernelwright.languages.cpp import Cpp
from kernelwright.languages.reading import candidate_from_text
from kernelwright.languages.shim import includes
from kernelwright.languages.signature import signature
from kernelwright.languages.sources import MAX_BYTES
from kernelwright.testing.languages import PROBLEM

pytestmark = pytest.mark.skipif(
    Cpp().missing("build") is not None, reason=str(Cpp().missing("build"))
)

WHOLE = """
// tunable: ROWS = 4 in {1, 4, 16}
extern "C" void kernel(
    const float* x, const bfloat16* other, double shift, bool flip, const float16* weight,
    const bool* mask, float* out, int64_t* best, int64_t rows, int64_t width) {
    std::vector<float> row(width);
    #pragma omp parallel for schedule(static, ROWS) firstprivate(row)
    for (int64_t r = 0; r < rows; ++r) {
        for (int64_t c = 0; c < width; ++c) {
            row[c] = x[r * width + c] * float(weight[c]) + float(other[r * width + c]);
            row[c] = (flip ? -row[c] : row[c]) + float(shift) * mask[r * 4];
            out[r * width + c] = row[c];
        }
        best[r] = std::max_element(row.begin(), row.end()) - row.begin();
    }
}
"""


def candidate(text, **changes):
    return candidate_from_text(PROBLEM, text, "cpp").model_copy(update=changes)


def call(library, tensors, axes):
    pointers = (ctypes.c_void_p * len(tensors))(*[t.ctypes.data for t in tensors])
    ctypes.CDLL(str(library)).kw_entry(pointers, (ctypes.c_int64 * len(axes))(*axes))


def test_a_candidate_with_every_kind_of_tensor_computes_what_it_says(carry_out):
    plan = Cpp().build(candidate(WHOLE), PROBLEM)
    built = carry_out(plan)
    assert built.status == 0, built.said
    rows, width = 5, 7
    rng = np.random.default_rng(0)
    x = rng.standard_normal((rows, width)).astype(np.float32)
    other = rng.integers(0x3F80, 0x4080, (rows, width)).astype(np.uint16)
    weight = rng.standard_normal(width).astype(np.float16)
    mask = rng.integers(0, 2, (rows, 4)).astype(np.uint8)
    out, best = np.full((rows, width), np.nan, np.float32), np.full(rows, -1)
    tensors = [x, other, np.array(0.5), np.array(True), weight, mask, out, best]
    call(built.folder / plan.artifact, tensors, (rows, width))
    want = -(x * weight.astype(np.float32) + decode(other, "bfloat16")) + 0.5 * mask[:, :1]
    np.testing.assert_allclose(out, want, rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(best, want.argmax(axis=1))


def test_no_candidate_needs_an_include(carry_out):
    text = """
    void kernel(const float* x, const bfloat16*, double, bool, const float16*, const bool*,
                float* out, int64_t* best, int64_t rows, int64_t width) {
        std::vector<int> a(3); std::array<int, 2> b{}; std::string s; std::tuple<int> t;
        std::pair<int, int> p; std::unique_ptr<int> u; std::function<void()> f;
        best[0] = std::accumulate(a.begin(), a.end(), INT64_C(0)) + omp_get_num_threads();
        out[0] = std::numeric_limits<float>::max() + FLT_MIN + expf(x[0]);
        std::memset(best, 0, 8); assert_free: printf("%ld", (long)rows); (void)width;
    }
    __attribute__((target("avx2"))) __m256 lanes(const float* x) { return _mm256_loadu_ps(x); }
    """
    built = carry_out(Cpp().build(candidate(text), PROBLEM))
    assert built.status == 0, built.said


def test_headers_are_added_only_for_what_a_text_uses():
    assert includes("std::exp(x)") == []
    assert includes("_mm512_add_ps(a, b)") == ["immintrin.h"]


SIGNATURE = signature(PROBLEM).declaration("kernel")


@pytest.mark.parametrize(
    ("name", "declared"),
    [
        ("as the guide says", SIGNATURE),
        ("without const", SIGNATURE.replace("const ", "")),
        ("with restrict", SIGNATURE.replace("* x", "* __restrict__ x")),
        ("with int sizes", SIGNATURE.replace("int64_t rows, int64_t width", "int rows, long w")),
        ("with a float scalar", SIGNATURE.replace("double shift", "float shift")),
        ("with raw bits", SIGNATURE.replace("bfloat16*", "uint16_t*").replace("bool*", "char*")),
        ("noexcept", f"{SIGNATURE} noexcept"),
    ],
)
def test_a_signature_that_cannot_go_wrong_is_accepted(carry_out, name, declared):
    built = carry_out(Cpp().build(candidate(f"{declared} {{}}"), PROBLEM))
    assert built.status == 0, built.said


@pytest.mark.parametrize(
    ("name", "declared"),
    [
        ("one size too few", SIGNATURE.replace(", int64_t width", "")),
        ("inputs swapped", SIGNATURE.replace("const float* x", "const double* x")),
        ("scalar and flag swapped", SIGNATURE.replace("double shift, bool", "bool flip2, double")),
        ("a constant output", SIGNATURE.replace("float* out", "const float* out")),
        ("a size as a double", SIGNATURE.replace("int64_t rows", "double rows")),
        ("a size too narrow", SIGNATURE.replace("int64_t rows", "int16_t rows")),
        ("a float tensor as bits", SIGNATURE.replace("const float* x", "const int* x")),
        ("another result", SIGNATURE.replace("void", "int")),
    ],
)
def test_another_signature_is_told_the_right_one(carry_out, name, declared):
    text = f"{declared} {{ __builtin_trap(); }} // void kernel("
    candidate_ = candidate("void kernel() {}")
    source = candidate_.source.model_copy(update={"files": {"kernel.cpp": text}})
    built = carry_out(Cpp().build(candidate_.model_copy(update={"source": source}), PROBLEM))
    assert built.status != 0
    assert f"write the function as: {SIGNATURE}" in built.said


def test_a_function_that_is_not_there_is_told_what_was_expected(carry_out):
    source = candidate("void kernel() {}").source
    source = source.model_copy(update={"files": {"kernel.cpp": "void kernal() {}"}})
    built = carry_out(Cpp().build(candidate("void kernel() {}", source=source), PROBLEM))
    assert "‘kernel’ was not declared" in built.said or "'kernel' was not declared" in built.said
    assert f"expected: {SIGNATURE}" in built.said


def test_diagnostics_name_the_candidates_own_file_and_line(carry_out):
    built = carry_out(
        Cpp().build(candidate(f"{SIGNATURE} {{\n    out[0] = relu(x[0]);\n}}"), PROBLEM)
    )
    assert "kernel.cpp:2:" in built.said
    assert "relu" in built.said


def test_math_functions_become_vector_code(carry_out):
    loop = "for (int64_t i = 0; i < width; ++i) out[i] = std::tanh(expf(x[i]));"
    plan = Cpp().build(candidate(f"{SIGNATURE} {{\n#pragma omp simd\n{loop}\n}}"), PROBLEM)
    built = carry_out(plan)
    symbols = subprocess.run(
        ["nm", "-D", str(built.folder / plan.artifact)], capture_output=True, text=True, check=True
    ).stdout
    if "x86_64" not in os.uname().machine or "GLIBC" not in symbols:
        pytest.skip("vector functions come with glibc on x86-64")
    assert "v_expf" in symbols


def test_small_numbers_are_not_flushed_to_zero(carry_out):
    # What -ffast-math would change for the whole process when the object is loaded.
    options = ("-fassociative-math", "-fno-signed-zeros", "-freciprocal-math")
    text = f"{SIGNATURE} {{ out[0] = x[0] * 0.5f; }}"
    plan = Cpp().build(candidate(text, build_options=options), PROBLEM)
    built = carry_out(plan)
    x, out = np.full(1, 1e-40, np.float32), np.zeros(1, np.float32)
    call(
        built.folder / plan.artifact, [x, x, np.array(0.0), x, x, x, out, np.zeros(1, int)], (1, 1)
    )
    assert out[0] == np.float32(0.5e-40)


def formats(problem_dtype):
    """A problem that copies a float tensor into one of `problem_dtype`, and back."""
    x = TensorSpec(name="x", shape=("n",), dtype="float32", role="input")
    raw = TensorSpec(name="raw", shape=("n",), dtype=problem_dtype, role="input")
    return PROBLEM.model_copy(
        update={
            "axes": ("n",),
            "inputs": (x, raw),
            "outputs": (
                raw.model_copy(update={"name": "narrow", "role": "output"}),
                x.model_copy(update={"name": "wide", "role": "output"}),
            ),
        }
    )


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float8_e4m3fn", "float8_e5m2"])
def test_narrow_types_convert_as_the_judge_does(carry_out, dtype):
    problem = formats(dtype)
    body = "for (int64_t i = 0; i < n; ++i) { narrow[i] = x[i]; wide[i] = raw[i]; }"
    text = f"{signature(problem).declaration('kernel')} {{ {body} }}"
    plan = Cpp().build(candidate_from_text(problem, text, "cpp"), problem)
    built = carry_out(plan)
    assert built.status == 0, built.said
    storage = storage_dtype(dtype)
    codes = np.arange(1 << (8 * storage.itemsize), dtype=f"u{storage.itemsize}").view(storage)
    values = decode(codes, dtype).astype(np.float32)
    # Every value of the type must come back, and every midpoint go to its even neighbour.
    ordered = np.unique(values[np.isfinite(values)])
    exact = (ordered[:-1].astype(np.float64) + ordered[1:]) / 2
    middles = exact.astype(np.float32)[exact == exact.astype(np.float32)]
    x = np.resize(np.concatenate([values, middles]), 2 * codes.size).astype(np.float32)
    raw = np.resize(codes, x.size)
    narrow, wide = np.zeros(x.size, raw.dtype), np.zeros(x.size, np.float32)
    call(built.folder / plan.artifact, [x, raw, narrow, wide], (x.size,))
    np.testing.assert_array_equal(wide, decode(raw, dtype).astype(np.float32))
    got = decode(narrow, dtype).astype(np.float64)
    same = np.isnan(x) | (got == x)
    assert same[: codes.size].all()
    assert np.isnan(got[np.isnan(x)]).all()
    below = ordered[np.clip(np.searchsorted(ordered, x[~same]) - 1, 0, None)]
    above = ordered[np.clip(np.searchsorted(ordered, x[~same]), None, ordered.size - 1)]
    assert ((got[~same] == below) | (got[~same] == above)).all()
    bits = narrow[~same].view(f"u{narrow.dtype.itemsize}")
    assert (bits % 2 == 0).all()


@pytest.mark.parametrize(
    ("dtype", "largest", "last_rounded_down", "overflow"),
    [
        ("float16", 65504.0, 65519.0, np.inf),
        ("float8_e4m3fn", 448.0, 464.0, np.nan),
        ("float8_e5m2", 57344.0, 61439.0, np.inf),
    ],
)
def test_a_value_too_large_becomes_what_torch_makes_of_it(
    carry_out, dtype, largest, last_rounded_down, overflow
):
    problem = formats(dtype)
    text = f"{signature(problem).declaration('kernel')} {{ while (n--) narrow[n] = x[n]; }}"
    plan = Cpp().build(candidate_from_text(problem, text, "cpp"), problem)
    built = carry_out(plan)
    beyond = np.nextafter(np.float32(last_rounded_down), np.float32(np.inf)) + 1
    x = np.array([last_rounded_down, beyond, 9e4, 2e6, np.inf, -9e4], np.float32)
    narrow = np.zeros(x.size, storage_dtype(dtype))
    call(built.folder / plan.artifact, [x, narrow, narrow, x], (x.size,))
    want = np.array([largest, *[overflow] * 4, -overflow], np.float32)
    np.testing.assert_array_equal(decode(narrow, dtype).astype(np.float32), want)


def test_the_sanitized_build_stops_at_the_first_step_past_an_end(carry_out):
    text = f"{SIGNATURE} {{ for (int64_t i = 0; i <= rows * width; ++i) out[i] = x[i]; }}"
    assert "heap-buffer-overflow" in run_sanitized(carry_out, text)


def test_the_sanitized_build_stops_at_undefined_behaviour(carry_out):
    text = f"{SIGNATURE} {{ int n = 2147483647; best[0] = n + (int)rows; }}"
    assert "signed integer overflow" in run_sanitized(carry_out, text)


def test_the_sanitized_build_lets_a_right_candidate_be(carry_out):
    assert run_sanitized(carry_out, WHOLE) == ""


HOST = """
import ctypes, sys
library = ctypes.CDLL(sys.argv[1])
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.calloc.restype = ctypes.c_void_p
sizes = [4 * 48, 2 * 48, 8, 8, 2 * 16, 4 * 3, 4 * 48, 8 * 3]
tensors = (ctypes.c_void_p * 8)(*[libc.calloc(1, size) for size in sizes])
library.kw_entry(tensors, (ctypes.c_int64 * 2)(3, 16))
"""


def run_sanitized(carry_out, text):
    plan = Cpp().build(candidate(text), PROBLEM, sanitize=True)
    built = carry_out(plan)
    assert built.status == 0, built.said
    environment = {"PATH": os.environ["PATH"], "PYTHONMALLOC": "malloc", **plan.environment}
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", HOST, str(built.folder / plan.artifact)],
        env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (done.returncode == 0) == (done.stderr == ""), done.stderr
    return done.stderr


@pytest.mark.parametrize(
    "option",
    ["-ffast-math", "-Ofast", "-I/etc", "-include", "-Wl,-z,now", "-fplugin=x.so", "-lcuda", "",
     "-O3 -ffast-math", "@options", "-o", "-shared\n-Ofast"],
)  # fmt: skip
def test_an_option_outside_the_list_is_refused(option):
    with pytest.raises(BuildRefused, match=r"is not allowed\. Allowed: -O"):
        Cpp().build(candidate(WHOLE, build_options=(option,)), PROBLEM)


def test_an_allowed_option_cannot_switch_the_sanitizers_off():
    plan = Cpp().build(candidate(WHOLE, build_options=("-O3",)), PROBLEM, sanitize=True)
    command = plan.commands[0]
    assert command.index("-O3") < command.index("-O1")
    assert "-fsanitize=address,undefined" in command


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("constexpr int ROWS = 4;", "defined in the text as well"),
        ("#define ROWS 4", "defined in the text as well"),
        ("int ROWS;", None),
        ("#ifndef ROWS\n#define ROWS 8\n#endif", None),
    ],
)
def test_a_tunable_that_the_text_overrides_is_refused(text, said):
    both = candidate(f"{text}\n{WHOLE}")
    if said is None:
        assert Cpp().build(both, PROBLEM)
        return
    with pytest.raises(BuildRefused, match=said):
        Cpp().build(both, PROBLEM)


def test_a_tunable_with_a_parameters_name_is_refused():
    axes = PROBLEM.model_copy(update={"axes": ("ROWS", "width")})
    with pytest.raises(BuildRefused, match="name of a parameter"):
        Cpp().build(candidate(WHOLE), axes)


def test_a_tunable_does_not_reach_our_headers(carry_out):
    tunable = Tunable(name="T", choices=(1, 2), default=1)
    built = carry_out(Cpp().build(candidate(WHOLE, tunables=(tunable, ROWS_4)), PROBLEM))
    assert built.status == 0, built.said


ROWS_4 = Tunable(name="ROWS", choices=(4,), default=4)


@pytest.mark.parametrize(
    ("files", "entry", "said"),
    [
        ({"kernel.cpp": "x" * (MAX_BYTES + 1)}, "kernel.cpp::kernel", "262,144 are allowed"),
        ({"kernel.cpp": "", "kw_shim.cpp": ""}, "kernel.cpp::kernel", "the build's own"),
        ({"kernel.cpp": "a\0b"}, "kernel.cpp::kernel", "NUL"),
        ({"kernel.cpp": "\ud800"}, "kernel.cpp::kernel", "lone surrogate"),
        ({"kernel.cpp": ""}, "other.cpp::kernel", "names a file that is not there"),
        ({"kernel.txt": ""}, "kernel.txt::kernel", "must end with '.cpp'"),
        ({"kernel.cpp": ""}, "kernel.cpp::f(){}//", "not an identifier"),
        ({"kernel.cpp": ""}, "kernel.cpp", "not an identifier"),
        ({"kernel.cpp": "", ".hidden": ""}, "kernel.cpp::kernel", "not plain"),
        ({"kernel.cpp": "", 'a".h': ""}, "kernel.cpp::kernel", "not plain"),
        ({f"{n}.cpp": "" for n in range(17)}, "0.cpp::kernel", "16 are allowed"),
    ],
)
def test_a_source_that_cannot_be_written_as_it_is_named_is_refused(files, entry, said):
    source = candidate(WHOLE).source.model_copy(update={"files": files, "entry_point": entry})
    with pytest.raises(BuildRefused, match=said):
        Cpp().build(candidate(WHOLE, source=source), PROBLEM)


def test_a_machine_without_a_compiler_is_told_what_to_install(monkeypatch, tmp_path):
    cpp._compiler_fault.cache_clear()
    monkeypatch.setenv("PATH", str(tmp_path))
    try:
        assert "apt-get install g++" in Cpp().missing("build")
    finally:
        cpp._compiler_fault.cache_clear()


def test_a_compiler_that_cannot_build_is_told_apart_from_none(monkeypatch, tmp_path):
    fake = tmp_path / "g++"
    fake.write_text("#!/bin/sh\necho 'fatal error: omp.h: No such file' >&2\nexit 1\n")
    fake.chmod(0o755)
    cpp._compiler_fault.cache_clear()
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    try:
        assert "is here but cannot build" in Cpp().missing("build")
        assert "omp.h" in Cpp().missing("build")
    finally:
        cpp._compiler_fault.cache_clear()


def test_the_guides_example_and_signature_compile(carry_out):
    guide = Cpp().guide(PROBLEM)
    blocks = [part.split("```")[0] for part in guide.split("```cpp\n")[1:]]
    built = carry_out(Cpp().build(candidate(f"{blocks[0]} {{}}"), PROBLEM))
    assert built.status == 0, built.said
    example = PROBLEM.model_copy(
        update={
            "axes": ("rows", "columns"),
            "inputs": (PROBLEM.inputs[0].model_copy(update={"shape": ("rows", "columns")}),
                       PROBLEM.inputs[2]),
            "outputs": (PROBLEM.outputs[0].model_copy(update={"shape": ("rows", "columns")}),),
        }
    )  # fmt: skip
    plan = Cpp().build(candidate_from_text(example, blocks[-1], "cpp"), example)
    built = carry_out(plan)
    assert built.status == 0, built.said
    x, out = np.arange(1, 7, dtype=np.float32), np.zeros(6, np.float32)
    call(built.folder / plan.artifact, [x, np.array(1.0), out], (2, 3))
    np.testing.assert_allclose(out, np.concatenate([x[:3] / 6, x[3:] / 15]) + 1, rtol=1e-6)
