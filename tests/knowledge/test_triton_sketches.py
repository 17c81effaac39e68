"""What the Triton sketches draft computes what the program computes, and compiles for a GPU."""

import json

import pytest

pytest.importorskip("triton", reason="the package triton is not installed")

RUN = [
    "rmsnorm_silu", "softmax", "masked_softmax", "layer_norm_of_two_dimensions", "group_norm",
    "bias_for_each_channel", "swiglu", "gate_of_a_slice", "logsumexp", "cross_entropy",
    "positions", "several_outputs", "over_the_middle", "over_the_first", "to_a_scalar",
    "activations", "moved_elements", "lower_triangle", "whole_numbers", "numbers_from_sizes",
    "running_sum", "running_sums_between", "double_precision", "means_of_windows",
    "one_place_written_in_each_row", "gradient_of_cross_entropy", "reduced_over_one_element",
    "filters_over_windows",
]  # fmt: skip
# These take the interpreter minutes; products have tests of their own that are quicker.
RUN_SLOWLY = [
    "linear_and_activation", "convolution",
    "running_values_needed_elsewhere", "scans_of_whole_numbers", "scans_in_other_precisions",
    "other_scans", "scans_down_columns", "floats_taken_apart", "largest_of_windows",
    "convolution_in_groups", "product_with_a_prologue", "attention",
]  # fmt: skip
# A file, and whether its drafts are made for few long rows.
COMPILED = [
    ("rmsnorm_silu", False), ("cross_entropy", False), ("positions", False), ("positions", True),
    ("over_the_middle", False), ("activations", False), ("group_norm", False), ("layer_norm", True),
    ("to_a_scalar", True), ("running_sums_between", False), ("running_sums_between", True),
    ("scans_down_columns", False), ("other_scans", True),
]  # fmt: skip
# With a block of 256 elements the second size needs two, the last one not full.
BLOCK = 256
SIZES = ({"B": 1, "C": 2, "D": 4}, {"B": 2, "C": 4, "D": 302})
# Windows have a program for each row and block, and many operators: fewer rows, shorter blocks.
WINDOWS = ({"B": 1, "C": 2, "D": 4}, {"B": 2, "C": 2, "D": 140})
WINDOWS_BLOCK = 128
TYPES = {"float32": "*fp32", "int64": "*i64", "bool": "*i1", "bfloat16": "*bf16"}


def add(runs, name, studied):
    sizes, block = (WINDOWS, WINDOWS_BLOCK) if "windows" in name else (SIZES, BLOCK)
    runs.add(name, studied, sizes, BLOCK=block)


@pytest.fixture(scope="module")
def returned(study, triton_runs):
    """Every draft of every file, called once at each of the sizes."""
    runs = triton_runs()
    for name in RUN:
        add(runs, name, study(name))
    runs.run(TRITON_INTERPRET="1")
    return runs


@pytest.mark.parametrize("name", RUN)
def test_every_draft_agrees_with_the_program(name, returned):
    returned.check(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", RUN_SLOWLY)
def test_drafts_that_are_slow_to_interpret_agree_too(name, study, triton_runs):
    runs = triton_runs()
    add(runs, name, study(name))
    runs.run(TRITON_INTERPRET="1")
    runs.check(name)


@pytest.fixture(scope="module")
def compiled(study, triton_runs):
    runs = triton_runs()
    for name, long_rows in COMPILED:
        studied = study(name, long_rows)
        runs.add((name, long_rows), studied, ())
        tensors = studied.problem.inputs + studied.problem.outputs
        types = {s.name: TYPES[s.dtype] for s in tensors}
        types |= {f"kept_{n}": "*fp32" for n in range(9)}
        states = ("sum", "squares", "count", "max", "best")
        types |= {f"{s}{n}_parts": "*fp32" for s in states for n in range(9)}
        types |= {f"at{n}_parts": "*i64" for n in range(9)} | {"marks": "*i32"}
        for place in runs.places[name, long_rows]:
            place.joinpath("types.json").write_text(json.dumps(types))
    runs.run("compile")
    return runs


@pytest.mark.parametrize("name", COMPILED)
def test_every_kernel_compiles_for_a_gpu_that_is_not_here(name, compiled):
    for place in compiled.places[name]:
        error = place / "error.txt"
        assert not error.exists(), error.read_text()[-3000:]
        sizes = json.loads((place / "compiled.json").read_text())
        assert sizes
        assert min(sizes.values()) > 500
