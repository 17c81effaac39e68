"""Which inputs a gradient depends on, and so which bytes any kernel for it must read."""

import textwrap

import pytest

from kernelwright.core.problem import Source
from kernelwright.evaluate.timing.plausible import floor
from kernelwright.problems.reference import Reference


def opened(body, weight=""):
    text = textwrap.dedent(
        f"""
        import torch
        import torch.nn as nn

        rows, dim = 64, 96
        DIRECTION = "backward"

        class Model(nn.Module):
            def __init__(self, dim):
                super().__init__()
                {weight or "pass"}

            def forward(self, x, y):
                {body}

        def get_inputs():
            return [torch.randn(rows, dim), torch.randn(rows, dim)]

        def get_init_inputs():
            return [dim]
        """
    )
    return Reference.open(Source(files={"model.py": text}, entry_point="model.py::Model"))


@pytest.mark.parametrize(
    ("body", "weight", "read"),
    [
        ("return x * y", "", {"x", "y", "grad_out"}),
        ("return x + y", "", {"grad_out"}),
        ("return torch.tanh(x) + y", "", {"x", "grad_out"}),
        # Only the first half of x is needed, and nothing says which kernel reads the other.
        ("a, b = x.chunk(2, -1)\n                return a * a + b + y.mean()", "", {"grad_out"}),
        ("return x[:, 1:] * y[:, 1:]", "", set()),
        (
            "return x * self.scale + self.shift + y",
            "self.scale, self.shift = (nn.Parameter(torch.ones(dim)) for _ in range(2))",
            {"x", "scale", "grad_out"},
        ),
    ],
)
def test_a_gradient_reads_what_it_depends_on(body, weight, read):
    with opened(body, weight) as reference:
        demand = reference.demand()
    assert set(demand.read) == read


def test_the_bytes_of_a_gradient_are_what_is_read_and_what_is_written():
    with opened("return torch.tanh(x) + y") as reference:
        problem = reference.load()
        found = floor(problem, reference.demand(), "cpu")
    assert found.nbytes == 4 * (64 * 96) * 4  # x and grad_out; grad_x and grad_y
    assert found.flops == 0
