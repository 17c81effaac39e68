"""Small programs, traced in this process, and their normal forms."""

import functools
import textwrap

import pytest
import torch

from kernelwright.core.problem import Problem, Source, TensorSpec, Workload
from kernelwright.library.normal.form import normal_form
from kernelwright.problems.dtypes import DTYPES
from kernelwright.problems.loading import load_program
from kernelwright.problems.tracing import trace

SIZES = ({"B": 7, "C": 6, "D": 36}, {"B": 5, "C": 10, "D": 22})


@functools.cache
def form_of(forward, init="pass", inputs=("torch.randn(B, D)",), names="xyzuvw"):
    """The normal form of a model with the layers `init` that returns what `forward` says, which
    calls its inputs by the letters of `names`."""
    text = textwrap.dedent(
        f"""
        import math
        import torch
        import torch.nn as nn
        import torch.nn.functional as F

        B, C, D = 7, 6, 36

        class Model(nn.Module):
            def __init__(self, B, C, D):
                super().__init__()
                {init}

            def forward(self, {", ".join(names[: len(inputs)])}):
                {forward}

        def get_inputs():
            return [{", ".join(inputs)}]

        def get_init_inputs():
            return [B, C, D]
        """
    )
    source = Source(files={"model.py": text}, entry_point="model.py::Model")
    program = load_program(source, SIZES[0])
    given = program.make_inputs(0)
    inputs_ = tuple(
        TensorSpec(
            name=name,
            shape=(),
            dtype=DTYPES[value.dtype] if isinstance(value, torch.Tensor) else "float64",
            role="input" if isinstance(value, torch.Tensor) else "scalar",
        )
        for name, value in zip(program.input_names, given, strict=True)
    )
    outputs = tuple(
        TensorSpec(name=f"out{n}", shape=(), dtype=DTYPES[value.dtype], role="output")
        for n, value in enumerate(program.run(given))
    )
    workloads = tuple(
        Workload(id=f"w{n}", split="search" if n else "report", axes=dict(s), constants=dict(s))
        for n, s in enumerate(SIZES)
    )
    problem = Problem(
        id="p", title="", origin="", axes=("B", "C", "D"), inputs=inputs_, outputs=outputs,
        reference=source, workloads=workloads,
    )  # fmt: skip
    return normal_form(problem, trace(program, workloads[0], problem))


@pytest.fixture(scope="session")
def form():
    """From what a model returns to its normal form."""
    return form_of
