"""Cases cross to another process as a message and memory, and are the same there."""

import os
from types import SimpleNamespace

import numpy as np
import pytest

from kernelwright.core.agreement import Expected
from kernelwright.core.errors import WorkerError
from kernelwright.core.problem import TensorSpec
from kernelwright.core.tolerance import Tolerance
from kernelwright.problems.case import Case
from kernelwright.problems.channel import Shared
from kernelwright.problems.packing import pack, unpack

# All that a packed case does not say by itself is what the inputs are.
PROBLEM = SimpleNamespace(
    inputs=(
        TensorSpec(name="x", shape=(2, 3), dtype="float32", role="input"),
        TensorSpec(name="index", shape=(4,), dtype="int64", role="input"),
    )
)
LIMIT = Tolerance(relative=1e-6, scale=0.5, rms_limit=1e-7)


@pytest.fixture
def case():
    floats = np.linspace(0.0, 1.0, 3)
    expected = (
        Expected(name="a", dtype="float32", values=floats, tolerance=LIMIT),
        Expected(name="b", dtype="float32", values=-floats, tolerance=LIMIT, slack=floats * 7),
        Expected(name="c", dtype="int32", values=np.array([[1, 2], [1, 3]], dtype=np.int32)),
        Expected(name="d", dtype="float32", values=np.empty(0), tolerance=LIMIT),
    )
    inputs = {"x": np.arange(6, dtype=np.float32), "index": np.array([3, 1, 2, 0])}
    return Case(
        workload_id="tiny", distribution="normal", inputs=inputs, expected=expected, eager_s=0.25
    )


@pytest.fixture
def packed(case):
    message, fd = pack(case)
    memory = Shared(fd)
    os.close(fd)
    return message, memory


def _same(ours, theirs):
    if ours is None or theirs is None:
        return ours is theirs
    return ours.dtype == theirs.dtype and np.array_equal(ours, theirs)


def test_a_case_comes_out_as_it_went_in(case, packed):
    found = unpack(PROBLEM, *packed)
    assert (found.workload_id, found.distribution, found.eager_s) == ("tiny", "normal", 0.25)
    assert list(found.inputs) == ["x", "index"]
    assert all(_same(found.inputs[name], value) for name, value in case.inputs.items())
    for theirs, ours in zip(found.expected, case.expected, strict=True):
        assert (theirs.name, theirs.dtype) == (ours.name, ours.dtype)
        assert theirs.tolerance == ours.tolerance
        assert _same(theirs.values, ours.values)
        assert _same(theirs.slack, ours.slack)


def _without_an_array(message):
    message["arrays"].pop()


def _with_an_array_too_many(message):
    message["arrays"].append([[1], 0])


def _beyond_the_memory(message):
    message["arrays"][0][1] = 1 << 40


def _of_a_shape_that_is_none(message):
    message["arrays"][0][0] = [-2, -3]


def _without_a_name(message):
    del message["expected"][0]["name"]


@pytest.mark.parametrize(
    "broken",
    [
        _without_an_array,
        _with_an_array_too_many,
        _beyond_the_memory,
        _of_a_shape_that_is_none,
        _without_a_name,
    ],
)
def test_a_message_that_is_no_case_is_our_fault(packed, broken):
    message, memory = packed
    broken(message)
    with pytest.raises(WorkerError, match="broken case"):
        unpack(PROBLEM, message, memory)
