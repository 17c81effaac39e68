"""Each mutation on a small text: exactly what it changes, and what it leaves alone."""

import difflib

import pytest

from kernelwright.seeding import (
    accumulators,
    arithmetic,
    bounds,
    concurrency,
    control,
    indices,
)
from kernelwright.seeding.bug import CLASSES, bug
from kernelwright.seeding.code import Code
from kernelwright.seeding.mutations import MUTATIONS, bugs, sample


def kernel(body: str, parameters: str = "const float* x, float* out, int64_t rows, int64_t dim"):
    return f'extern "C" void kernel({parameters}) {{\n{body}\n}}\n'


def changes(mutation, body: str) -> list[str]:
    """The new lines of each bug, joined and stripped; a line that only went away reads "-line"."""
    before, found = kernel(body), []
    for one in mutation(Code(before)):
        delta = list(difflib.ndiff(before.splitlines(), one.text.splitlines()))
        new = [line[2:].strip() for line in delta if line.startswith("+ ") and line[2:].strip()]
        gone = ["-" + line[2:].strip() for line in delta if line.startswith("- ")]
        found.append(" | ".join(new or gone))
    return found


LOOP = "for (int64_t i = 0; i < dim; i++) { out[i] = x[i]; }"
NEST = "for (int64_t r = 0; r < rows; r++) {\nfor (int64_t i = 0; i < dim; i++) {\n%s\n}\n}"


def test_off_by_one_moves_either_end():
    assert changes(bounds.off_by_one, LOOP) == [
        "for (int64_t i = 0; i <= dim; i++) { out[i] = x[i]; }",
        "for (int64_t i = 0; i < dim - 1; i++) { out[i] = x[i]; }",
        "for (int64_t i = 1; i < dim; i++) { out[i] = x[i]; }",
    ]


def test_a_missing_tail_leaves_out_or_runs_past_in_innermost_loops_alone():
    found = changes(bounds.missing_tail, NEST % "out[i] = x[i];")
    assert found == [
        "for (int64_t i = 0; i < (dim) / 8 * 8; i++) {",
        "for (int64_t i = 0; i < (dim + 7) / 8 * 8; i++) {",
    ]


def test_a_missing_tail_takes_the_mask_off_a_tile_and_not_off_a_value():
    body = "const int64_t last = std::min(first + 8, dim);\nfloat y = std::min(a, b);"
    assert changes(bounds.missing_tail, body) == ["const int64_t last = (first + 8);"]


def test_a_wrong_extent_is_another_size():
    assert changes(bounds.wrong_extent, LOOP) == [
        "for (int64_t i = 0; i < rows; i++) { out[i] = x[i]; }"
    ]


def test_swapped_extents_change_both_loops():
    assert changes(bounds.swapped_extents, NEST % "") == [
        "for (int64_t r = 0; r < dim; r++) { | for (int64_t i = 0; i < rows; i++) {"
    ]


def test_swapped_strides_transpose_an_index():
    assert changes(indices.swapped_strides, "out[r * dim + i] = 1;") == ["out[i * dim + r] = 1;"]
    assert changes(indices.swapped_strides, "out[i] = a * b + c;") == []


def test_a_wrong_stride_is_another_size():
    assert changes(indices.wrong_stride, "out[r * dim + i] = 1;") == ["out[r * rows + i] = 1;"]


def test_a_shifted_index_is_one_beside_it():
    assert changes(indices.index_shifted, "out[i] = 1;") == ["out[i + 1] = 1;", "out[i - 1] = 1;"]


def test_a_wrong_broadcast_reads_another_loops_element_or_the_first():
    assert changes(indices.wrong_broadcast, NEST % "y = x[i];") == ["y = x[r];", "y = x[0];"]


def test_a_wrong_dimension_puts_one_loop_variable_for_another():
    assert changes(indices.wrong_dimension, NEST % "y = x[r * dim + i];") == [
        "y = x[i * dim + i];",
        "y = x[r * dim + r];",
    ]


def test_an_overflow_cuts_products_that_index_a_tensor():
    assert changes(indices.index_overflow, "out[r * dim + i] = scratch[r * 8 + i] + x[i];") == [
        "out[static_cast<int16_t>(r * dim + i)] = scratch[r * 8 + i] + x[i];"
    ]
    assert changes(indices.index_overflow, "out[r * 4 + i] = 1;") == []
    body = "const int64_t at = r * dim + i;\nconst int64_t area = r * dim;\nout[at] = 1;"
    assert changes(indices.index_overflow_32, body) == ["const int32_t at = r * dim + i;"]


def test_a_reused_temporary_loses_its_rows_everywhere():
    body = "std::vector<float> own(rows * dim);\nown[r * dim + i] = 1;\ny = own[r * dim + k];"
    assert changes(indices.temporary_reused, body) == ["own[i] = 1; | y = own[k];"]


def test_a_dropped_term_is_a_whole_product():
    assert changes(arithmetic.dropped_term, "y = a + b * f(c) - d[i + 1];") == [
        "y = a  - d[i + 1];",
        "y = a + b * f(c) ;",
    ]


def test_a_dropped_term_is_of_values_and_not_of_places():
    assert changes(arithmetic.dropped_term, "const int64_t at = r * dim + i;\ny = x[a + b];") == []


def test_a_missing_scale_is_one_factor_or_divisor():
    assert changes(arithmetic.missing_scale, "y = a * b / n;") == ["y = a  / n;", "y = a * b ;"]


def test_a_pointer_is_no_product():
    assert changes(arithmetic.missing_scale, "const float* row = x;") == []


def test_a_wrong_sign_turns_operators_and_drops_a_minus():
    assert changes(arithmetic.wrong_sign, "y += a - b;\nz = f(-c);") == [
        "y -= a - b;",
        "y += a + b;",
        "z = f(c);",
    ]


def test_a_wrong_epsilon_is_of_another_size_and_large_constants_stay():
    assert changes(arithmetic.wrong_epsilon, "eps = 1e-5;\nhalf = 0.5;") == [
        "eps = 0.001;", "eps = 0.0001;", "eps = 1e-07;", "eps = 0.0;",
    ]  # fmt: skip


def test_an_integer_division_cuts_what_is_divided():
    assert changes(arithmetic.integer_division, "y = sum / dim;\nz = 0.5 * y;") == [
        "y = (int64_t)sum / dim;",
        "z = (1 / 2) * y;",
    ]


def test_a_wrong_comparison_is_in_a_condition():
    assert changes(arithmetic.wrong_comparison, "if (a > b) { y = c < d; }") == [
        "if (a >= b) { y = c < d; }",
        "if (a < b) { y = c < d; }",
    ]


def test_max_and_min_change_places():
    assert changes(arithmetic.max_min_swapped, "y = std::max(y, z);") == ["y = std::min(y, z);"]


def test_a_missing_clamp_leaves_running_extremes_and_sizes_alone():
    body = "y = std::max(y, z);\nconst int64_t n = std::min(a, b);\nz = std::max(a - b, 0.0);"
    assert changes(arithmetic.missing_clamp, body) == ["z = (a - b);"]


def test_a_narrow_accumulator_is_of_a_sum():
    body = "double sum = 0.0;\nconst double scale = 2.0;\nsum += a;"
    assert changes(accumulators.accumulate_type, body) == [
        "float16 sum = 0.0;",
        "int sum = 0.0;",
        "sum = (float)bfloat16((float)(sum + (a)));",
    ]


def test_float_for_double_is_tried_where_sums_cancel():
    body = "double sum = 0.0;\nsum += a;\ny = squares - mean * mean;"
    assert "float sum = 0.0;" in changes(accumulators.accumulate_type, body)


def test_a_maximum_starts_at_zero():
    assert changes(accumulators.extreme_starts_at_zero, "float m = -INFINITY;") == [
        "float m = 0.0f;",
        "float m = FLT_MIN;",
    ]


def test_an_unguarded_maximum_is_never_found():
    body = "float m = -INFINITY;\nm = std::max(m, x[i]);\ny = std::exp(x[i] - m);"
    assert changes(accumulators.extreme_unused, body) == ["float m = 0.0f;"]
    assert changes(accumulators.extreme_unused, body.replace("exp", "abs")) == []


def test_an_uninitialised_sum_has_no_first_value():
    body = "double sum = 0.0;\nsum += a;\nstd::vector<double> sums(rows, 0.0);"
    assert changes(accumulators.uninitialised, body) == [
        "double sum ;",
        "double* sums = new double[rows];",
    ]


def test_a_sum_that_is_not_reset_outlives_its_row():
    body = "double sum = 0.0;\nsum += a;"
    assert changes(accumulators.not_reset, body) == ["static thread_local double sum = 0.0;"]


def test_a_race_is_a_guard_or_a_reduction_left_out():
    body = "#pragma omp atomic\nsum += a;\n#pragma omp parallel for reduction(+ : sum)\n"
    assert changes(concurrency.unguarded_update, body) == [
        "-#pragma omp atomic",
        "#pragma omp parallel for",
    ]


def test_a_shared_local_is_declared_before_the_parallel_loop():
    body = (
        "#pragma omp parallel for\nfor (int64_t r = 0; r < rows; r++) {\nconst float y = x[r];\n}"
    )
    assert changes(concurrency.shared_local, body) == ["float y; | y = x[r];"]
    assert changes(concurrency.shared_local, body.replace("#pragma omp parallel for", "")) == []


TWO_PHASES = (
    "#pragma omp parallel\n{\n#pragma omp for\nfor (int64_t r = 0; r < rows; r++) {\n"
    "#pragma omp atomic\nsums[r] += 1;\n}\n"
    "#pragma omp for // last\nfor (int64_t i = 0; i < dim; i++) {\n}\n}"
)


def test_no_wait_is_for_loops_that_another_follows():
    assert changes(concurrency.no_wait, TWO_PHASES) == ["#pragma omp for nowait"]


def test_work_that_adds_up_is_done_by_every_thread():
    assert changes(concurrency.not_shared_out, TWO_PHASES) == ["-#pragma omp for"]


def test_a_barrier_is_left_out():
    assert changes(concurrency.no_barrier, "a;\n#pragma omp barrier\nb;") == [
        "-#pragma omp barrier"
    ]


def test_an_early_return_is_for_each_size():
    assert changes(control.early_return, "a;") == [
        "if (rows <= 1) return;",
        "if (dim <= 1) return;",
    ]


def test_a_loop_is_left_when_another_holds_it():
    assert changes(control.leaves_loop, NEST % "a;") == ["if (i >= 32) break;"]


def test_a_stale_variable_is_the_one_declared_before():
    body = "const float a = x[0];\nconst float b = a * 2;\ny = b + a;"
    assert changes(control.stale_variable, body) == ["y = a + a;"]


NOTHING_TO_CHANGE = kernel(
    '// for (int64_t i = 0; i < dim; i++) { sum += x[r * dim + i] * 1e-5; }\n'
    '/* #pragma omp atomic\n float m = -INFINITY; m = std::max(m, a - b); */\n'
    'const char* said = "for (int64_t i = 0; i < dim; i++) { x[r * dim + i] += 0.5 * 1e-5; }";',
    "const float* x",
)  # fmt: skip


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.__name__)
def test_comments_and_strings_are_left_alone(mutation):
    assert list(mutation(Code(NOTHING_TO_CHANGE))) == []


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.__name__)
@pytest.mark.parametrize(
    "text", ["", "}}))", "for (;;) {", "kernel", "vector int64_t INFINITY ["], ids=repr
)
def test_text_that_is_no_kernel_gives_no_error(mutation, text):
    assert all(one.text != text for one in mutation(Code(text)))


def test_every_class_has_a_mutation_and_every_bug_a_class(kernels):
    found = {one.kind for text in kernels.values() for one in bugs(text)}
    assert found == set(CLASSES)


def test_a_bug_of_no_class_is_refused():
    with pytest.raises(KeyError):
        bug(Code("a"), "bad_luck", 0, "", [])


def test_bugs_are_different_texts_and_say_on_which_line(kernels):
    for text in kernels.values():
        found = list(bugs(text))
        assert len({one.text for one in found} | {text}) == len(found) + 1
        assert all(one.summary.startswith("line ") for one in found)


def test_a_sample_is_the_same_each_time_and_of_every_class(kernels):
    found = list(bugs(kernels["groupnorm"]))
    chosen = sample(found, 2)
    assert chosen == sample(reversed(found), 2)
    assert {one.kind for one in chosen} == {one.kind for one in found}
    assert max(sum(b.kind == one.kind for b in chosen) for one in chosen) == 2
