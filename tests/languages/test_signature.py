"""Parameters of native candidates: order, C types, and names that C++ accepts."""

import keyword

from hypothesis import given
from hypothesis import strategies as st

from kernelwright.core.problem import TensorSpec
from kernelwright.languages.signature import signature
from kernelwright.testing.languages import PROBLEM


def test_inputs_come_first_then_outputs_then_one_size_for_each_axis():
    assert signature(PROBLEM).declaration("kernel") == (
        'extern "C" void kernel(const float* x, const bfloat16* double_, double shift, bool flip, '
        "const float16* layers_0_weight, const bool* mask, float* out, int64_t* best, "
        "int64_t rows, int64_t width)"
    )


def test_parameters_of_the_language_come_last():
    text = signature(PROBLEM).declaration("launch", after=["cudaStream_t stream"])
    assert text.endswith("int64_t width, cudaStream_t stream)")


def named(*names):
    specs = tuple(TensorSpec(name=n, shape=(), dtype="float32", role="input") for n in names)
    return PROBLEM.model_copy(update={"inputs": specs, "outputs": (), "axes": ()})


def test_two_tensors_never_share_a_name():
    assert signature(named("a.b", "a_b", "a-b")).names == ("a_b", "a_b_2", "a_b_3")


def test_a_tensor_called_as_the_function_or_the_stream_is_renamed():
    assert signature(named("kernel", "launch", "stream")).names == ("kernel_", "launch_", "stream_")


@given(st.lists(st.text(max_size=12), max_size=8))
def test_any_names_become_distinct_identifiers(wanted):
    found = signature(named(*wanted)).names
    assert len(set(found)) == len(wanted)
    for name in found:
        assert name.isidentifier()
        assert name.isascii()
        # Python's own words differ from C++'s in a few places; those both have are never used.
        assert not (keyword.iskeyword(name) and name in {"if", "for", "while", "class", "return"})
        assert "__" not in name
