"""Tracing: a program becomes a graph of primitives, whose numbers know their axes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelwright.core.errors import ProblemError
from kernelwright.core.graph import Extent, Graph, Node, Ref, Special, Unexplained
from kernelwright.core.problem import Workload
from kernelwright.problems.loading import load_program
from kernelwright.problems.sizes import explain, pick_trace_workloads
from kernelwright.problems.tracing import trace

SIZES = [{"a": 7, "b": 5, "c": 36}, {"a": 13, "b": 11, "c": 22}, {"a": 3, "b": 4, "c": 26}]


def seen(extent):
    return [extent.at(s) for s in SIZES]


@given(
    axes=st.lists(st.sampled_from("abc"), min_size=1, max_size=3),
    numerator=st.integers(1, 6),
    denominator=st.sampled_from([1, 2]),
)
def test_a_multiple_of_a_product_is_explained_by_numbers_that_agree(axes, numerator, denominator):
    truth = Extent(axes=tuple(sorted(axes)), numerator=numerator, denominator=denominator)
    found = explain(seen(truth), SIZES)
    assert isinstance(found, Extent)
    assert seen(found) == seen(truth)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([7, 13, 3], Extent(axes=("a",))),
        ([4, 4, 4], 4),
        ([8, 14, 4], Extent(axes=("a",), offset=1)),
        ([17, 10, 12], Extent(axes=("c",), denominator=2, offset=-1)),
        ([7**-0.5, 13**-0.5, 3**-0.5], Extent(axes=("a",), power=-0.5)),
        ([1 / 36, 1 / 22, 1 / 26], Extent(axes=("c",), power=-1.0)),
        ([1, 2, 9], Unexplained(seen=(1.0, 2.0, 9.0))),
    ],
)
def test_a_number_is_explained_as_simply_as_can_be(values, expected):
    assert explain(values, SIZES) == expected


def test_a_number_that_is_never_a_number_is_a_constant():
    nan = float("nan")
    assert explain([nan, nan, nan], SIZES) != explain([1.0, 1.0, 1.0], SIZES)


def test_workloads_are_picked_that_tell_the_axes_apart(study):
    problem = study("softmax").problem

    def workload(number, **axes):
        return Workload(id=str(number), split="search", axes=axes)

    alike = [workload(n, B=n, C=n, D=2) for n in (3, 4, 5, 1)]
    telling = [workload(9, B=7, C=6, D=30), workload(10, B=8, C=5, D=20)]
    chosen = pick_trace_workloads(problem.model_copy(update={"workloads": (*alike, *telling)}))
    sizes = [tuple(w.axes[a] for w in chosen) for a in "BCD"]
    assert len(set(sizes)) == 3
    assert all(len(set(s)) > 1 for s in sizes)
    assert "1" not in {w.id for w in chosen}


def test_workloads_with_a_constant_of_one_are_not_picked(study):
    """With a group of one there is nothing to repeat, and the program is another one."""
    problem = study("softmax").problem
    workloads = [
        Workload(id=str(n), split="search", axes={"B": n, "C": n + 3}, constants={"group": group})
        for n, group in ((2, 1), (3, 4), (4, 2), (5, 1), (6, 3))
    ]
    # One at the file's own sizes replaces nothing.
    workloads.append(Workload(id="7", split="report", axes={"B": 7, "C": 10}, constants={}))
    chosen = pick_trace_workloads(problem.model_copy(update={"workloads": tuple(workloads)}))
    assert [w.constants["group"] for w in chosen] == [4, 2, 3]


def test_a_softmax_is_a_maximum_a_sum_and_pointwise_operators(study):
    graph = study("softmax").graph
    assert [n.op for n in graph.nodes] == [
        "aten.amax.default", "aten.sub.Tensor", "aten.exp.default", "aten.sum.dim_IntList",
        "aten.div.Tensor",
    ]  # fmt: skip
    assert graph.nodes[0].shape == (Extent(axes=("B",)), 1)


@pytest.mark.parametrize("name", ["layer_norm", "group_norm", "instance_norm"])
def test_a_norm_is_made_of_a_mean_and_a_variance(name, study):
    names = {n.op.split(".")[1] for n in study(name).graph.nodes}
    assert {"mean", "var", "rsqrt"} <= names
    assert not any("norm" in n or "prims" in n for n in names)


def test_inputs_and_weights_have_the_names_of_their_specs(study):
    studied = study("layer_norm")
    assert {v.name for v in studied.graph.inputs} == {s.name for s in studied.problem.inputs}


def test_a_number_given_by_the_caller_is_a_reference_to_it(study):
    studied = study("numbers_from_sizes")
    scalar = next(s.name for s in studied.problem.inputs if s.role == "scalar")
    used = [a for n in studied.graph.nodes for a in n.args]
    assert Ref(ref=scalar) in used
    assert Extent(axes=("D",), power=0.5) in used
    assert Extent(axes=("B",)) in used


def test_a_tensor_that_is_given_twice_is_two_inputs(tracing, make_file):
    text = make_file("return x - y", inputs=("torch.randn(B, D)",) * 2)
    text = text.replace("return [torch.randn(B, D), torch.randn(B, D)]",
                        "t = torch.randn(B, D)\n    return [t, t]")  # fmt: skip
    node = tracing(text).graph.nodes[0]
    assert node.args == (Ref(ref="x"), Ref(ref="y"))


@pytest.mark.parametrize(
    ("forward", "said"),
    [
        ("return x.exp() if x.shape[0] > 5 else x.log() + 1", "different operators"),
        ("return x if x.sum() > 0 else -x", "could not trace"),
        ("return x.add_(1) * 2", "in place"),
        ("return torch.view_as_real(torch.complex(x, x))", "not supported"),
    ],
)
def test_what_cannot_be_traced_is_refused_with_a_sentence(tracing, make_file, forward, said):
    with pytest.raises(ProblemError, match=said):
        tracing(make_file(forward))


def test_the_graph_is_that_of_a_cpu_wherever_the_program_is(tracing, make_file):
    """On a GPU, attention is another operator at some sizes than at others."""
    here = tracing(make_file("return x.exp() if x.is_cpu else x.log() + 1"))
    report = here.problem.report_workload
    elsewhere = load_program(here.problem.reference, report.constants, device="meta")
    assert trace(elsewhere, report, here.problem) == here.graph


def test_a_large_constant_outside_of_the_state_dict_is_refused(tracing, make_file):
    text = make_file(
        "return x + self.table", init="self.register_buffer('table', torch.rand(D), False)"
    )
    with pytest.raises(ProblemError, match="not in its state_dict"):
        tracing(text)


def test_a_small_constant_outside_of_the_state_dict_is_a_number_of_the_graph(tracing, make_file):
    text = make_file("return torch.where(x > 0, x, torch.tensor(0.5))")
    full = next(n for n in tracing(text).graph.nodes if n.op == "aten.full.default")
    assert full.args == ((), 0.5)


def test_every_argument_survives_json(study):
    for name in ("masked_softmax", "numbers_from_sizes", "moved_elements", "cross_entropy"):
        graph = study(name).graph
        assert Graph.model_validate_json(graph.model_dump_json()) == graph


def test_infinities_and_nested_arguments_survive_json():
    args = (float("inf"), (Ref(ref="x"), (1, Extent(axes=("d",)))), True, 1, 1.0, None, "float32")
    node = Node(name="n", op="o", args=args, kwargs={"low": float("-inf"), "nan": float("nan")})
    again = Node.model_validate_json(node.model_dump_json())
    assert again == node
    assert again.args[0] == Special(special="inf")
    assert [type(a) for a in again.args[2:5]] == [bool, int, float]
