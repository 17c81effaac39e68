"""Every built-in problem keeps the promises of a problem, at the sizes it states."""

import ast

import pytest

from kernelwright.problems import suite
from kernelwright.problems.constants import find_constants
from kernelwright.testing.problems import ProblemContract

QUICK = "rmsnorm"


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
