"""A kernel in Python put to another problem, and run."""

from dataclasses import replace

import pytest
import torch

from kernelwright.core.problem import Source
from kernelwright.library.adapting import adapted
from kernelwright.library.adding import add
from kernelwright.library.matching import NoFit, fit
from kernelwright.library.normal.form import normal_form
from kernelwright.library.shelf import read_kernel
from kernelwright.testing.library import norm, promoted

MODULE = '''\
"""A norm."""

from __future__ import annotations

import torch
import torch.nn as nn

rows, dim = 4, 8
EPS = 1e-06  # under the root
# tunable: TILE = 1 in {1, 2}
TILE = 1


class Model(nn.Module):
    """The program that this was written for."""


def scale(x):
    assert x.dim() == 2
    return torch.rsqrt(x.square().mean(-1, keepdim=True) + EPS) * TILE


def run(x, weight):
    return x * scale(x) * weight


class ModelNew(Model):
    def forward(self, x):
        return run(x, self.weight)
'''
THEIRS = """\
import torch
import torch.nn as nn

b, t, width = 2, 3, 5


class Model(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.gain = nn.Parameter(torch.rand(width))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def forward(self, hidden):
        return nn.functional.rms_norm(hidden, hidden.shape[-1:], self.gain, 0.25)
"""


def kernel(folder, text=MODULE):
    made = promoted()
    candidate = made.candidate.model_copy(
        update={
            "language": "triton",
            "lane": "module",
            "source": Source(files={"kernel.py": text}, entry_point="kernel.py::ModelNew"),
        }
    )
    return read_kernel(add(folder, "norm-triton", replace(made, candidate=candidate)))


def theirs(text=THEIRS):
    problem, graph = norm(batch=("b", "t"), dim="width", x="hidden", weight="gain", epsilon=0.25)
    steps = problem.inputs[1].model_copy(update={"name": "steps", "shape": (), "dtype": "int64"})
    reference = Source(files={"theirs.py": text}, entry_point="theirs.py::Model")
    problem = problem.model_copy(
        update={"inputs": (*problem.inputs, steps), "reference": reference}
    )
    return problem, normal_form(problem, graph)


def test_the_problems_own_model_calls_the_kernel(tmp_path):
    problem, form = theirs()
    candidate = adapted(fit(kernel(tmp_path), problem, form), problem)
    assert candidate.source.entry_point == "kernel.py::ModelNew"
    assert "written for" not in candidate.source.text
    assert "# tunable: TILE = 1 in {1, 2}" in candidate.source.text
    names = {}
    exec(compile(candidate.source.text, "kernel.py", "exec"), names)
    model = names["ModelNew"](5)
    hidden = torch.randn(2, 3, 5)
    wanted = torch.nn.functional.rms_norm(hidden, (5,), model.gain, 0.25)
    torch.testing.assert_close(model(hidden), wanted)


def test_a_name_that_means_two_things_does_not_fit(tmp_path):
    problem, form = theirs(THEIRS + "\n\ndef scale(x):\n    return x\n")
    with pytest.raises(NoFit, match="Its text and the reference both define scale"):
        adapted(fit(kernel(tmp_path), problem, form), problem)
