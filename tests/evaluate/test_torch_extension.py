"""Files that build C++ with `load_inline`, under the judge. One text is compiled, and reused."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kernelwright.core.candidate import Candidate
from kernelwright.core.evaluation import BuildFailed, Crashed, Evaluation, Passed
from kernelwright.core.problem import Problem, Source
from kernelwright.evaluate.judge import Judge
from kernelwright.languages.torch_extension import TorchExtension

MISSING = TorchExtension().missing("build")
pytestmark = [
    pytest.mark.skipif(MISSING is not None, reason=str(MISSING)),
    pytest.mark.slow,  # torch's headers take a minute
]

# As it is written for KernelBench, with an operator of at:: in it.
FILE = '''
import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

SOURCE = r"""
#include <torch/extension.h>

at::Tensor silu(at::Tensor x) {
    TORCH_CHECK(x.is_contiguous(), "x must be contiguous");
    auto out = at::empty_like(x);
    const float* from = x.data_ptr<float>();
    float* to = out.data_ptr<float>();
    for (int64_t i = 0; i < x.numel(); i++) to[i] = from[i] / (1.0f + std::exp(-from[i]));
    return out.add_(0.5);
}
"""
built = load_inline(name="silu_ext", cpp_sources=SOURCE, functions=["silu"],
                    extra_cflags=["-O3"], verbose=True)


class ModelNew(nn.Module):
    def forward(self, x):
        return built.silu(x)
'''
IN_THE_BUILD = '__import__("sys").modules.get("kw_module") is None'


@pytest.fixture
def judged(judge: Judge, problem: Problem) -> Callable[..., Evaluation]:
    def judged(text: str, **beside: str) -> Evaluation:
        source = Source(files={"kernel.py": text, **beside}, entry_point="kernel.py::ModelNew")
        candidate = Candidate(
            problem_id=problem.id, language="torch_extension", source=source, lane="module"
        )
        return judge.judge(candidate, "search")

    return judged


def test_a_right_file_passes_in_the_module_lane(judged):
    evaluation = judged(FILE)
    assert isinstance(evaluation.outcome, Passed), evaluation.outcome
    assert evaluation.lane == "module"


def test_a_compile_error_is_shown_with_the_line_of_its_own_text(judged):
    outcome = judged(FILE.replace("std::exp(", "std::expo(")).outcome
    assert isinstance(outcome, BuildFailed)
    assert "cpp_sources:9:" in outcome.diagnostics
    assert "std::expo(-from[i])" in outcome.diagnostics


def test_a_flag_that_is_not_allowed_is_named(judged):
    outcome = judged(FILE.replace('"-O3"', '"-O3", "-fplugin=./x.so"')).outcome
    assert isinstance(outcome, BuildFailed)
    assert "'-fplugin=./x.so' in extra_cflags is not allowed" in outcome.diagnostics


def test_text_that_is_another_when_it_runs_is_told_what_to_do(judged):
    other = FILE.replace("cpp_sources=SOURCE", f'cpp_sources=SOURCE + " " * (not {IN_THE_BUILD})')
    outcome = judged(other).outcome
    assert isinstance(outcome, Crashed)
    assert "'silu_ext' was not built with these arguments (1 were built)" in outcome.detail
    assert "the same each time" in outcome.detail


def test_an_extension_that_is_made_in_the_class_is_told_what_to_do(judged):
    late = FILE.replace("built = load_inline(", "make = lambda: load_inline(").replace(
        "built.silu", "make().silu"
    )
    outcome = judged(late).outcome
    assert isinstance(outcome, BuildFailed)
    assert "Call it at the top of the file" in outcome.diagnostics


def test_what_a_file_leaves_in_its_build_is_not_used(judged):
    """It writes the calls itself, lays objects in their place, and ends the process."""
    forger = f"""
import os, json
if {IN_THE_BUILD}:
    import kw_extension
    from torch.utils import cpp_extension
    call = dict(name="silu_ext", cpp=[SOURCE], cuda=[], files=[], functions=dict(silu="silu"),
                cflags=["-O3"], cuda_cflags=[], ldflags=[], include_paths=[], with_cuda=None,
                checked=True, python=True)
    for name in (kw_extension.object_name(call), "unit.o", "extension.so", "cpp_sources.cpp.o"):
        open(name, "w").write("forged")
    open("kw_module.py", "w").write("raise SystemExit('forged')")
    open("kw_collected.json", "w").write(json.dumps([call]))
    os._exit(0)
built ="""
    outcome = judged(FILE.replace("\nbuilt =", forger)).outcome
    assert isinstance(outcome, Passed), outcome


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("[" * 100_000, "could not be read"),
        ('[{"name": "silu_ext"}]', "cannot be built: cpp"),
        ("[]", "calls neither load_inline nor load"),
    ],
)
def test_calls_that_a_file_writes_itself_are_looked_at(judged, written, said):
    forger = f"""
import os
open("kw_collected.json", "w").write({written!r})
os._exit(0)
"""
    outcome = judged(forger + FILE).outcome
    assert isinstance(outcome, BuildFailed)
    assert said in outcome.diagnostics


def test_a_file_that_cannot_be_imported_shows_its_own_error(judged):
    outcome = judged("import nothing_of_this_name\n" + FILE).outcome
    assert isinstance(outcome, BuildFailed)
    assert "No module named 'nothing_of_this_name'" in outcome.diagnostics
