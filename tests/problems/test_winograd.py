"""What a convolution in transformed tiles rounds by, and that it is allowed for."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from kernelwright.problems.oracle import Oracle
from kernelwright.problems.reference import Reference
from kernelwright.problems.watching import watching
from kernelwright.problems.winograd import tile_sizes


def sizes_of(run):
    """What `tile_sizes` says of the convolution inside `run`."""
    found = []
    with watching(lambda func, args, _kwargs, _result: found.append(tile_sizes(func, args))):
        run()
    return next((sizes for sizes in found if sizes is not None), None)


def test_a_large_value_counts_for_every_output_that_may_share_a_tile_with_it():
    x, weight = torch.zeros(1, 1, 16, 16), torch.ones(1, 1, 3, 3)
    x[0, 0, 8, 8] = 1000.0
    found = sizes_of(lambda: F.conv2d(x, weight, padding=1))
    assert found.shape == (1, 1, 16, 16)
    assert found[0, 0, 8, 4:13].tolist() == [1000.0] * 9
    assert found[0, 0, 8, :4].tolist() == [0.0] * 4


def test_equal_values_count_as_their_sum_of_squares_has_it():
    found = sizes_of(lambda: F.conv1d(torch.full((1, 4, 9), 2.0), torch.ones(1, 4, 3)))
    assert found.tolist() == [[[pytest.approx(2 * 12**0.5)] * 7]]


@pytest.mark.parametrize(
    "run",
    [
        lambda x, w: F.conv2d(x, w, stride=2),
        lambda x, w: F.conv2d(x, w, dilation=2),
        lambda x, w: F.conv2d(x, w[:, :, :1, :1]),
        lambda x, w: F.conv_transpose2d(x, w),
        lambda x, w: torch.relu(x),
    ],
    ids=["strided", "dilated", "of one element", "transposed", "no convolution"],
)
def test_what_nobody_works_out_in_tiles_rounds_by_its_own_terms(run):
    assert sizes_of(lambda: run(torch.randn(1, 2, 9, 9), torch.randn(2, 2, 3, 3))) is None


def winograd(x, weight, bias):
    """F(2 x 2, 3 x 3) in float32, with a ReLU; the height and width of `x` are even."""
    one = torch.tensor([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1.0]])
    two = torch.tensor([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1.0]])
    three = torch.tensor([[1, 1, 1, 0], [0, 1, -1, -1.0]])
    tiles = F.pad(x, (1, 1, 1, 1)).unfold(2, 4, 2).unfold(3, 4, 2)
    tiles = one @ tiles @ one.T
    product = torch.einsum("bcyxij,ocij->boyxij", tiles, two @ weight @ two.T)
    found = (three @ product @ three.T).permute(0, 1, 2, 4, 3, 5)
    return torch.relu(found.reshape(len(x), len(weight), *x.shape[2:]) + bias[:, None, None])


def test_an_output_beside_a_heavy_value_may_be_off_by_what_its_tile_rounds_by():
    with Reference.open("builtin:conv2d_bias_relu") as reference:
        problem = reference.load()
        case = Oracle(problem.reference).sound_answer(problem, problem.report_workload, "heavy", 39)
    x, weight, bias = (torch.as_tensor(v).clone() for v in case.values.values())
    right = F.relu(F.conv2d(x.double(), weight.double(), bias.double(), padding=1))
    error = (winograd(x, weight, bias).double() - right).abs().flatten().numpy()
    limit, slack = case.expected[0].tolerance, case.expected[0].slack
    size = np.maximum(right.abs().flatten().numpy(), limit.scale)
    assert (error <= limit.relative * size + (0 if slack is None else slack)).all()
