"""How far roundings move outputs: by more than one draw of them, and by the terms of a sum."""

import torch

from kernelwright.core.problem import Source
from kernelwright.problems.exact import exact_program, run_exact
from kernelwright.problems.perturbed import moved_by_roundings, nearby

TEMPLATE = """
import torch
import torch.nn as nn

class Model(nn.Module):
    def forward(self, x, y):
        return {}

def get_inputs():
    return [torch.randn(4, 8), torch.randn(8, 4)]

def get_init_inputs():
    return []
"""
_ROUNDING = 2.0**-24


def moved(expression, *inputs, few_bits):
    source = Source(
        files={"problem.py": TEMPLATE.format(expression)}, entry_point="problem.py::Model"
    )
    program = exact_program(source, {})
    exact = run_exact(program, inputs)
    return moved_by_roundings(program, inputs, exact, 1, few_bits=few_bits)[0]


def test_what_float32_holds_exactly_on_every_way_does_not_move():
    x, y = torch.full((4, 8), 3.0), torch.full((8, 4), 5.0)
    assert moved("x @ y", x, y, few_bits=True).max() == 0.0


def test_a_sum_of_few_bits_moves_when_what_is_on_its_way_has_more_than_float32_holds():
    x = torch.tensor([2.0**24, 1.0, -(2.0**24), 0, 0, 0, 0, 0]).expand(4, 8)
    found = moved("x @ y", x, torch.ones(8, 4), few_bits=True)
    assert found.min() >= 0.5 * 2**25 * _ROUNDING  # and what is left of it is 1


def test_no_row_stays_still_because_its_logits_happen_to_move_alike():
    logits = torch.randn(4000, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    x = (1e4 * torch.ones(4000, 1) + logits / 16).float()
    found = moved("torch.softmax(x * 0.3, 1) + 0 * y.sum()", x, torch.ones(8, 4), few_bits=False)
    usual = found.median()
    assert (found < usual / 16).double().mean() < 0.01


def near(expression, *inputs, turn):
    source = Source(
        files={"problem.py": TEMPLATE.format(expression)}, entry_point="problem.py::Model"
    )
    return nearby(exact_program(source, {}), inputs, 1, turn)[0]


def test_equal_inputs_do_not_move_alike():
    ones = torch.ones(100_000)
    assert near("x - y", ones, ones, turn=0).count_nonzero() > 99_000


def test_no_two_elements_move_alike_each_time():
    ones = torch.ones(200_000)
    first, second = (near("x + 0 * y", ones, ones, turn=turn) for turn in range(2))
    for apart in (32_749, 32_719):
        alike = [found[apart:] == found[:-apart] for found in (first, second)]
        assert not (alike[0] & alike[1]).any()
