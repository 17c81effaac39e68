"""A kernel put to another problem: what is what, what may differ, and what may not."""

import ctypes
import subprocess

import numpy as np
import pytest

from kernelwright.core.errors import UsageError
from kernelwright.core.problem import TensorSpec, Workload
from kernelwright.languages.cpp import Cpp
from kernelwright.library.adapting import adapted, with_constants
from kernelwright.library.adding import add
from kernelwright.library.matching import NoFit, fit
from kernelwright.library.normal.form import normal_form
from kernelwright.library.shelf import read_kernel
from kernelwright.testing.library import NORM_KERNEL, norm, promoted

THEIRS = {"batch": ("b", "t"), "dim": "width", "x": "hidden", "weight": "gain", "out": "y"}


@pytest.fixture
def kernel(tmp_path):
    return read_kernel(add(tmp_path, "norm-cpp", promoted()))


def fitted(kernel, **changes):
    problem, graph = norm(**changes)
    return fit(kernel, problem, normal_form(problem, graph)), problem


def test_the_correspondence_is_found(kernel):
    found, _ = fitted(kernel, **THEIRS, epsilon=1e-3)
    assert found.tensors == {"x": "hidden", "weight": "gain"}
    assert found.outputs == {"out": "y"}
    assert {a: str(s) for a, s in found.sizes.items()} == {"rows": "b * t", "dim": "width"}
    assert found.constants == {"EPS": 1e-3}


def test_the_same_problem_gets_the_text_as_it_is(kernel):
    found, problem = fitted(kernel)
    assert adapted(found, problem).source.text.endswith(NORM_KERNEL)
    assert adapted(found, problem).source.name == "kernel"


def test_another_problem_gets_a_function_with_its_own_parameters(kernel):
    found, problem = fitted(kernel, **THEIRS, swapped=True, epsilon=0.25)
    candidate = adapted(found, problem, "none, 1 threads")
    text = candidate.source.text
    assert "#define EPS 0.25f" in text
    assert "kernel(hidden, gain, y, b * t, width);" in text
    assert candidate.source.name == "adapted"
    assert candidate.values == {"TILE": 2}


def test_the_adapted_kernel_computes_the_problem(kernel, tmp_path):
    found, problem = fitted(kernel, **THEIRS, swapped=True, epsilon=0.25)
    plan = Cpp().build(adapted(found, problem), problem)
    for name, text in plan.files.items():
        (tmp_path / name).write_text(text)
    for command in plan.commands:
        subprocess.run(command, cwd=tmp_path, check=True)
    entry = ctypes.CDLL(str(tmp_path / plan.artifact)).kw_entry
    rng = np.random.default_rng(1)
    gain, hidden = rng.random(5, np.float32), rng.random((2, 3, 5), np.float32)
    y = np.empty_like(hidden)
    tensors = (ctypes.c_void_p * 3)(*(a.ctypes.data for a in (gain, hidden, y)))
    entry(tensors, (ctypes.c_int64 * 3)(2, 3, 5))
    scale = 1 / np.sqrt((hidden**2).mean(-1, keepdims=True) + 0.25)
    np.testing.assert_allclose(y, hidden * scale * gain, rtol=1e-5)


def test_another_constant_needs_a_name_in_the_text(tmp_path):
    text = NORM_KERNEL.replace("#define EPS 1e-06f\n", "").replace("EPS", "1e-06f")
    fixed = read_kernel(add(tmp_path, "fixed", promoted(text=text)))
    with pytest.raises(NoFit, match=r"It has 1e-06 where 0.001 is asked for"):
        fitted(fixed, epsilon=1e-3)
    assert fitted(fixed, **THEIRS)[0].constants == {}


def test_a_constant_that_stands_for_two_must_be_one(kernel):
    problem, graph = norm()
    form = normal_form(problem, graph)
    two = kernel.about.constants[0].model_copy(update={"at": (0, 1)})
    about = kernel.about.model_copy(update={"constants": (two,)})
    forms = {
        key: form.model_copy(update={"constants": values})
        for key, values in {"own": (1e-6, 1e-6), "same": (0.5, 0.5), "not": (0.5, 0.25)}.items()
    }
    changed = type(kernel)(**{**vars(kernel), "about": about, "form": forms["own"]})
    assert fit(changed, problem, forms["same"]).constants == {"EPS": 0.5}
    with pytest.raises(NoFit, match=r"EPS would have to be both 0.5 and 0.25"):
        fit(changed, problem, forms["not"])


def test_another_type_does_not_fit(kernel):
    with pytest.raises(NoFit, match="It computes something else"):
        fitted(kernel, dtype="float64")


def test_a_tensor_of_another_size_does_not_fit(kernel):
    """What a graph says of sizes is checked at every size that will be judged."""
    problem, graph = norm()
    form = normal_form(problem, graph)
    one = TensorSpec(name="weight", shape=(1,), dtype="float32", role="weight")
    odd = problem.model_copy(update={"inputs": (problem.inputs[0], one)})
    with pytest.raises(NoFit, match="Its weight has another number of elements"):
        fit(kernel, odd, form)


def test_an_input_more_that_does_nothing_is_left_out(kernel):
    idle = TensorSpec(name="steps", shape=(), dtype="int64", role="weight")
    found, problem = fitted(kernel, more=(idle,))
    assert "kernel(x, weight, out, rows, dim);" in adapted(found, problem).source.text


IDLE = TensorSpec(name="bias", shape=("dim",), dtype="float32", role="weight")


def test_a_tensor_of_which_nothing_is_made_is_any_of_its_kind(tmp_path):
    kernel = read_kernel(add(tmp_path, "norm-bias", promoted(*norm(more=(IDLE,)))))
    steps = TensorSpec(name="steps", shape=(), dtype="int64", role="weight")
    theirs = IDLE.model_copy(update={"name": "shift", "shape": ("width",)})
    found, problem = fitted(kernel, **THEIRS, more=(steps, theirs))
    assert found.tensors == {"x": "hidden", "weight": "gain", "bias": "shift"}
    assert "kernel(hidden, gain, shift, y, b * t, width);" in adapted(found, problem).source.text
    with pytest.raises(NoFit, match="Its bias is nothing in the problem"):
        fitted(kernel, **THEIRS, more=(steps,))


def test_a_size_that_only_such_a_tensor_has_cannot_be_told(tmp_path):
    lone = IDLE.model_copy(update={"shape": ("lone",)})
    problem, graph = norm(more=(lone,))
    problem = problem.model_copy(update={"axes": (*problem.axes, "lone")})
    with pytest.raises(UsageError, match="has its size lone, so no other problem"):
        add(tmp_path, "norm-lone", promoted(problem, graph))


def test_fewer_axes_than_the_kernel_has_leave_the_first_at_one(tmp_path):
    """A sum over everything goes along its last axis."""
    plane = read_kernel(add(tmp_path, "plane", promoted(*norm(batch=("rows", "more")))))
    assert {a: str(s) for a, s in fitted(plane)[0].sizes.items()} == {
        "rows": "1", "more": "rows", "dim": "dim",
    }  # fmt: skip
    three = fitted(plane, batch=("a", "b", "c"))[0].sizes
    assert {a: str(s) for a, s in three.items()} == {"rows": "a * b", "more": "c", "dim": "dim"}


@pytest.mark.parametrize(
    ("line", "after"),
    [
        ("#define EPS 1e-6f", "#define EPS 0.5f"),
        ("  constexpr float EPS = .1f; // small", "  constexpr float EPS = 0.5f; // small"),
        ("static constexpr double EPS=1;", "static constexpr double EPS=0.5;"),
        ("EPS = 1e-6", "EPS = 0.5"),
        ("EPS: tl.constexpr = 1e-6  # small", "EPS: tl.constexpr = 0.5  # small"),
        ("EPS = tl.constexpr(1e-6)", "EPS = tl.constexpr(0.5)"),
    ],
)
def test_a_constant_is_set_where_it_is_named(line, after):
    assert with_constants(f"a\n{line}\nb", {"EPS": 0.5}) == f"a\n{after}\nb"


@pytest.mark.parametrize("text", ["float eps = 1;", "EPS = 1\nEPS = 2", "#define EPS2 1", ""])
def test_a_constant_without_a_line_of_its_own_is_not_set(text):
    with pytest.raises(NoFit, match="does not give EPS a number, once"):
        with_constants(text, {"EPS": 0.5})


def test_workloads_of_every_size_are_looked_at(kernel):
    problem, graph = norm()
    more = Workload(id="w", split="search", axes={"rows": 1, "dim": 1})
    problem = problem.model_copy(update={"workloads": (*problem.workloads, more)})
    assert fit(kernel, problem, normal_form(problem, graph)).tensors
