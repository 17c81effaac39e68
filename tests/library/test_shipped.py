"""The kernels that ship: found for their own problems, and for one in other words."""

import functools
import json
import re

import pytest

from kernelwright.apps.cli.main import run
from kernelwright.core.problem import Problem, Workload
from kernelwright.library.adapting import adapted
from kernelwright.library.matching import fit
from kernelwright.library.normal.form import normal_form
from kernelwright.library.shelf import SHIPPED, read_library
from kernelwright.problems import suite
from kernelwright.problems.loading import load_program
from kernelwright.problems.reference import Reference
from kernelwright.problems.tracing import trace
from kernelwright.run.folder import RunFolder
from kernelwright.store.fold import fold
from kernelwright.store.sql import SqlStore

KERNELS = {kernel.name: kernel for kernel in read_library([SHIPPED])[0]}
CPU = [name for name, kernel in KERNELS.items() if kernel.about.language == "cpp"]
EXAMPLE = "examples/token_norm.py"


def formed(problem):
    """A problem with its normal form."""
    workload, direction = problem.report_workload, problem.direction
    program = load_program(problem.reference, workload.constants, direction=direction)
    return problem, normal_form(problem, trace(program, workload, problem))


def loaded(source, direction):
    with Reference.open(source, direction=direction) as reference:
        return formed(reference.load())


@functools.cache
def builtin(name, direction):
    """A built-in problem, at the sizes of a CPU, where those of a kernel may be a GPU's."""
    return loaded(suite.source(name), direction)


def own_problem(kernel):
    """A kernel's problem as its folder has it, with its form, at two sizes; at those that follow
    from the file where not every axis is a number in it."""
    what = kernel.about.computes
    if not all(
        re.search(rf"^{axis}\b.*=", kernel.reference.text, re.MULTILINE) for axis in what.sizes
    ):
        name = what.origin.removeprefix(suite.PREFIX).removesuffix(".py")
        if name in suite.names():
            return builtin(name, what.direction)
        return loaded(kernel.reference, what.direction)
    per_unit = {a: 32 if a == "channels" else 1 for a in what.sizes}  # of groups there are 32
    sizes = ({a: per_unit[a] * (7 + n) for n, a in enumerate(what.sizes)},
             {a: per_unit[a] * (9 + 3 * n) for n, a in enumerate(what.sizes)})  # fmt: skip
    workloads = tuple(
        Workload(id=f"w{n}", split="search" if n else "report", axes=s, constants=s)
        for n, s in enumerate(sizes)
    )
    problem = Problem(
        id="own", title="", origin="", axes=what.sizes, inputs=what.inputs, outputs=what.written,
        reference=kernel.reference, direction=what.direction, workloads=workloads,
    )  # fmt: skip
    return formed(problem)


@pytest.mark.parametrize("name", KERNELS)
def test_a_kernel_is_found_for_its_own_problem_as_it_is_traced_today(name):
    """A change of the tables that changes a key makes kernels that nobody finds any more."""
    kernel = KERNELS[name]
    problem, form = own_problem(kernel)
    assert form.text == kernel.form.text
    found = fit(kernel, problem, form)
    assert adapted(found, problem).source.name == kernel.source.name


@pytest.mark.slow
def test_a_problem_in_other_words_ends_with_a_kernel_of_the_library(tmp_path, capsys):
    """With no model, and under other names, in other dimensions and with another epsilon."""
    folder = tmp_path / "run"
    run(["optimize", EXAMPLE, "--device", "cpu", "--max-attempts", "1", "--quiet", "--json",
         "--out", str(folder)])  # fmt: skip
    result = json.loads(capsys.readouterr().out)
    assert result["best"]["path"] == "best.cpp"
    made = RunFolder.existing(folder)
    with SqlStore.open(made.log_path, made.name, writable=False) as store:
        state = fold(store.records())
    step = state.steps[state.finish.step]
    assert (step.number, step.plan.writer) == (1, "library")
    text = (folder / "best.cpp").read_text()
    assert "From the library of Kernelwright: rmsnorm-rows-cpp." in text
    assert "#define EPS 1e-05f" in text
    assert "kernel(hidden, gain, out, batch * tokens, width);" in text


@pytest.mark.slow
@pytest.mark.parametrize("name", CPU)
def test_a_kernel_that_ships_still_holds(name):
    assert run(["library", "verify", name, "--device", "cpu"]) == 0
