"""A program is cut into sets of operators that can run at once, and each is a file of its own."""

import json

import pytest
import torch

from kernelwright.core.cut import Outline, Seen
from kernelwright.core.errors import ProblemError
from kernelwright.core.graph import Extent, Graph, Node, Ref, Unexplained, Value
from kernelwright.core.problem import Problem, Source, TensorSpec, Workload
from kernelwright.problems.derive import derive
from kernelwright.problems.oracle import Oracle
from kernelwright.problems.outlining import outline
from kernelwright.problems.regions.cutting import (
    boundary,
    by_product,
    in_order,
    maximal,
    trimmed,
)
from kernelwright.problems.regions.units import units_of
from kernelwright.problems.regions.wording import statement
from kernelwright.problems.regions.writing import part_of, source_of
from kernelwright.problems.suite import read_source

ROWS, DIM = Extent(axes=("rows",)), Extent(axes=("dim",))


def node(name, *reads, op="aten.relu.default", args=None, shape=(ROWS, DIM), dtype="float32"):
    given = args if args is not None else tuple(Ref(ref=r) for r in reads)
    return Node(name=name, op=op, args=given, shape=shape, dtype=dtype)


def graph(*nodes, inputs=("x",), outputs=None, dtypes=()):
    values = tuple(
        Value(name=name, shape=(ROWS, DIM), dtype=dict(dtypes).get(name, "float32"))
        for name in inputs
    )
    return Graph(
        inputs=values,
        nodes=nodes,
        outputs=outputs or (nodes[-1].name,),
        axes={"rows": 4, "dim": 8},
    )


def test_covered_operators_that_follow_each_other_are_one_region():
    units = units_of(graph(node("a", "x"), node("b", "a"), node("c", "b"), node("d", "c")))
    assert maximal(units, {"a", "b", "d"}) == [("a", "b"), ("d",)]


def test_a_way_out_of_a_region_never_leads_back_into_it():
    # Through `b` the value of `a` comes to `d` late: they cannot be one kernel.
    units = units_of(graph(node("a", "x"), node("b", "a"), node("c", "a"), node("d", "c", "b")))
    parts = maximal(units, {"a", "c", "d"})
    assert parts == [("a", "c"), ("d",)]
    assert in_order(units, parts) == [("a", "c"), ("b",), ("d",)]


def test_the_parts_of_what_has_several_results_stay_with_it():
    split = Node(name="s", op="aten.split.Tensor", args=(Ref(ref="x"), 4, -1))
    parts = [node(f"g{n}", op="getitem", args=(Ref(ref="s"), n), shape=(ROWS, 4)) for n in (0, 1)]
    units = units_of(graph(split, *parts, node("a", "g1"), outputs=("a", "g0")))
    assert [unit.name for unit in units] == ["s", "a"]
    assert boundary(units, {"s"}, ("a", "g0")) == (("x",), ("g0", "g1"))


def test_each_product_is_a_region_with_what_follows_it_and_views_go_with_their_readers():
    linear = "aten.linear.default"
    units = units_of(
        graph(
            node("norm", "x"),
            node("one", "norm", "w", op=linear),
            node("act", "one"),
            node("seen", "act", op="aten.view.default"),
            node("two", "seen", "w", op=linear),
            node("sum", "two", "x", op="aten.add.Tensor"),
            inputs=("x", "w"),
        )
    )
    every = {unit.name for unit in units}
    assert by_product(units, every) == [("norm", "one", "act"), ("seen", "two", "sum")]


def test_views_at_the_ends_of_a_region_stay_torch():
    view = "aten.transpose.int"
    units = units_of(
        graph(
            node("shared", "x", op=view),
            node("a", "shared"),
            node("last", "a", op=view),
            node("far", "last", "shared", op="aten.sort.default"),
        )
    )
    assert trimmed(units, ("shared", "a", "last"), ("far",)) == ("a",)
    assert trimmed(units, ("shared",), ("far",)) == ()


def test_what_depends_on_strides_or_on_unknown_numbers_is_not_written():
    names = {"x": "x", "y": "y"}
    with pytest.raises(ProblemError, match="depends on more than the elements"):
        statement(node("y", "x", op="aten.as_strided.default"), names)
    with pytest.raises(ProblemError, match="no name"):
        statement(node("y", args=(Ref(ref="x"), Unexplained(seen=(1.0, 5.0)))), names)
    shown = statement(node("y", args=(Ref(ref="x"), (4, -1)), op="aten.view.default"), names)
    assert shown == "y = torch.ops.aten.reshape.default(x, [4, -1])"


def whole(made):
    """The problem whose graph `made` is."""
    return Problem(
        id="whole",
        title="Whole",
        origin="testing",
        axes=("rows", "dim"),
        inputs=tuple(
            TensorSpec(name=v.name, shape=("rows", "dim"), dtype=v.dtype, role="input")
            for v in made.inputs
        ),
        outputs=(),
        reference=Source(files={"w.py": ""}, entry_point="w.py::Model"),
        workloads=(
            Workload(id="report", split="report", axes={"rows": 4, "dim": 8}),
            Workload(id="small", split="search", axes={"rows": 2, "dim": 3}),
            Workload(id="odd", split="hidden", axes={"rows": 5, "dim": 7}),
            Workload(id="same", split="hidden", axes={"rows": 2, "dim": 3}),
        ),
    )


def written(made, names, **seen):
    usual = Seen(low=-1.0, high=1.0, mean=0.0, spread=0.5)
    every = {v.name: usual for v in (*made.inputs, *made.nodes)} | seen
    found = Outline(graph=made, seen=every, seconds={n.name: 1e-3 for n in made.nodes})
    problem = whole(made)
    return source_of(problem, found, part_of(problem, found, names), "region_1.py", "A region.")


def test_a_region_is_a_problem_at_the_sizes_of_the_whole():
    made = graph(node("min", "x"), node("b", "min"), node("c", "b"))
    source = written(made, ["min", "b"])
    found = derive(source, "a region", Oracle(source), memory_bytes=1 << 30)
    assert [(w.id, w.split, w.axes) for w in found.workloads] == [
        ("report", "report", {"rows": 4, "dim": 8}),
        ("small", "search", {"rows": 2, "dim": 3}),
        ("odd", "hidden", {"rows": 5, "dim": 7}),
    ]
    assert [spec.name for spec in found.inputs] == ["x"]
    # Only whoever judges reads these.
    assert "odd" not in source.text
    assert json.loads(source.files["region_1.workloads.json"])[0]["id"] == "report"


def test_a_file_with_workloads_beside_it_is_read_with_them(tmp_path):
    source = written(graph(node("a", "x")), ["a"])
    for name, text in source.files.items():
        (tmp_path / name).write_text(text)
    assert read_source(tmp_path / "region_1.py")[0] == source


def test_workloads_that_are_broken_are_named():
    source = written(graph(node("a", "x")), ["a"])
    files = {**source.files, "region_1.workloads.json": "[]"}
    broken = source.model_copy(update={"files": files})
    with pytest.raises(ProblemError, match=r"region_1\.workloads\.json must have one"):
        derive(broken, "a region", Oracle(broken), memory_bytes=1 << 30)


def test_indices_are_drawn_from_all_places_there_are_and_other_integers_as_seen():
    made = graph(
        node("far", "i", op="aten.alias.default", dtype="int64"),
        node("a", "x", op="aten.gather.default", args=(Ref(ref="x"), 1, Ref(ref="far"))),
        node("b", "a", "k", op="aten.mul.Tensor"),
        inputs=("x", "i", "k"),
        dtypes={"i": "int64", "k": "int64"}.items(),
    )
    text = written(made, ["far", "a", "b"], k=Seen(low=2, high=6, mean=4, spread=1)).text
    assert "torch.randint(0, dim, (rows, dim))" in text
    assert "torch.randint(2, 7, (rows, dim))" in text


def test_a_region_that_is_given_infinities_is_no_problem():
    made = graph(node("a", "x"))
    with pytest.raises(ProblemError, match="NaN or infinity"):
        written(made, ["a"], x=Seen(low=0, high=1, mean=0, spread=1, finite=False))


SPECTRUM = '''
"""A perceptron, its spectrum, and a softmax."""
import torch
import torch.nn as nn

rows = 4
dim = 16


class Model(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.up = nn.Linear(dim, dim)

    def forward(self, x):
        return torch.softmax(torch.fft.fft(torch.relu(self.up(x))).abs(), dim=-1)


def get_inputs():
    return [torch.randn(rows, dim)]


def get_init_inputs():
    return [dim]
'''


def outlined(text):
    source = Source(files={"file.py": text}, entry_point="file.py::Model")
    oracle = Oracle(source)
    problem = derive(source, "file.py", oracle, memory_bytes=1 << 30)
    workload = min(problem.split("search"), key=problem.traffic_bytes)
    small, own = (oracle.twins(c).eager for c in (workload.constants, {}))
    return outline(small, workload, problem, own)


def test_an_outline_has_whole_operators_also_of_types_that_problems_do_not_have():
    found = outlined(SPECTRUM)
    ops = [(n.op.split(".")[1], n.dtype) for n in found.graph.nodes]
    assert ops == [
        ("linear", "float32"), ("relu", "float32"), ("fft_fft", None), ("abs", "float32"),
        ("softmax", "float32"),
    ]  # fmt: skip
    assert found.seen["relu"].low == 0.0
    assert found.seen["softmax"].mean == pytest.approx(1 / 16)
    assert found.seconds.keys() >= {n.name for n in found.graph.nodes}
    assert not torch.is_grad_enabled()


def test_a_region_takes_its_sizes_from_what_it_is_given():
    # Its file's constants are those of one workload; the module that is handed back knows no other.
    made = graph(node("a", args=(Ref(ref="x"), (-1, DIM)), op="aten.reshape.default"))
    source = written(made, ["a"])
    assert "dim = x.shape[1]\n" in source.text
    module = {}
    exec(source.text, module)
    assert module["Model"]()(torch.ones(2, 3)).shape == (2, 3)


def test_a_region_that_is_told_a_size_of_nothing_it_is_given_is_no_problem():
    far = Extent(axes=("rows", "dim"), offset=1)
    made = graph(
        node("a", args=((ROWS, DIM),), op="aten.ones.default"),
        node("b", "a", "k"),
        inputs=("k",),
    )
    values = made.inputs[0].model_copy(update={"shape": (far,)})
    with pytest.raises(ProblemError, match="told the size rows"):
        written(made.model_copy(update={"inputs": (values,)}), ["a", "b"])


def test_a_size_that_follows_from_those_that_are_given_is_worked_out():
    made = graph(node("a", args=(Ref(ref="x"), (ROWS, DIM)), op="aten.reshape.default"))
    triple = made.inputs[0].model_copy(update={"shape": (ROWS, Extent(axes=("wide",)))})
    problem = whole(made)
    workloads = tuple(
        w.model_copy(update={"axes": {**w.axes, "wide": 3 * w.axes["dim"]}})
        for w in problem.workloads
    )
    changed = {"axes": ("rows", "dim", "wide"), "workloads": workloads}
    problem = problem.model_copy(update=changed)
    made = made.model_copy(update={"inputs": (triple,)})
    seen = dict.fromkeys(("x", "a"), Seen(low=-1, high=1, mean=0, spread=1))
    found = Outline(graph=made, seen=seen, seconds={"a": 1.0})
    part = part_of(problem, found, ["a"])
    text = source_of(problem, found, part, "region_1.py", "A region.").text
    assert "wide = x.shape[1]\n        dim = wide // 3\n" in text


CUT_OFF = """
import torch
import torch.nn as nn

rows, dim = 40, 50


class Model(nn.Module):
    def forward(self, x):
        return torch.fft.rfft(x.exp(), dim=-1).abs()[:, :16].softmax(-1)


def get_inputs():
    return [torch.randn(rows, dim)]


def get_init_inputs():
    return []
"""


def test_a_program_with_an_operator_at_its_own_sizes_alone_is_not_outlined():
    """Where a slice cuts nothing off there is none: a region without it would be another one."""
    with pytest.raises(ProblemError, match=r"different operators.*: slice_1 there or here"):
        outlined(CUT_OFF)
