"""The judge in Python: light to import, one call for one, a block for many."""

import subprocess
import sys

import pytest

import kernelwright
from kernelwright.core.errors import Unavailable, UnknownName, UsageError
from kernelwright.core.evaluation import Fault

REFERENCE = """
import torch
import torch.nn as nn

rows = 64


class Model(nn.Module):
    def forward(self, x):
        return x + 1.0


def get_inputs():
    return [torch.randn(rows, 32)]


def get_init_inputs():
    return []
"""
KERNEL = """
extern "C" void kernel(const float* x, float* out, int64_t rows) {
    for (int64_t i = 0; i < rows * 32; i++) out[i] = x[i] + 2.0f;
}
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    file = tmp_path_factory.mktemp("api") / "plus_one.py"
    file.write_text(REFERENCE)
    return file


@pytest.fixture(scope="module")
def judge(model):
    with kernelwright.Judge(model) as opened:
        yield opened


def test_importing_the_package_loads_nothing_heavy():
    code = (
        "import sys, kernelwright; kernelwright.__version__\n"
        "assert 'Judge' in kernelwright.__all__\n"
        "print([m for m in ('torch', 'numpy', 'pydantic') if m in sys.modules])\n"
        "from kernelwright import judge\n"
        "print('torch' in sys.modules, judge.__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[]", "False judge"]
    with pytest.raises(AttributeError, match="no attribute 'jugde'"):
        _ = kernelwright.jugde


def test_whatever_a_text_is_it_gets_a_verdict(judge):
    wrong = judge.judge(KERNEL)
    assert wrong.outcome.kind == "wrong_result"
    assert kernelwright.speedup(wrong) is None
    assert judge.judge(KERNEL.replace("float*", "flute*")).outcome.kind == "build_failed"
    assert judge.judge("I cannot help with that.").outcome.rule == "not_a_candidate"


def test_many_come_with_their_places(judge):
    texts = [KERNEL.replace("2.0f", "oops"), KERNEL.replace("2.0f", "3.0f"), ""]
    found = {index: one.outcome.kind for index, one in judge.many(texts)}
    assert found == {0: "build_failed", 1: "wrong_result", 2: "rejected"}


def test_a_file_is_read_and_one_that_is_not_there_is_said(judge, tmp_path):
    file = tmp_path / "mine.cpp"
    file.write_text(KERNEL)
    assert judge.judge(file).outcome.kind == "wrong_result"
    with pytest.raises(UsageError, match="cannot be read"):
        judge.judge(tmp_path / "gone.cpp")


def test_what_cannot_be_judged_here_is_an_error_for_one_and_a_fault_among_many(judge, monkeypatch):
    def missing(self, purpose):
        return "There is no compiler."

    monkeypatch.setattr("kernelwright.languages.cpp.Cpp.missing", missing)
    with pytest.raises(Unavailable, match="no compiler"):
        judge.judge(KERNEL)
    ((_, fault),) = judge.many([KERNEL])
    assert isinstance(fault, Fault)


def test_a_language_that_there_is_not_is_said(model):
    with pytest.raises(UnknownName, match="rust"):
        kernelwright.Judge(model, language="rust")


def test_after_closing_nothing_is_judged(judge):
    """The last test that uses the judge."""
    judge.close()
    judge.close()
    with pytest.raises(UsageError, match="closed"):
        judge.judge(KERNEL)


@pytest.mark.slow
def test_one_call_judges_one(model):
    right = KERNEL.replace("2.0f", "1.0f")
    evaluation = kernelwright.judge(model, right)
    assert evaluation.outcome.kind == "passed"
    assert kernelwright.speedup(evaluation) > 0
