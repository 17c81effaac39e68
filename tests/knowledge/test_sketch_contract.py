"""The sketches keep the contract, in each language, and say what stops them."""

import re

import pytest

from kernelwright.core.graph import Extent, Graph, Node, Ref, Unexplained, Value
from kernelwright.core.problem import Problem, Source, TensorSpec, Workload
from kernelwright.knowledge.sketches import Covered, NotCovered, drafts
from kernelwright.knowledge.sketches.drafts import Sketch
from kernelwright.testing.sketches import SketchContract

ROWS, DIM = Extent(axes=("rows",)), Extent(axes=("dim",))

PROBLEM = Problem(
    id="centred",
    title="Rows without their mean, as exponentials",
    origin="tests",
    axes=("rows", "dim"),
    inputs=(TensorSpec(name="int", shape=("rows", "dim"), dtype="float32", role="input"),),
    outputs=(TensorSpec(name="row", shape=("rows", "dim"), dtype="float32", role="output"),),
    reference=Source(
        files={"m.py": "from torch import nn\n\n\nclass Model(nn.Module):\n    pass\n"},
        entry_point="m.py::Model",
    ),
    workloads=(Workload(id="report", split="report", axes={"rows": 64, "dim": 512}),),
)


def node(name, op, *args, shape=(ROWS, DIM)):
    return Node(name=name, op=op, args=args, shape=shape, dtype="float32")


def graph(*nodes, output="out"):
    return Graph(
        inputs=(Value(name="int", shape=(ROWS, DIM), dtype="float32"),),
        nodes=nodes,
        outputs=(output,),
        axes={"rows": 7, "dim": 13},
    )


MEAN = node("mean", "aten.mean.dim", Ref(ref="int"), (-1,), True, shape=(ROWS, 1))
SUB = node("sub", "aten.sub.Tensor", Ref(ref="int"), Ref(ref="mean"))
EXP = node("exp", "aten.exp.default", Ref(ref="sub"))
SUM = node("sum_1", "aten.sum.dim_IntList", Ref(ref="exp"), (1,), True, shape=(ROWS, 1))
OUT = node("out", "aten.div.Tensor", Ref(ref="exp"), Ref(ref="sum_1"))
CENTRED = graph(MEAN, SUB, EXP, SUM, OUT)


class Contract(SketchContract):
    @pytest.fixture
    def problem(self):
        return PROBLEM

    @pytest.fixture
    def graph(self):
        return CENTRED

    @pytest.fixture
    def operator(self):
        return "aten.convolution.default"

    @pytest.fixture
    def uncovered(self, operator):
        return graph(MEAN, node("out", operator, Ref(ref="mean"), Ref(ref="int")))


class TestCpp(Contract):
    @pytest.fixture
    def language(self):
        return "cpp"


class TestTriton(Contract):
    @pytest.fixture
    def language(self):
        return "triton"


def reason(found):
    assert isinstance(found, NotCovered)
    return found.reason


def test_a_language_without_sketches_is_named():
    assert reason(drafts(PROBLEM, CENTRED, "mojo")) == "There are no sketches in mojo."


def test_the_node_that_no_sketch_covers_is_named():
    conv = node("conv", "aten.convolution.default", Ref(ref="int"))
    said = reason(drafts(PROBLEM, graph(conv, output="conv"), "cpp"))
    assert said == "No sketch covers aten.convolution.default (node conv)."


def test_a_size_that_is_not_understood_is_no_sketch():
    odd = node("out", "aten.exp.default", Ref(ref="int"), shape=(ROWS, Unexplained(seen=(1, 5))))
    assert "does not follow from the axes" in reason(drafts(PROBLEM, graph(odd), "cpp"))


def test_a_number_that_is_not_understood_is_no_sketch():
    odd = node("out", "aten.mul.Tensor", Ref(ref="int"), Unexplained(seen=(1.5, 2.25)))
    assert "changes with the sizes" in reason(drafts(PROBLEM, graph(odd), "cpp"))


def test_a_function_that_triton_lacks_is_named_and_cpp_covers_it():
    sinh = graph(node("out", "aten.sinh.default", Ref(ref="int")))
    assert "sinh" in reason(drafts(PROBLEM, sinh, "triton"))
    assert isinstance(drafts(PROBLEM, sinh, "cpp"), Covered)


@pytest.mark.parametrize("language", ["cpp", "triton"])
def test_where_a_running_extremum_is_has_no_sketch(language, tracing, make_file):
    studied = tracing(make_file("return x.cummax(-1)"))
    said = reason(drafts(studied.problem, studied.graph, language))
    assert said == "No sketch covers where the extremum of aten.cummax.default is (node cummax)."


def test_running_extrema_of_truth_values_have_no_sketch(tracing, make_file):
    studied = tracing(make_file("return (x > 0).cummin(-1).values"))
    said = reason(drafts(studied.problem, studied.graph, "cpp"))
    assert said == "No sketch covers aten.cummin.default of truth values (node cummin)."


def test_a_scan_that_is_not_known_is_named(tracing, make_file):
    studied = tracing(make_file("return x.logcumsumexp(-1)"))
    said = reason(drafts(studied.problem, studied.graph, "cpp"))
    assert said == "No sketch covers aten.logcumsumexp.default (node logcumsumexp)."


def test_another_number_of_outputs_than_the_problem_has_is_no_sketch():
    two = CENTRED.model_copy(update={"outputs": ("out", "sub")})
    assert "2 outputs" in reason(drafts(PROBLEM, two, "cpp"))


def test_a_plan_that_rendering_added_to_is_not_rendered_again(monkeypatch):
    seen = []

    def sketch(name, constants):
        def render(_, plan):
            seen.append(plan)
            for value in constants:
                plan.lowering.maker.constant(value, "int64")

        return Sketch(name=name, language="cpp", render=render)

    sketches = sketch("first", []), sketch("adds", [12345]), sketch("last", [])
    monkeypatch.setitem(drafts.__globals__, "SKETCHES", sketches)
    drafts(PROBLEM, graph(node("out", "aten.exp.default", Ref(ref="int"))), "cpp")
    first, adding, last = seen
    assert first is adding
    assert last is not adding


def test_a_very_deep_graph_is_refused_and_does_not_end_the_process():
    chain = [
        node(f"n{i}", "aten.exp.default", Ref(ref=f"n{i - 1}" if i else "int")) for i in range(5000)
    ]
    assert "too deep" in reason(drafts(PROBLEM, graph(*chain, output="n4999"), "cpp"))


def test_what_is_read_of_one_of_many_temporaries_has_no_other_ones_name(tracing, make_file):
    """An element of `kept_1` would be called `kept_10` by its number, which is the eleventh."""
    steps = "\n".join(f"                x = x / x.sum({n % 2}, keepdim=True)" for n in range(14))
    study = tracing(make_file(f"x = x.exp()\n{steps}\n                return x"))
    for candidate in study.candidates("triton"):
        text = candidate.source.text
        memory = set(re.findall(r"^ +(kept_\d+) = torch\.empty", text, re.MULTILINE))
        assert "kept_10" in memory
        assert not memory & set(re.findall(r"^ +(kept_\d+) = tl\.load", text, re.MULTILINE))
