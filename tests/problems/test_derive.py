"""A file's tensors, axes, workloads and rules follow from running it."""

import pytest
import torch

from kernelwright.problems.derive import FIXED_SIZES, INTEGER_OUTPUTS
from kernelwright.problems.distributions import DISTRIBUTIONS
from kernelwright.problems.rules import has_structure
from kernelwright.problems.soundness import sound_distributions
from kernelwright.problems.workloads import MAX_BYTES


def _shapes(derived):
    return {t.name: t.shape for t in derived.problem.inputs + derived.problem.outputs}


def test_axes_are_named_after_the_constants_that_set_them(derived):
    found = derived("chained_constants")
    assert found.problem.axes == ("M", "K", "P")
    assert _shapes(found) == {"A": ("M", "K"), "B": ("K", "P"), "out": ("M", 1)}
    assert found.problem.report_workload.axes == {"M": 48, "K": 64, "P": 80}


def test_an_axis_number_is_never_varied(derived):
    for workload in derived("chained_constants").problem.workloads:
        assert "dim" not in workload.constants


def test_kernel_sizes_stay_and_derived_sizes_get_axes_of_their_own(derived):
    found = derived("conv_relu_bias")
    assert _shapes(found) == {
        "x": ("batch_size", "in_channels", "height", "width"),
        "bias": ("out_channels", 1, 1),
        "conv_weight": ("out_channels", "in_channels", 3, 3),
        "conv_bias": ("out_channels",),
        "out": ("batch_size", "out_channels", "n0", "n1"),
    }
    assert found.problem.report_workload.axes["n0"] == 30


def test_sizes_that_must_divide_each_other_still_vary(derived):
    widths = {w.axes["n_embd"] for w in derived("attention").problem.workloads}
    assert len(widths) >= 4
    assert all(width % 8 == 0 for width in widths)


@pytest.mark.parametrize("name", ["chained_constants", "conv_relu_bias", "builtin:softmax"])
def test_a_file_gets_one_report_three_search_and_several_hidden_workloads(derived, name):
    problem = derived(name).problem
    assert problem.workloads[0].split == "report"
    assert problem.workloads[0].constants == {}
    assert len(problem.split("report")) == 1
    assert 2 <= len(problem.split("search")) <= 3
    assert len(problem.split("hidden")) >= 4
    assert len({tuple(w.axes.values()) for w in problem.workloads}) == len(problem.workloads)
    assert any(1 in w.axes.values() for w in problem.split("hidden"))


def test_every_size_that_varies_is_one_in_some_workload(derived):
    problem = derived("builtin:rope").problem
    ones = {name for w in problem.split("hidden") for name, size in w.axes.items() if size == 1}
    assert ones >= {"batch", "length", "heads"}


@pytest.mark.parametrize("name", ["builtin:rmsnorm", "conv_relu_bias"])
def test_workloads_other_than_the_files_own_are_bounded(derived, name):
    problem = derived(name).problem
    for workload in problem.workloads[1:]:
        assert problem.traffic_bytes(workload) <= MAX_BYTES


def test_the_same_text_gives_the_same_problem(derived):
    first = derived("conv_relu_bias").problem
    assert derived("conv_relu_bias", again=True).problem == first


def test_other_text_gives_other_hidden_sizes(derived, written):
    softmax = derived("builtin:softmax")
    other = written(softmax.source.text + "\n# another file\n", "softmax.py")
    assert other.problem.id != softmax.problem.id
    assert other.workload("prime").axes != softmax.workload("prime").axes


def test_a_file_with_no_constants_has_the_report_workload_alone_and_says_so(derived):
    problem = derived("no_constants").problem
    assert [w.id for w in problem.workloads] == ["report"]
    assert problem.axes == ()
    assert FIXED_SIZES in problem.tags
    assert [t.shape for t in problem.inputs] == [(16, 32), (48, 32), (48,), (8, 48)]


def test_outputs_in_dicts_and_tuples_are_flattened_in_order(derived):
    found = derived("nested_outputs")
    assert [(t.name, t.dtype) for t in found.problem.outputs] == [
        ("out0", "float32"),
        ("out1", "float32"),
        ("out2", "int64"),
    ]
    assert INTEGER_OUTPUTS in found.problem.tags


def test_numbers_are_scalars_of_one_element(derived):
    found = derived("scalar_inputs")
    assert [(t.name, t.dtype, t.role) for t in found.problem.inputs] == [
        ("A", "float32", "input"),
        ("s", "float64", "scalar"),
        ("twice", "bool", "scalar"),
    ]
    assert found.answer().values["s"] == 3.14


def test_names_are_identifiers_that_nothing_shares(derived):
    found = derived("awkward_names")
    names = [t.name for t in found.problem.inputs + found.problem.outputs]
    assert names == ["double_", "weight", "out0", "weight_param", "out"]
    assert not set(names) & set(found.problem.axes)


def test_a_tensor_under_two_keys_appears_once(derived):
    found = derived("awkward_names")
    assert found.oracle.twins({}).eager.weight_names == {"weight_param": "weight"}


RULES = {
    "triangular": {"A": "file", "B": "file"},
    "positive": {"predictions": "file", "targets": "file", "weights": "positive"},
    "attention": {"x": "free", "mask": "file", "attn_weight": "free", "attn_bias": "free"},
    "scalar_inputs": {"A": "free", "s": "file", "twice": "file"},
    "builtin:cross_entropy": {"logits": "free", "targets": "file"},
}


@pytest.mark.parametrize("name", RULES)
def test_rules_say_what_may_be_drawn(derived, name):
    assert derived(name).problem.report_workload.inputs == RULES[name]


def test_running_variances_stay_positive(derived):
    found = derived("batchnorm_eval")
    assert found.problem.report_workload.inputs["norm_running_var"] == "positive"
    assert bool((found.answer().values["norm_running_var"] > 0).all())


R = torch.rand(6, 9, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("value", "structured"),
    [
        (R, False),
        (R[:6, :6], False),
        (R - 0.5, False),
        (torch.ones(4, 4), False),
        (R[:2, :3], False),
        (torch.eye(6), True),
        ((R > 0.5).float(), True),
        ((R > 0.5).float() * 2 - 1, True),
        ((R * 10).round(), True),
        (R.sort().values, True),
        (R.sort(descending=True).values, True),
        (R[:6, :6] + R[:6, :6].T, True),
        (torch.triu(R[:6, :6]), True),
        (R.softmax(-1), True),
        (R.softmax(0), True),
        ((R - 0.5) / (R - 0.5).norm(dim=-1, keepdim=True), True),
        (R.masked_fill(R > 0.8, float("-inf")), True),
    ],
)
def test_structure_is_told_from_random_numbers(value, structured):
    assert has_structure(value) is structured


def test_an_ordinary_problem_can_be_drawn_in_every_way(derived):
    found = derived("builtin:softmax")
    asked = tuple(d for d in DISTRIBUTIONS if d != "nonfinite")
    assert sound_distributions(found.oracle, found.problem) == asked


def test_a_problem_of_structured_inputs_is_only_drawn_by_its_file(derived):
    found = derived("triangular")
    assert sound_distributions(found.oracle, found.problem) == ("file",)
