"""What a guide contains, word for word where a writer depends on it."""

import pytest

from kernelwright.core import names
from kernelwright.core.problem import TensorSpec
from kernelwright.languages.cpp import Cpp
from kernelwright.languages.cuda import Cuda
from kernelwright.languages.python import Python
from kernelwright.languages.torch_extension import TorchExtension
from kernelwright.languages.triton import Triton
from kernelwright.testing.languages import PROBLEM


def test_the_cpp_guide_shows_the_exact_function():
    assert """```cpp
extern "C" void kernel(
    const float* x,
    const bfloat16* double_,
    double shift,
    bool flip,
    const float16* layers_0_weight,
    const bool* mask,
    float* out,
    int64_t* best,
    int64_t rows,
    int64_t width)
```""" in Cpp().guide(PROBLEM)


def test_the_cuda_guide_shows_the_exact_function():
    assert """    int64_t rows,
    int64_t width,
    cudaStream_t stream)
```""" in Cuda().guide(PROBLEM)


@pytest.mark.parametrize("language", [Cpp(), Cuda()])
def test_a_native_guide_gives_each_tensor_its_shape_in_parameters(language):
    guide = language.guide(PROBLEM)
    for row in (
        "| `x` | `x` | `float` | [rows, width] | input |",
        "| `double_` | `double` | `bfloat16` | [rows, width] | input |",
        "| `shift` | `shift` | `double` | scalar | scalar |",
        "| `layers_0_weight` | `layers.0.weight` | `float16` | [width] | weight |",
        "| `mask` | `mask` | `bool` | [rows, 4] | input |",
        "| `best` | `best` | `int64_t` | [rows] | output |",
        "| `width` | | `int64_t` | size | |",
    ):
        assert row in guide


@pytest.mark.parametrize("language", [Triton(), Python(), TorchExtension()])
def test_a_module_guide_gives_each_tensor_its_dtype_and_shape(language):
    guide = " ".join(language.guide(PROBLEM).split())
    assert "`double` | bfloat16 | [rows, width] |" in guide or (
        "`double` | input | bfloat16 | [rows, width] |" in guide
    )
    for said in ("layers.0.weight", "ModelNew", "state_dict"):
        assert said in guide


@pytest.mark.parametrize("name", names.TABLE["language"])
def test_a_guide_says_the_rules_that_the_judge_holds(name):
    guide = names.load("language", name)().guide(PROBLEM)
    assert "timed at rows = 48, width = 1021" in guide
    assert "Keep no state between calls" in guide or "keep no state between calls" in guide


@pytest.mark.parametrize("language", [Cpp(), Cuda(), Triton()])
def test_a_guide_shows_how_to_declare_a_tunable_and_what_goes_wrong(language):
    guide = language.guide(PROBLEM)
    assert "tunable: " in guide
    assert "## Frequent mistakes" in guide
    assert "## Precision" in guide


def test_narrow_types_are_explained_only_where_there_are_any():
    assert "convert to and from `float`" in Cpp().guide(PROBLEM)
    floats = tuple(s for s in PROBLEM.inputs if s.dtype == "float32")
    plain = PROBLEM.model_copy(update={"inputs": floats})
    assert "convert to and from `float`" not in Cpp().guide(plain)


def test_a_reference_with_braces_is_shown_as_it_is():
    text = "x = {{1}} # {% raw %} <&>"
    source = PROBLEM.reference.model_copy(update={"files": {"model.py": text}})
    assert text in Cpp().guide(PROBLEM.model_copy(update={"reference": source}))


def test_a_problem_without_axes_or_workload_sizes_still_has_a_guide():
    specs = tuple(s.model_copy(update={"shape": (4,)}) for s in PROBLEM.outputs)
    fixed = PROBLEM.model_copy(update={"axes": (), "inputs": (), "outputs": specs})
    assert "It is timed at the sizes above" in Cpp().guide(fixed)


GRADIENTS = PROBLEM.model_copy(
    update={
        "direction": "backward",
        "inputs": (
            *PROBLEM.inputs,
            TensorSpec(name="grad_out", shape=("rows", "width"), dtype="float32", role="input"),
        ),
        "outputs": (
            TensorSpec(name="grad_x", shape=("rows", "width"), dtype="float32", role="output"),
        ),
        "cotangents": {"grad_out": "out"},
        "gradients": {"grad_x": "x"},
    }
)


@pytest.mark.parametrize("language", [Cpp(), Cuda(), Triton(), Python(), TorchExtension()])
def test_a_guide_to_a_backward_problem_asks_for_gradients(language):
    guide = " ".join(language.guide(GRADIENTS).split())
    assert "must compute the gradients of this PyTorch program's `Model.forward`, and not" in guide
    assert "`grad_out` is given: dL/d`out`, an arbitrary number for each element" in guide
    assert "`grad_x` is asked for: dL/d`x`, in the shape of `x`" in guide
    assert "Nothing is left over from a forward pass" in guide
    both = language.guide(GRADIENTS.model_copy(update={"direction": "forward_backward"}))
    assert "computes, and its gradients" in both
    assert "gradient" not in language.guide(PROBLEM)
