"""What the C++ sketches draft computes what the program computes, at every size."""

import platform
import re
import shutil
import subprocess

import pytest
import torch

from kernelwright.knowledge.sketches.cpp.kernel import pieces

NAMES = [
    "rmsnorm_silu", "softmax", "log_softmax", "masked_softmax", "layer_norm",
    "layer_norm_of_two_dimensions", "group_norm", "instance_norm", "statistics_over_a_batch",
    "bias_gelu", "bias_for_each_channel", "swiglu", "gate_of_a_slice", "logsumexp",
    "the_maximum_of_another_row",
    "cross_entropy", "positions", "several_outputs", "over_the_middle", "over_the_first",
    "to_a_scalar", "norms_of_rows", "activations", "moved_elements", "permuted",
    "lower_triangle", "rows_by_index", "whole_numbers", "numbers_from_sizes", "narrow_output",
    "running_sum", "running_sums_between", "running_values_needed_elsewhere", "other_scans",
    "scans_down_columns", "scans_of_whole_numbers", "scans_in_other_precisions",
    "double_precision", "means_of_windows", "one_place_written_in_each_row",
    "gradient_of_cross_entropy", "floats_taken_apart", "reduced_over_one_element",
    "filters_over_windows", "product_with_a_vector",
]  # fmt: skip
PRODUCTS = [
    "matrix_product", "linear_and_activation", "two_layers", "product_with_a_prologue",
    "product_and_the_norm_of_its_rows", "product_of_doubles", "product_of_bytes_with_scales",
    "attention", "convolution", "convolution_in_groups",
]  # fmt: skip

TINY = {"B": 1, "C": 2, "D": 4}
RAGGED = {"B": 33, "C": 6, "D": 1030}
LONG = {"B": 3, "C": 4, "D": 9002}


@pytest.mark.parametrize(
    "name",
    # g++ takes half a minute for its windows.
    [*NAMES, *PRODUCTS, pytest.param("largest_of_windows", marks=pytest.mark.slow)],
)
def test_every_draft_agrees_with_the_program_at_tiny_ragged_and_long_sizes(
    name, study, kernel, make_case
):
    studied = study(name)
    cases = [make_case(studied, sizes) for sizes in (TINY, RAGGED, LONG)]
    for candidate in studied.candidates("cpp"):
        built = kernel(candidate, studied.problem)
        for case in cases:
            built.check(case)


@pytest.mark.parametrize("name", ["to_a_scalar", "positions", "rmsnorm_silu", "cross_entropy"])
def test_drafts_for_few_long_rows_agree_too(name, study, kernel, make_case):
    studied = study(name, long_rows=True)
    cases = [make_case(studied, s) for s in (TINY, {"B": 2, "C": 2, "D": 70002})]
    texts = set()
    for candidate in studied.candidates("cpp"):
        texts.add(candidate.source.text)
        built = kernel(candidate, studied.problem)
        for case in cases:
            built.check(case)
    assert len(texts) >= 2, "a row is shared by threads in one draft and not in another"


@pytest.mark.parametrize("name", PRODUCTS)
def test_products_are_computed_in_tiles_and_one_by_one(name, study):
    texts = [
        c.source.text for c in study(name).candidates("cpp") if "kw_weights(" not in c.source.text
    ]
    assert ["kw_product<" in text for text in texts] == [True, False]


@pytest.mark.skipif(shutil.which("objdump") is None, reason="objdump is not installed")
@pytest.mark.skipif(platform.machine() != "x86_64", reason="instructions of x86 are looked for")
def test_rows_ask_for_memory_before_they_need_it(study, kernel, make_case):
    """To g++ a function that only does that does nothing, and its call can be left out."""
    studied = study("softmax")
    candidate = studied.candidates("cpp")[0]
    counts = []
    for ahead in (0, 1):
        built = kernel(candidate.tuned({"AHEAD": ahead}), studied.problem)
        built.check(make_case(studied, RAGGED))
        command = ["objdump", "-d", str(built.binary)]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        counts.append(text.count("prefetch"))
    lines = 64 * 4 // 64
    assert counts == [0, 2 * lines], "the next row's elements, and those of the result"


def test_what_a_row_asks_for_is_what_it_touches_next(tracing, make_file):
    text = make_file(
        "return F.softmax(x, -1) * y * z[:, :1] * x[0]",
        inputs=("torch.randn(B, D)", "torch.randn(B, D)", "torch.randn(B, D)"),
    )
    text = tracing(text).candidates("cpp")[0].source.text
    # Not what is the same for each row, and not what a row has one of.
    assert re.findall(r"kw_ask<LANES, (\d)>\((\w+) \+ (.*)\);", text) == [
        ("0", "y", "row * D + j"),
        ("1", "out0", "row * D + j"),
        ("0", "x", "(row + 1) * D + j"),
    ]


@pytest.mark.parametrize("name", ["convolution", "matrix_product"])
def test_panels_are_packed_and_read_in_loops_of_their_own(name, study):
    """A function that two loops call keeps what it reads in memory: scalar code, thrice as slow."""
    text = study(name).candidates("cpp")[0].source.text
    assert "kw_columns<COLUMNS>(" not in text
    assert "c < COLUMNS; ++c) {" in text


def without_wide_registers(candidate):
    """`candidate` as it is built where vectors have 32 bytes."""
    (name, text), *_ = candidate.source.files.items()
    narrow = text.replace("\n\n", "\n#undef __AVX512F__\n\n", 1)
    source = candidate.source.model_copy(update={"files": {name: narrow}})
    return candidate.model_copy(update={"source": source})


@pytest.mark.parametrize("rows", [1, 6, 8, 12])
def test_a_tile_of_a_product_is_cut_where_registers_are_fewer(rows, study, kernel, make_case):
    studied = study("two_layers")
    candidate = studied.candidates("cpp")[0].tuned({"ROWS": rows, "COLUMNS": 48})
    built = kernel(without_wide_registers(candidate), studied.problem)
    built.check(make_case(studied, {"B": 33, "C": 6, "D": 130}))


TURNS = """
template <class T, int Width>
bool turns(int64_t steps) {
    const std::unique_ptr<T[]> rows(new T[Width * 64]), to(new T[Width * steps]);
    for (int n = 0; n < Width * 64; ++n) rows[n] = T(n);
    kw_turned<T, Width>(rows.get(), 64, steps, to.get());
    for (int row = 0; row < Width; ++row)
        for (int64_t step = 0; step < steps; ++step)
            if (to[step * Width + row] != rows[row * 64 + step]) return false;
    return true;
}

template <class T, int... Widths>
bool all(std::integer_sequence<int, Widths...>) {
    bool good = true;
    for (int64_t steps : {1, 5, 16, 63, 64}) good = good && (... && turns<T, Widths>(steps));
    return good;
}

int main() {
    const std::integer_sequence<int, 1, 4, 6, 8, 12, 16, 32, 48, 64> widths;
    return all<float>(widths) && all<double>(widths) ? 0 : 1;
}
"""


def test_rows_are_turned_to_columns_and_nothing_beyond_is_written(tmp_path):
    headers = ("algorithm", "cstdint", "cstring", "memory", "utility")
    parts = [*(f"#include <{name}>" for name in headers), *pieces("kw_turned<float, 1>"), TURNS]
    tmp_path.joinpath("turns.cpp").write_text("\n".join(parts))
    command = ["g++", "-std=c++17", "-march=native", "-O1", "-fsanitize=address", "turns.cpp"]
    subprocess.run([*command, "-o", "turns"], cwd=tmp_path, check=True)
    subprocess.run([tmp_path / "turns"], check=True)


def test_few_rows_of_a_product_take_its_columns_where_they_lie(
    tracing, make_file, kernel, make_case
):
    """And many pack them; the last panel, which is not full, is packed for all."""
    text = make_file("return x @ y", inputs=("torch.randn(B, D)", "torch.randn(D, C)"))
    studied = tracing(text)
    candidate = studied.candidates("cpp")[0]
    assert "across = " in candidate.source.text
    built = kernel(candidate, studied.problem)
    for rows in (3, 12, 200):
        built.check(make_case(studied, {"B": rows, "C": 134, "D": 70}))


def test_the_tile_of_a_product_is_guessed_from_its_rows(tracing, make_file):
    def tile(rows):
        text = make_file("return x @ y", inputs=("torch.randn(B, D)", "torch.randn(D, C)"))
        sizes = ({"B": rows, "C": 6, "D": 36}, {"B": 5, "C": 10, "D": 22})
        found = tracing(text.replace("B, C, D = 7", f"B, C, D = {rows}"), sizes)
        known = {t.name: t.default for t in found.candidates("cpp")[0].tunables}
        return known["ROWS"], known["COLUMNS"]

    assert [tile(rows) for rows in (1, 2, 7, 96)] == [(1, 64), (4, 64), (8, 32), (12, 32)]


@pytest.mark.parametrize(
    "name",
    ["softmax", "rmsnorm_silu", "over_the_middle", "positions", "two_layers", "convolution"],
)
def test_every_setting_of_the_tunables_gives_the_same_answer(name, study, kernel, make_case):
    studied = study(name)
    case = make_case(studied, RAGGED)
    candidate = studied.candidates("cpp")[0]
    for end in (0, -1):
        settings = {t.name: t.choices[end] for t in candidate.tunables}
        kernel(candidate.tuned(settings), studied.problem).check(case)


def test_a_large_result_is_written_past_the_cache_and_still_whole(study, kernel, make_case):
    studied = study("bias_gelu")
    candidate = studied.candidates("cpp")[0].tuned({"STREAM": 1, "BLOCK": 256})
    kernel(candidate, studied.problem).check(make_case(studied, {"B": 1031, "C": 2, "D": 1043}))


def test_nan_and_infinity_go_where_they_go_in_torch(tracing, make_file, kernel, make_case):
    text = make_file(
        "return (F.relu(x), x.amax(-1), x.amin(-1), x.sum(-1), torch.clamp(x, -1, 1),"
        " torch.tanh(x), torch.exp(x), F.silu(x), torch.maximum(x, y),"
        " x.argmax(-1), torch.erf(x), torch.log(x),"
        " torch.expm1(x), torch.log1p(x), F.gelu(x), torch.sigmoid(x), x.min(0))",
        inputs=("torch.randn(B, D)", "torch.randn(B, D)"),
    )
    studied = tracing(text)
    x = torch.randn(9, 70)
    x[1, 3] = x[8, 69] = x[1, 40] = float("nan")
    x[2, 5] = x[3, 60] = float("inf")
    x[2, 6] = x[4, 0] = float("-inf")
    x[5, :8] = torch.tensor([0.0, -0.0, -1.0, 80.0, -80.0, 1e-40, 3e38, -3e38])
    case = make_case(studied, {"B": 9, "C": 2, "D": 70}, [x, torch.randn(9, 70)])
    for candidate in studied.candidates("cpp"):
        kernel(candidate, studied.problem).check(case)


def test_of_equal_largest_values_the_first_is_named(tracing, make_file, kernel, make_case):
    studied = tracing(make_file("return x.argmax(-1), x.argmin(-1), x.argmax(0)"))
    x = torch.zeros(5, 1000)
    x[1, 700] = x[1, 300] = 1.0
    x[2] = float("-inf")
    x[3, 999] = float("nan")
    case = make_case(studied, {"B": 5, "C": 2, "D": 1000}, [x])
    for candidate in studied.candidates("cpp"):
        kernel(candidate, studied.problem).check(case)


def test_a_long_sum_loses_no_more_than_the_last_digits(tracing, make_file, kernel):
    studied = tracing(make_file("return x.sum(-1), x.sum(0)"))
    x = torch.rand(40, 100_003) + 1000
    axes = studied.axes({"B": 40, "C": 2, "D": 100_003})
    for candidate in studied.candidates("cpp"):
        rows, columns = kernel(candidate, studied.problem)([x], axes)
        for raw, dim in ((rows, -1), (columns, 0)):
            exact = x.double().sum(dim)
            assert (torch.from_numpy(raw) - exact).abs().max() / exact.max() < 2e-7


@pytest.mark.parametrize("name", ["running_sum", "running_sums_between", "scans_down_columns"])
def test_scans_agree_at_sizes_of_one_and_around_a_vector_and_a_block(
    name, study, kernel, make_case
):
    studied = study(name)
    cases = [make_case(studied, {"B": 3, "C": 2, "D": d}) for d in (1, 15, 16, 17, 1023, 1025)]
    cases.append(make_case(studied, {"B": 1, "C": 1, "D": 1}))
    candidate = studied.candidates("cpp")[0]
    for settings in ({}, {"BLOCK": 256, "STREAM": 0}, {"BLOCK": 4096, "TILE": 64}):
        known = {n: v for n, v in settings.items() if n in {t.name for t in candidate.tunables}}
        built = kernel(candidate.tuned(known), studied.problem)
        for case in cases:
            built.check(case)


def test_scans_of_few_long_rows_agree_too(study, kernel, make_case):
    studied = study("running_sums_between", long_rows=True)
    case = make_case(studied, {"B": 2, "C": 2, "D": 70002})
    for candidate in studied.candidates("cpp"):
        kernel(candidate, studied.problem).check(case)


def test_a_long_running_sum_loses_no_more_than_the_last_digits(tracing, make_file, kernel):
    studied = tracing(make_file("return x.cumsum(-1), x.cumsum(0)"))
    x = torch.rand(40, 100_003) + 1000
    axes = studied.axes({"B": 40, "C": 2, "D": 100_003})
    rows, columns = kernel(studied.candidates("cpp")[0], studied.problem)([x], axes)
    for raw, dim in ((rows, -1), (columns, 0)):
        exact = x.double().cumsum(dim)
        found = torch.from_numpy(raw).view(exact.shape)
        assert ((found - exact).abs() / exact).max() < 4e-7


def test_scans_carry_on_what_they_carry_on_in_torch(tracing, make_file, kernel, make_case):
    forward = "return {0}.cumsum({1}), {0}.cumprod({1}), {0}.cummax({1})[0], {0}.cummin({1})[0]"
    x = torch.randn(7, 70)
    x[1, 3] = x[5, 69] = float("nan")
    x[2, 20] = x[3, 5] = float("inf")
    x[2, 50] = x[4, 0] = float("-inf")
    x[6, 3:6] = torch.tensor([1e-30, 1e-20, 1e38])
    for dim in (0, 1):
        studied = tracing(make_file(forward.format("x", dim)))
        case = make_case(studied, {"B": 7, "C": 2, "D": 70}, [x])
        kernel(studied.candidates("cpp")[0], studied.problem).check(case)


def test_parameters_may_have_any_name(tracing, make_file, kernel, make_case):
    """Also the names that the sketches themselves like."""
    names = (
        "row j value lane l end begin count stream n blocks block k v0 part0 sum0 total0 at0 "
        "running0 carried0"
    )
    text = make_file("pass", inputs=("torch.randn(B, D)",) * 20)
    listed = ", ".join(names.split())
    text = re.sub(r"def forward\(self, .*?\)", f"def forward(self, {listed})", text)
    total = " + ".join(names.split())
    text = text.replace("                pass\n\ndef", "def")
    body = (
        f"t = {total}\n        return t.argmax(-1), F.softmax(t, -1).cumsum(-1), t.sum(0), t.sum()"
    )
    text = re.sub(r"(def forward.*\n\s+)pass", rf"\1{body}", text)
    studied = tracing(text)
    for candidate in studied.candidates("cpp"):
        case = make_case(studied, {"B": 3, "C": 2, "D": 300})
        kernel(candidate, studied.problem).check(case)
