"""What every problem promises, whoever wrote its file: a contract to subclass.

class TestMyProblem(ProblemContract):
    @pytest.fixture(scope="class")
    @classmethod
    def origin(cls):
        return "my_model.py"
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from kernelwright.core.formats import storage_dtype
from kernelwright.core.problem import Problem
from kernelwright.problems.case import Case
from kernelwright.problems.reference import Reference

_SEED = 20_25


class ProblemContract:
    """Subclass it and provide the class-scoped fixture `origin`: a path, `Source` or name."""

    @pytest.fixture(scope="class")
    @classmethod
    def reference(cls, origin: str) -> Iterator[Reference]:
        """The process that the problem's file runs in."""
        with Reference.open(origin) as reference:
            yield reference

    @pytest.fixture(scope="class")
    @classmethod
    def problem(cls, reference: Reference) -> Problem:
        """The problem that was derived from the file."""
        return reference.load()

    @pytest.fixture(scope="class")
    @classmethod
    def case(cls, reference: Reference, problem: Problem) -> Case:
        """One case at the report size."""
        return reference.case(problem.report_workload, reference.distributions()[-1], _SEED)

    def test_it_has_one_report_workload_and_it_comes_first(self, problem: Problem) -> None:
        """The file's own sizes are what is timed."""
        assert [w.split for w in problem.workloads].index("report") == 0
        assert len(problem.split("report")) == 1

    def test_every_workload_says_every_axis_and_rule(self, problem: Problem) -> None:
        """Nothing about a workload is left to be guessed."""
        for workload in problem.workloads:
            assert set(workload.axes) == set(problem.axes)
            assert set(workload.inputs) == {spec.name for spec in problem.inputs}

    def test_names_are_distinct(self, problem: Problem) -> None:
        """Tensors and axes can be variables of one function."""
        names = [s.name for s in problem.inputs + problem.outputs] + list(problem.axes)
        assert len(set(names)) == len(names)

    def test_arrays_fit_their_specs(self, problem: Problem, case: Case) -> None:
        """A case has every tensor, in the type and size that the problem states."""
        axes = problem.report_workload.axes
        assert list(case.inputs) == [spec.name for spec in problem.inputs]
        for spec in problem.inputs:
            array = case.inputs[spec.name]
            assert array.dtype == storage_dtype(spec.dtype)
            assert array.shape == (spec.elements(axes),)
        assert [e.name for e in case.expected] == [spec.name for spec in problem.outputs]
        for spec, expected in zip(problem.outputs, case.expected, strict=True):
            answers = expected.values if expected.tolerance is None else expected.values[None]
            assert expected.dtype == spec.dtype
            assert answers[0].size == spec.elements(axes)

    def test_a_case_repeats_from_its_seed(
        self, reference: Reference, problem: Problem, case: Case
    ) -> None:
        """The same seed gives the same inputs and answers; another gives others."""
        again = reference.case(problem.report_workload, case.distribution, _SEED)
        other = reference.case(problem.report_workload, case.distribution, _SEED + 1)
        assert all(np.array_equal(a, again.inputs[n]) for n, a in case.inputs.items())
        assert not all(np.array_equal(a, other.inputs[n]) for n, a in case.inputs.items())
        for expected, repeated in zip(case.expected, again.expected, strict=True):
            assert np.array_equal(expected.values, repeated.values, equal_nan=True)

    def test_it_is_admitted(self, reference: Reference) -> None:
        """Its inputs tell every deliberately wrong program from the right one."""
        admission = reference.admit(_SEED)
        assert admission.admitted, admission.sentence
