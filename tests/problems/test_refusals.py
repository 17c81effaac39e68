"""What cannot be a problem is refused with a sentence that says why and what to do."""

import pytest

from kernelwright.core.errors import DeviceFull, ProblemError

REFUSED = {
    "alias": ["x itself or a view of it", "Return only what forward works out"],
    "batchnorm_train": ["stateful", "norm_running_mean", "self.eval()", "BatchNorm1d"],
    "branches": ["control flow", "depends on values", "torch.where"],
    "chaotic": ["not near the same computation in float64", "smaller sizes"],
    "counter": ["stateful", "second call"],
    "dropout": ["random", "self.eval()", "Dropout"],
    "fixed_dtype": ["cannot run in float64", "line 16", "dtype"],
    "huge": ["GB", "constants smaller"],
    "missing_module": ["line 9", "not_a_module_of_anyone", "Install it"],
    "needs_cuda": ["line 12", "CUDA device", "Remove .cuda()"],
    "no_get_inputs": ["has no get_inputs", "get_init_inputs"],
    "ragged_output": ["shape depends on values", "fixed size"],
    "raises": ["line 12", "ValueError: this model is not finished"],
    "random_noise": ["random", "as inputs"],
    "returns_text": ["returned a str", "must return a tensor"],
    "writes_input": ["writes its input x", "x.clone()"],
    "wrong_arity": ["gives 1 values", "(x, y)", "'y'"],
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_bad_reference_is_refused_with_its_reason(derived, name):
    with pytest.raises(ProblemError) as refusal:
        derived(name)
    sentence = str(refusal.value)
    assert [part for part in REFUSED[name] if part not in sentence] == []
    assert "\n" not in sentence


GOOD = """
import torch
class Model(torch.nn.Module):
    def forward(self, x):
        return x + 1
def get_inputs():
    return [torch.randn(4, 4)]
def get_init_inputs():
    return []
"""


def test_the_text_that_the_next_tests_break_is_good(written):
    assert written(GOOD).problem.inputs[0].name == "x"


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ("def forward(self, x):", "def forward(self, x)", ["line 4", "syntax error"]),
        ("return x + 1", "return None", ["NoneType"]),
        ("return x + 1", "return []", ["holds no tensor"]),
        ("return x + 1", "return torch.fft.fft(x)", ["complex64", "view_as_real"]),
        ("return x + 1", "return x.to_sparse()", ["outputs are dense"]),
        ("return [torch.randn(4, 4)]", "return torch.randn(4, 4)", ["get_inputs", "list"]),
        ("return [torch.randn(4, 4)]", "return ['text']", ["value 0", "str"]),
        ("return [torch.randn(4, 4)]", "return [None]", ["value 0", "NoneType"]),
        ("return [torch.randn(4, 4)]", "raise SystemExit(2)", ["line 7", "Remove the exit"]),
        ("return []", "return 3", ["get_init_inputs", "int"]),
        ("return []", "return [1]", ["Model(*get_init_inputs())", "TypeError"]),
        ("(torch.nn.Module)", "", ["not a torch.nn.Module"]),
        ("class Model", "class Other", ["no Model"]),
        ("import torch", "import torch\n1 / 0", ["line 3", "ZeroDivisionError"]),
    ],
)
def test_a_mistake_is_named_with_its_place(written, old, new, parts):
    with pytest.raises(ProblemError) as refusal:
        written(GOOD.replace(old, new))
    assert [part for part in ["mine.py", *parts] if part not in str(refusal.value)] == []


def test_a_gpu_without_memory_says_nothing_about_the_file(written):
    full = "raise torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 4.00 GiB.')"
    with pytest.raises(DeviceFull, match=r"mine.py line 5.*nvidia-smi.*fewer.*Tried to allocate"):
        written(GOOD.replace("return x + 1", full)).problem  # noqa: B018 - asking raises


def test_a_value_that_is_read_and_decides_nothing_is_no_reason_to_refuse(derived):
    assert derived("value_read").problem.outputs[0].name == "out"
