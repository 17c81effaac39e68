"""Problems that are one, or nearly: by their graphs, and by the texts of their references."""

import itertools

import pytest

from kernelwright.core.graph import Extent, Graph, Node, Ref, Value
from kernelwright.library.adding import add
from kernelwright.library.finding import NotFound, Shelves
from kernelwright.library.near import alike, keys_of, plain_key, print_of, runs_of
from kernelwright.library.shelf import read_library
from kernelwright.problems import suite
from kernelwright.testing.library import norm, promoted

NORM = '''
class Model(nn.Module):
    """{title}"""

    def __init__(self, {dim}, eps):
        super().__init__()
        self.eps = eps
        self.{weight} = nn.Parameter(torch.ones({dim}))

    def forward(self, {x}):
        square = {x}.pow(2).mean(dim={axis}, keepdim=True)
        return {x} * torch.rsqrt(square + self.eps) * self.{weight}


def get_inputs():
    return [torch.{drawn}(16, 64, dtype=torch.{dtype})]
'''
PLAIN = {
    "title": "RMSNorm", "dim": "dim", "weight": "weight", "x": "x", "axis": "-1",
    "drawn": "randn", "dtype": "float32",
}  # fmt: skip


def text(**changes):
    return NORM.format(**(PLAIN | changes))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"title": "A norm of another name", "dim": "columns", "weight": "gain", "x": "signal"},
        {"axis": "1"},
        {"dtype": "float16", "drawn": "rand"},
    ],
)
def test_a_text_under_other_names_sizes_types_or_axes_is_nearly_the_same(changes):
    assert print_of(text(), ()).near(print_of(text(**changes), ()))


def test_a_text_that_is_laid_out_otherwise_is_the_same():
    spread = text().replace("def forward", "# The work.\n\n    def forward")
    assert alike(runs_of(text()), runs_of(spread)) == 1.0


# Some share a reference and differ in direction or sizes; decoding is attention on one row.
FAMILIES = (
    {"attention", "gqa_attention", "gqa_decode"},
    {"batched_matmul", "batched_skinny_matmul"},
    {"cross_entropy", "cross_entropy_backward", "cross_entropy_large"},
    {"layernorm", "layernorm_backward"},
    {"matmul_bias_backward", "matmul_bias_relu", "skinny_matmul"},
    {"rmsnorm", "rmsnorm_backward"},
    {"softmax", "softmax_backward", "softmax_long"},
    {"swiglu", "swiglu_backward"},
)


def test_problems_that_compute_other_things_are_not_taken_for_each_other():
    prints = {
        name: print_of(suite.read_source(f"builtin:{name}")[0].text, ()) for name in suite.names()
    }
    near = {
        pair for pair in itertools.combinations(prints, 2) if prints[pair[0]].near(prints[pair[1]])
    }
    strange = [pair for pair in near if not any(set(pair) <= family for family in FAMILIES)]
    assert strange == []
    assert ("softmax", "softmax_long") in near
    assert len(near) > 10


def test_what_cannot_be_read_as_python_is_compared_as_words():
    broken = "def f(:\n  '''" + " ".join(f"w{n}" for n in range(50))
    assert alike(runs_of(broken), runs_of(broken)) == 1.0
    assert not print_of(broken, ()).near(print_of(text(), ()))


def test_equal_graphs_are_enough_and_no_graphs_are_not():
    one, other = print_of("softmax(x)", ("a", "b")), print_of(text(), ("b", "c"))
    assert one.near(other)
    assert not print_of("softmax(x)", ()).near(print_of(text(), ()))


def graph(name="x", op="aten.relu.default", size="rows", number=2.0):
    shape = (Extent(axes=(size,)), 8)
    return Graph(
        inputs=(Value(name=name, shape=shape, dtype="float32"),),
        nodes=(
            Node(name=f"{name}1", op=op, args=(Ref(ref=name),), shape=shape, dtype="float32"),
            Node(
                name=f"{name}2", op="aten.view.default",
                args=(Ref(ref=f"{name}1"), (Extent(axes=(size,)), number)),
            ),
        ),
        outputs=(f"{name}2",),
        axes={size: 4},
    )  # fmt: skip


def test_the_key_of_a_plain_graph_knows_no_names_and_no_sizes():
    assert plain_key(graph()) == plain_key(graph(name="signal", size="columns"))
    assert plain_key(graph()) != plain_key(graph(op="aten.tanh.default"))
    assert plain_key(graph()) != plain_key(graph(number=3.0))


def test_a_problem_has_the_key_of_its_normal_form_whatever_its_names():
    one = keys_of(*norm())
    assert len(one) == 2
    assert one & keys_of(*norm(x="a", weight="gain", dim="columns", swapped=True))
    assert not one & keys_of(*with_other_operator())


def test_another_type_is_no_other_problem_here():
    assert keys_of(*norm()) & keys_of(*norm(dtype="float64"))


def with_other_operator():
    problem, traced = norm()
    nodes = [n.model_copy(update={"op": n.op.replace("rsqrt", "sqrt")}) for n in traced.nodes]
    assert nodes != list(traced.nodes)
    return problem, traced.model_copy(update={"nodes": tuple(nodes)})


def test_a_library_without_contamination_has_no_kernel_of_the_problem(tmp_path):
    add(tmp_path, "norm-cpp", promoted())
    kernels = read_library([tmp_path])[0]
    problem, traced = norm(x="a", weight="gain", epsilon=0.5)
    for kept, count in ((False, 1), (True, 0)):
        shelves = Shelves(kernels, problem, lambda: traced, decontaminate=kept)
        assert shelves.count("cpp") == count
        assert len(shelves.examples("cpp")) == count
        assert len(shelves.to_read("cpp")) == 2 * count
    assert shelves.drafts("cpp") == NotFound(
        reason="The library has no kernel in cpp for another problem."
    )
