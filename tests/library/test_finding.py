"""Looking a problem up, and what the writer makes of it."""

import asyncio

import pytest

from kernelwright.core.candidate import Plan
from kernelwright.core.errors import ProblemError
from kernelwright.core.graph import Graph, Node, Ref
from kernelwright.core.protocols import Assignment
from kernelwright.generate.listed_writer import LibraryWriter
from kernelwright.library.adding import add
from kernelwright.library.finding import Found, NotFound, Shelves, similarity
from kernelwright.library.normal.form import normal_form
from kernelwright.library.shelf import read_library
from kernelwright.testing.library import norm, promoted


@pytest.fixture
def kernels(tmp_path):
    add(tmp_path, "norm-cpp", promoted())
    return read_library([tmp_path])[0]


def shelves(kernels, problem, graph):
    return Shelves(kernels, problem, lambda: graph)


def propose(writer, problem, kind="draft", variant=0, language="cpp"):
    plan = Plan(kind=kind, language=language, writer="library", variant=variant)
    return asyncio.run(writer.propose(Assignment(step=1, plan=plan, problem=problem)))


def test_a_problem_that_is_there_is_drafted_once(kernels):
    problem, graph = norm(x="a", epsilon=0.5)
    found = shelves(kernels, problem, graph)
    assert isinstance(found.drafts("cpp"), Found)
    assert found.drafts("cpp").names == ("norm-cpp",)
    assert found.count("cpp") == 1
    writer = LibraryWriter(drafts=found.drafts)
    first, second = (propose(writer, problem, variant=n) for n in (0, 1))
    assert "#define EPS 0.5f" in first.candidate.source.text
    assert second.reason == "The library has 1 kernel for this problem in cpp, and no more."
    refined = propose(writer, problem, kind="refine")
    assert refined.reason == "The library only has drafts; it cannot carry out a plan to refine."


def test_a_problem_that_is_not_there_says_so(kernels):
    problem, graph = norm(dtype="float64")
    found = shelves(kernels, problem, graph)
    assert found.count("cpp") == 0
    reason = "The library has no kernel in cpp that computes this."
    assert propose(LibraryWriter(drafts=found.drafts), problem).reason == reason
    assert found.drafts("triton") == NotFound(reason="The library has no kernel in triton.")


def test_nothing_is_traced_for_a_language_without_kernels(kernels):
    def never():
        raise AssertionError

    assert Shelves(kernels, norm()[0], never).count("triton") == 0


def test_a_program_that_cannot_be_traced_is_not_found(kernels):
    def fails():
        raise ProblemError("It cannot be traced.")

    found = Shelves(kernels, norm()[0], fails)
    assert found.drafts("cpp").reason == "The library cannot be searched. It cannot be traced."
    assert found.examples("cpp") == ()


def with_silu(graph):
    nodes = (
        *graph.nodes,
        Node(name="s", op="aten.sigmoid.default", args=(Ref(ref="o"),), shape=graph.nodes[-1].shape,
             dtype="float32"),
        Node(name="z", op="aten.mul.Tensor", args=(Ref(ref="o"), Ref(ref="s")),
             shape=graph.nodes[-1].shape, dtype="float32"),
    )  # fmt: skip
    return Graph(inputs=graph.inputs, nodes=nodes, outputs=("z",), axes={})


def doubled(graph):
    node = Node(name="z", op="aten.exp.default", args=(Ref(ref="x"),),
                shape=graph.nodes[0].shape, dtype="float32")  # fmt: skip
    return Graph(inputs=graph.inputs[:1], nodes=(node,), outputs=("z",), axes={})


def test_a_near_problem_is_shown_and_a_far_one_is_not(kernels):
    problem, graph = norm()
    (example,) = shelves(kernels, problem, with_silu(graph)).examples("cpp")
    assert example.title == "A norm"
    assert 'extern "C" void kernel' in example.source
    assert shelves(kernels, problem, with_silu(graph)).count("cpp") == 0
    assert shelves(kernels, problem, doubled(graph)).examples("cpp") == ()


def test_a_program_is_most_like_itself():
    problem, graph = norm()
    own, near, far = (normal_form(problem, g) for g in (graph, with_silu(graph), doubled(graph)))
    assert similarity(own, own) == 1.0
    assert 0.5 < similarity(own, near) < 1.0
    assert similarity(own, far) < 0.2
