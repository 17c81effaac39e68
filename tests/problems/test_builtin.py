"""Every built-in problem keeps the promises of a problem, at the sizes it states."""

import ast

import pytest
import torch

from kernelwright.problems import suite
from kernelwright.problems.constants import find_constants
from kernelwright.problems.derive import derive
from kernelwright.problems.oracle import Oracle
from kernelwright.problems.soundness import sound_distributions
from kernelwright.problems.work import measured
from kernelwright.testing.problems import ProblemContract

QUICK = "rmsnorm"
FORWARD_AND_BACKWARD = "cross_entropy_large"
# One of each kind of problem; what the others say is said again by the slow tests.
OF_EACH_KIND = {
    "adamw_step", "argmax", "attention", "conv1d_gelu", "cumsum", "embedding", "groupnorm",
    "int8_matmul", "maxpool2d", "mlp", "moe_routing", "rmsnorm", "rmsnorm_backward", "rope",
    "scatter_add", "topk", FORWARD_AND_BACKWARD,
}  # fmt: skip


class TestOneProblem(ProblemContract):
    @pytest.fixture(scope="class")
    @classmethod
    def origin(cls):
        return suite.PREFIX + QUICK


@pytest.mark.slow
class TestEveryProblem(ProblemContract):
    @pytest.fixture(scope="class", params=[n for n in suite.names() if n != QUICK])
    @classmethod
    def origin(cls, request):
        return suite.PREFIX + request.param


@pytest.mark.parametrize("name", suite.names())
def test_a_problem_says_what_it_is_and_what_a_gpu_gets(name):
    text = suite.source(name).text
    constants = find_constants(text)
    larger = find_constants(suite.source(name, sizes="gpu").text)
    assert ast.get_docstring(ast.parse(text))
    assert set(larger) == set(constants)
    assert all(larger[key] >= value for key, value in constants.items())
    assert larger != constants


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in OF_EACH_KIND else [pytest.mark.slow])
        for name in suite.names()
    ],
)
def test_a_problem_is_judged_at_several_sizes_under_several_distributions(name):
    source, origin = suite.read_source(suite.PREFIX + name)
    oracle = Oracle(source)
    problem = derive(source, origin, oracle, memory_bytes=4 << 30)
    assert len(problem.split("search")) >= 2
    assert len(problem.split("hidden")) >= 5
    assert len({tuple(w.axes.values()) for w in problem.workloads}) == len(problem.workloads)
    # Few enough to be timed on two cores, and enough that a launch is not all there is.
    assert 1e-5 < oracle.work(problem, problem.report_workload).seconds < 0.02
    assert all("free" in w.inputs.values() for w in problem.workloads)
    distributions = sound_distributions(oracle, problem)
    assert {"file", "normal", "uniform", "small", "sparse", "ties"} <= set(distributions)
    direction = "backward" if name.endswith("_backward") else "forward"
    assert problem.direction == ("forward_backward" if name == FORWARD_AND_BACKWARD else direction)


def test_the_suite_is_the_one_that_the_documents_name():
    assert len(suite.names()) == 55
    assert sum(name.endswith("_backward") for name in suite.names()) == 8


def test_a_scatter_may_add_everything_into_one_element():
    index = torch.zeros(50, dtype=torch.int64)
    values = torch.ones(50, 3)
    _, rows = measured(torch.zeros(4, 3).index_add, 0, index, values)
    _, elements = measured(torch.zeros(4, 3).scatter_add, 0, index[:, None].expand(50, 3), values)
    assert rows.longest_sum == elements.longest_sum == 51
