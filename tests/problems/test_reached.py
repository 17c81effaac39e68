"""How much of its inputs a call reaches where something is gathered, sliced or masked."""

import textwrap

import pytest

from kernelwright.core.evaluation import Measurement
from kernelwright.core.problem import Source
from kernelwright.evaluate.profile.roofline import position
from kernelwright.evaluate.timing.plausible import Peaks, floor
from kernelwright.problems.loading import load_program
from kernelwright.problems.reached import reached_bytes
from kernelwright.problems.reference import Reference

ROW = 96 * 4


def source(body, weight="pass"):
    text = textwrap.dedent(
        f"""
        import torch
        import torch.nn as nn

        rows, dim = 64, 96

        class Model(nn.Module):
            def __init__(self, dim):
                super().__init__()
                {weight}

            def forward(self, x, index):
                {body}

        def get_inputs():
            return [torch.randn(rows, dim), torch.arange(0, rows, 4).repeat(3)]

        def get_init_inputs():
            return [dim]
        """
    )
    return Source(files={"model.py": text}, entry_point="model.py::Model")


@pytest.mark.parametrize(
    ("body", "weight", "rows"),
    [
        # Each fourth row is picked, three times over: it is counted once.
        ("return x.index_select(0, index)", "pass", 16),
        ("return x[:10] + x[5:15]", "pass", 15),
        ("return torch.where(torch.arange(64)[:, None] < 8, x, 0.0)", "pass", 8),
        ("return self.table(index) + x[0]", "self.table = nn.Embedding(64, dim)", 17),
        (
            "return self.table(index)",
            "self.table = nn.Embedding(64, dim).requires_grad_(False)",
            16,
        ),
        # What cannot be differentiated is not counted, and nothing breaks.
        ("return x.index_select(0, index).to(torch.int64)", "pass", 0),
        ("x.mul_(2)\n                return x.index_select(0, index)", "pass", 0),
    ],
)
def test_a_call_reaches_what_is_picked_and_no_more(body, weight, rows):
    program = load_program(source(body, weight), {}, device="cpu")
    frozen = [p.requires_grad for p in program.model.parameters()]
    assert reached_bytes(program, program.make_inputs(0)) == rows * ROW
    assert [p.requires_grad for p in program.model.parameters()] == frozen


def test_what_is_picked_counts_for_the_roofline_and_accuses_nobody():
    """Since other inputs pick fewer rows."""
    with Reference.open(source("return x.index_select(0, index)")) as reference:
        problem = reference.load()
        found = floor(problem, reference.demand(), "cpu")
    written = 48 * ROW
    assert found.nbytes == written
    timed = Measurement(
        workload_id="report", subject="candidate", regime="returned",
        calls=(1,), elapsed_ns=(1000,), overhead_ns=0,
    )  # fmt: skip
    placed = position(found, Peaks(read_gb_s={1: 1.0}, fma_gflops=1.0), [timed])
    assert placed is not None
    assert placed.nbytes == written + 16 * ROW
