"""The words of the compiler that is here, and what a writer is told about them."""

import subprocess

import pytest

from kernelwright.core.evaluation import BuildFailed
from kernelwright.generate.feedback import diagnosis
from kernelwright.languages.cpp import Cpp

from .conftest import KERNEL, PROBLEM, candidate, evaluation

MISSING = Cpp().missing("build")
pytestmark = pytest.mark.skipif(MISSING is not None, reason=str(MISSING))

BODY = "for (int64_t i = 0; i < rows * cols; ++i) out0[i] = x[i] > 0 ? 2 * x[i] : 0;"


@pytest.fixture
def told(tmp_path):
    """What is told about a program that does not build; None when it builds."""

    def build(text):
        plan = Cpp().build(candidate(text), PROBLEM)
        for name, content in plan.files.items():
            (tmp_path / name).write_text(content)
        for command in plan.commands:
            done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
            if done.returncode:
                return diagnosis(evaluation(BuildFailed(diagnostics=done.stderr)), PROBLEM)
        return None

    return build


def test_a_right_program_builds(told):
    assert told(KERNEL) is None


@pytest.mark.parametrize(
    ("wrong", "cause"),
    [
        ("out0[i] = relu(x[i]);", "`relu` does not exist here. Write it out: max(x, 0)."),
        ("out0[0] = SIZE_OF_TILE;", "// tunable: SIZE_OF_TILE = 64 in"),
        ("out0[0] = 1.0f", "not valid in its language"),
        ("const_cast<const float*>(out0)[0] = 1;", "Write to the outputs only"),
        (
            '_Pragma("omp parallel for reduction(+ : out0)") for (int i = 0; i < 9; ++i) { }',
            "reduction needs a variable that is a number",
        ),
        ("std::accumulat(x, x, 0);", "`accumulat` is used and never defined"),
    ],
)
def test_a_fault_in_the_body_is_explained(told, wrong, cause):
    assert BODY in KERNEL
    said = told(KERNEL.replace(BODY, wrong))
    assert cause in said
    assert "kernel.cpp:" in said


def test_the_examples_parameters_kept_are_told_with_the_right_ones(told):
    said = told(KERNEL.replace("const float* x, float* out0", "float* out0, float extra"))
    assert "- The signature is not the one asked for. Define exactly" in said
    assert "cannot convert" not in said
    assert 'extern "C" void kernel(const float* x, float* out0, int64_t rows' in said


def test_a_function_that_is_not_there_is_told_with_what_was_expected(told):
    said = told("int unrelated;\n")
    assert "`kernel` is used and never defined" in said
    assert 'expected: extern "C" void kernel(const float* x' in said


def test_a_header_of_torch_is_told_to_be_absent(told):
    assert "torch/extension.h is not there" in told("#include <torch/extension.h>\n" + KERNEL)
