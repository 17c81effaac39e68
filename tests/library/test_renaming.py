"""Random graphs: a renaming, another order and swapped operands keep the key; a change does not."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernelwright.core.graph import Extent, Graph, Node, Ref, Unexplained, Value
from kernelwright.core.problem import Problem, Source, TensorSpec, Workload
from kernelwright.library.normal import elements
from kernelwright.library.normal.form import NoForm, normal_form

ROWS, DIM = Extent(axes=("rows",)), Extent(axes=("dim",))
FULL, ROW, LINE = (ROWS, DIM), (ROWS, 1), (DIM,)
COMMUTATIVE = {"aten.add.Tensor", "aten.mul.Tensor", "aten.maximum.default"}
UNARY = ("aten.exp.default", "aten.tanh.default", "aten.sigmoid.default", "aten.rsqrt.default")
BINARY = ("aten.add.Tensor", "aten.mul.Tensor", "aten.sub.Tensor", "aten.maximum.default")
FOLDS = ("aten.sum.dim_IntList", "aten.mean.dim", "aten.amax.default")


def node(name, op, args, shape=FULL):
    return Node(name=name, op=op, args=args, shape=shape, dtype="float32")


def problem(graph, dtype="float32"):
    inputs = [TensorSpec(name=v.name, shape=(), dtype=v.dtype, role="input") for v in graph.inputs]
    outputs = [
        TensorSpec(name=f"out{n}", shape=(), dtype="float32", role="output")
        for n in range(len(graph.outputs))
    ]
    return Problem(
        id="p", title="", origin="", axes=("rows", "dim"), inputs=tuple(inputs),
        outputs=tuple(outputs), reference=Source(files={"m.py": ""}, entry_point="m.py::Model"),
        workloads=(Workload(id="w", split="report", axes={"rows": 2, "dim": 3}),),
    )  # fmt: skip


def form(graph):
    return normal_form(problem(graph), graph)


@st.composite
def graphs(draw):
    """A program on two matrices and a vector: pointwise operators, and reductions of rows."""
    inputs = (
        Value(name="x", shape=FULL, dtype="float32"),
        Value(name="y", shape=FULL, dtype="float32"),
        Value(name="w", shape=LINE, dtype="float32"),
    )
    shapes = {"x": FULL, "y": FULL, "w": LINE}
    nodes = []
    for number in range(draw(st.integers(3, 9))):
        name = f"v{number}"
        kind = draw(st.sampled_from(("unary", "binary", "binary", "fold", "constant")))
        known = sorted(shapes)
        full = [n for n in known if shapes[n] == FULL]
        if kind == "unary":
            source = draw(st.sampled_from(known))
            made = node(name, draw(st.sampled_from(UNARY)), (Ref(ref=source),), shapes[source])
        elif kind == "fold":
            op, source = draw(st.sampled_from(FOLDS)), draw(st.sampled_from(full))
            made = node(name, op, (Ref(ref=source), (-1,), True), ROW)
        elif kind == "constant":
            source, value = draw(st.sampled_from(known)), draw(st.sampled_from((0.5, 1e-6, 3.0)))
            op = draw(st.sampled_from(("aten.add.Tensor", "aten.mul.Tensor")))
            made = node(name, op, (Ref(ref=source), value), shapes[source])
        else:
            one, other = draw(st.sampled_from(full)), draw(st.sampled_from(known))
            op = draw(st.sampled_from(BINARY))
            made = node(name, op, (Ref(ref=one), Ref(ref=other)))
        nodes.append(made)
        shapes[name] = made.shape
    outputs = draw(st.lists(st.sampled_from([n.name for n in nodes]), min_size=1, max_size=2,
                            unique=True))  # fmt: skip
    return Graph(inputs=inputs, nodes=tuple(nodes), outputs=tuple(outputs), axes={})


def renamed(value, names):
    if isinstance(value, Ref):
        return Ref(ref=names.get(value.ref, value.ref))
    if isinstance(value, Extent):
        return value.model_copy(update={"axes": tuple(names.get(a, a) for a in value.axes)})
    if isinstance(value, tuple):
        return tuple(renamed(v, names) for v in value)
    return value


def disguised(graph, seed):
    """The same program: everything has another name and place, and operands change sides."""
    chance = random.Random(seed)
    taken = [v.name for v in graph.inputs] + [n.name for n in graph.nodes] + ["rows", "dim"]
    names = dict(zip(taken, chance.sample([f"n{i}" for i in range(99)], len(taken)), strict=True))
    nodes, waiting, there = [], list(graph.nodes), {v.name for v in graph.inputs}
    while waiting:
        ready = [n for n in waiting if all(a.ref in there for a in n.args if isinstance(a, Ref))]
        chosen = chance.choice(ready)
        waiting.remove(chosen)
        there.add(chosen.name)
        args = chosen.args
        if chosen.op in COMMUTATIVE and isinstance(args[1], Ref) and chance.random() < 0.5:
            args = args[::-1]
        nodes.append(
            chosen.model_copy(
                update={"name": names[chosen.name], "args": renamed(args, names),
                        "shape": renamed(chosen.shape, names)}
            )
        )  # fmt: skip
    inputs = [
        v.model_copy(update={"name": names[v.name], "shape": renamed(v.shape, names)})
        for v in graph.inputs
    ]
    chance.shuffle(inputs)
    outputs = [names[o] for o in graph.outputs]
    chance.shuffle(outputs)
    return Graph(inputs=tuple(inputs), nodes=tuple(nodes), outputs=tuple(outputs), axes={}), names


@settings(max_examples=150, deadline=None, derandomize=True)
@given(graph=graphs(), seed=st.integers(0, 2**20))
def test_other_names_orders_and_sides_keep_the_key_and_say_which_input_is_which(graph, seed):
    other, _ = disguised(graph, seed)
    ours, theirs = form(graph), form(other)
    assert ours.text == theirs.text
    assert ours.key == theirs.key
    assert len(ours.constants) == len(theirs.constants)
    # Marking an input here and the one that it corresponds to there is the same change.
    for one, its in zip(ours.tensors, theirs.tensors, strict=True):
        assert form(marked(graph, one)).key == form(marked(other, its)).key


def marked(graph, name):
    """`graph` with an input of another type."""
    inputs = [
        v.model_copy(update={"dtype": "float16"}) if v.name == name else v for v in graph.inputs
    ]
    return graph.model_copy(update={"inputs": tuple(inputs)})


def base():
    """RMSNorm of a sum, with a second output."""
    return [
        node("s", "aten.add.Tensor", (Ref(ref="x"), Ref(ref="y"))),
        node("q", "aten.mul.Tensor", (Ref(ref="s"), Ref(ref="s"))),
        node("m", "aten.mean.dim", (Ref(ref="q"), (-1,), True), ROW),
        node("e", "aten.add.Tensor", (Ref(ref="m"), 1e-6), ROW),
        node("r", "aten.rsqrt.default", (Ref(ref="e"),), ROW),
        node("n", "aten.mul.Tensor", (Ref(ref="s"), Ref(ref="r"))),
        node("o", "aten.mul.Tensor", (Ref(ref="n"), Ref(ref="w"))),
        node("t", "aten.sub.Tensor", (Ref(ref="s"), Ref(ref="w"))),
    ]


def graph_of(nodes, outputs=("o", "t"), dtypes=("float32",) * 3, line=LINE):
    inputs = tuple(
        Value(name=name, shape=shape, dtype=dtype)
        for name, shape, dtype in zip("xyw", (FULL, FULL, line), dtypes, strict=True)
    )
    return Graph(inputs=inputs, nodes=tuple(nodes), outputs=outputs, axes={})


CHANGES = {
    "another operator": {"r": {"op": "aten.exp.default"}},
    "a difference for a sum": {"s": {"op": "aten.sub.Tensor"}},
    "a sum for a mean": {"m": {"op": "aten.sum.dim_IntList"}},
    "a maximum for a mean": {"m": {"op": "aten.amax.default"}},
    "another axis": {
        "m": {"args": (Ref(ref="q"), (0,), True), "shape": (1, DIM)},
        "e": {"shape": (1, DIM)},
        "r": {"shape": (1, DIM)},
    },
    "another operand": {"n": {"args": (Ref(ref="x"), Ref(ref="r"))}},
    "sides of a difference": {"t": {"args": (Ref(ref="w"), Ref(ref="s"))}},
    "epsilon left out": {"r": {"args": (Ref(ref="m"),)}},
    "epsilon outside of the root": {
        "r": {"args": (Ref(ref="m"),)},
        "e": {"args": (Ref(ref="r"), 1e-6)},
        "n": {"args": (Ref(ref="s"), Ref(ref="e"))},
    },
    "a node in another type": {"n": {"dtype": "bfloat16"}},
}


@settings(max_examples=40, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**20))
def test_one_change_gives_another_key_under_any_disguise(seed):
    plain = form(graph_of(base()))
    for name, changes in CHANGES.items():
        changed = [n.model_copy(update=changes.get(n.name, {})) for n in base()]
        if name == "epsilon outside of the root":
            order = ["s", "q", "m", "r", "e", "n", "o", "t"]
            changed.sort(key=lambda n: order.index(n.name))
        other, _ = disguised(graph_of(changed), seed)
        assert form(other).key != plain.key, name


def test_another_type_of_an_input_gives_another_key():
    keys = {
        form(graph_of(base(), dtypes=dtypes)).key
        for dtypes in (
            ("float32",) * 3,
            ("bfloat16", "float32", "float32"),
            ("float32", "float32", "float16"),
        )
    }
    assert len(keys) == 3


def test_other_constants_keep_the_key_and_are_listed():
    def with_epsilon(value):
        return [
            n.model_copy(update={"args": (Ref(ref="m"), value)}) if n.name == "e" else n
            for n in base()
        ]

    small, large = (form(graph_of(with_epsilon(v))) for v in (1e-6, 1e-3))
    assert small.key == large.key
    assert (small.constants, large.constants) == ((1e-6,), (1e-3,))


def test_zero_and_one_are_no_constants_that_may_differ():
    def scaled(value):
        return [*base(), node("z", "aten.mul.Tensor", (Ref(ref="o"), value))]

    half, plain = (form(graph_of(scaled(v), outputs=("z", "t"))) for v in (0.5, 1.0))
    assert half.key != plain.key
    assert plain.key == form(graph_of(base())).key


def test_an_operator_of_no_table_stays_whole_and_keeps_its_arguments():
    def scanned(dim):
        return graph_of([node("o", "aten.some_new_op.default", (Ref(ref="x"), dim))], ("o",))

    assert form(scanned(1)).key == form(disguised(scanned(1), 5)[0]).key
    assert form(scanned(1)).key != form(scanned(0)).key


def test_the_correspondence_of_inputs_is_right():
    """x and y are added and do the same; w does not."""
    ours = form(graph_of(base()))
    other, names = disguised(graph_of(base()), 3)
    theirs = form(other)
    to = dict(zip(ours.tensors, theirs.tensors, strict=True))
    assert to["w"] == names["w"]
    assert {to["x"], to["y"]} == {names["x"], names["y"]}


def test_a_product_and_its_operands_the_other_way_round_are_one_value():
    def program(first, second):
        return graph_of(
            [
                node("a", "aten.mul.Tensor", (Ref(ref="x"), Ref(ref="y"))),
                node("b", "aten.mul.Tensor", (Ref(ref=first), Ref(ref=second))),
                node("o", "aten.atan2.default", (Ref(ref="a"), Ref(ref="b"))),
            ],
            ("o",),
        )

    assert form(program("x", "y")).key == form(program("y", "x")).key


def test_a_factor_that_a_sum_does_not_change_may_stand_before_it_or_in_it():
    def program(scaled_first):
        scale, total = ("s", "t") if scaled_first else ("t", "s")
        nodes = [
            node("s", "aten.mul.Tensor", (Ref(ref="x" if scaled_first else "t"), 0.25),
                 FULL if scaled_first else ROW),
            node("t", "aten.sum.dim_IntList", (Ref(ref=scale if scaled_first else "x"), (1,), True),
                 ROW),
        ]  # fmt: skip
        return graph_of(nodes if scaled_first else nodes[::-1], (total,))

    assert form(program(True)).key == form(program(False)).key


def test_sides_that_matter_are_kept_apart():
    def program(first, second):
        return graph_of([node("o", "aten.atan2.default", (first, second))], ("o",))

    x, w = Ref(ref="x"), Ref(ref="w")
    assert form(program(x, w)).key != form(program(w, x)).key


def test_a_program_that_is_too_large_when_written_out_has_no_form(monkeypatch):
    monkeypatch.setattr(elements, "MOST", 5)
    with pytest.raises(NoForm, match="written out, it is too large"):
        form(graph_of(base()))


def test_a_size_that_is_not_understood_has_no_form():
    unknown = graph_of(base()).model_copy(
        update={
            "inputs": (
                Value(name="x", shape=(Unexplained(seen=(3.0, 8.0)), DIM), dtype="float32"),
                *graph_of(base()).inputs[1:],
            )
        }
    )
    with pytest.raises(NoForm, match="does not follow from the axes"):
        form(unknown)
