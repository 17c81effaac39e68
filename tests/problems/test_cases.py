"""Cases: what is drawn, and what the outputs must be."""

import math

import numpy as np
import pytest
import torch

from kernelwright.core.agreement import compare
from kernelwright.problems.distributions import DISTRIBUTIONS, draw, generator
from kernelwright.problems.dtypes import raw
from kernelwright.problems.exact import run_exact

DRAWN = tuple(d for d in DISTRIBUTIONS if d not in ("file", "nonfinite"))
FLOATS = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn]


@pytest.mark.parametrize("distribution", DRAWN)
@pytest.mark.parametrize("dtype", FLOATS)
def test_every_distribution_is_finite_and_varied_in_every_dtype(distribution, dtype):
    values = draw(distribution, (64, 33), dtype, generator(3, "x")).double()
    assert bool(torch.isfinite(values).all())
    assert torch.unique(values).numel() >= 2


@pytest.mark.parametrize("distribution", DRAWN)
@pytest.mark.parametrize("shape", [(), (0, 4), (1,), (1, 1), (5, 1)])
def test_every_distribution_fits_odd_shapes(distribution, shape):
    assert tuple(draw(distribution, shape, torch.float32, generator(3)).shape) == shape


@pytest.mark.parametrize("distribution", DRAWN)
def test_positive_draws_are_above_zero(distribution):
    values = draw(distribution, (999,), torch.float16, generator(1), positive=True)
    assert float(values.min()) > 0


@pytest.mark.parametrize(("dtype", "limit"), [(torch.float16, 2**11), (torch.bfloat16, 2**8)])
def test_integers_keep_long_sums_exact(dtype, limit):
    a, b = (draw("integer", (4096,), dtype, generator(s), terms=4096).double() for s in (1, 2))
    assert bool(a.any())
    assert float((a * b).abs().sum()) < limit


def test_ties_have_constant_rows():
    values = draw("ties", (400, 16), torch.float32, generator(1))
    assert set(values.unique().tolist()) == {-1.0, 0.0, 1.0}
    constant = (values == values[:, :1]).all(1).float().mean()
    assert 0.03 < float(constant) < 0.3


def test_a_seed_gives_the_same_case_and_another_gives_another(derived):
    found = derived("builtin:rmsnorm")
    first, again, other = (found.answer(seed=s) for s in (5, 5, 6))
    for name in ("x", "weight"):
        assert torch.equal(first.values[name], again.values[name])
        assert not torch.equal(first.values[name], other.values[name])
    assert np.array_equal(first.expected[0].values, again.expected[0].values)


def test_cases_with_one_seed_for_weights_share_them_and_nothing_else(derived):
    found = derived("builtin:layernorm")
    report = found.problem.report_workload
    asked = [("normal", 5), ("normal", 6), ("integer", 7), ("file", 8)]
    answers = [found.oracle.answer(found.problem, report, *one, 3) for one in asked]
    for answer in answers[1:]:
        assert torch.equal(answer.values["norm_weight"], answers[0].values["norm_weight"])
        assert not torch.equal(answer.values["x"], answers[0].values["x"])
    other = found.oracle.answer(found.problem, report, "normal", 5, 4)
    assert torch.equal(other.values["x"], answers[0].values["x"])
    assert not torch.equal(other.values["norm_weight"], answers[0].values["norm_weight"])
    assert answers[0].values["norm_weight"].unique().numel() >= 3


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_weights_are_never_left_as_they_start(derived, distribution):
    weight = derived("builtin:layernorm").answer(distribution).values
    assert weight["norm_weight"].unique().numel() >= 3
    assert weight["norm_bias"].unique().numel() >= 3


def test_the_eager_output_agrees_and_a_rounded_one_does_not(derived):
    answer = derived("builtin:rmsnorm_silu").answer()
    (expected,) = answer.expected
    assert answer.sound
    assert compare(raw(answer.eager[0]), expected).kind is None
    rounded = answer.eager[0].bfloat16().float()
    assert compare(raw(rounded), expected).kind == "wrong_value"


def test_the_oracle_is_more_precise_than_its_reference(derived):
    answer = derived("half_precision").answer()
    x, weight = (answer.values[n].double() for n in ("x", "weight"))
    by_hand = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * weight
    got = torch.from_numpy(answer.expected[0].values).reshape(by_hand.shape)
    assert torch.allclose(got, by_hand, rtol=1e-13, atol=1e-13)


def test_what_a_program_casts_down_inside_stays_wide_in_the_oracle(derived):
    found = derived("half_precision")
    program = found.oracle.twins({}).exact
    out = run_exact(program, program.make_inputs(1))[0]
    assert not torch.equal(out, out.float().double())


def test_near_ties_of_an_index_accept_each_answer_that_rounding_may_give(written):
    found = written(
        """
import torch
class Model(torch.nn.Module):
    def forward(self, x):
        return torch.argmax(x, dim=-1)
def get_inputs():
    base = torch.rand(512, 1)
    return [torch.cat([base, base * (1 + 1e-7), base - 1], dim=1)]
def get_init_inputs():
    return []
"""
    )
    (expected,) = found.answer("file").expected
    assert expected.tolerance is None
    assert expected.values.shape[0] > 1
    assert set(np.unique(expected.values)) == {0, 1}
    wrong = np.full(512, 2)
    assert compare(wrong, expected).kind == "wrong_value"


@pytest.mark.parametrize("distribution", ["ties", "integer"])
def test_true_ties_accept_the_first_index_alone(derived, distribution):
    answer = derived("builtin:argmax").answer(distribution)
    (expected,) = answer.expected
    assert expected.values.shape[0] == 1
    x = answer.values["x"]
    last = x.shape[1] - 1 - x.flip(1).argmax(1)
    assert compare(raw(answer.eager[0]), expected).kind is None
    assert compare(raw(last), expected).kind == "wrong_value"


def test_a_draw_that_breaks_the_reference_falls_back_to_the_files_inputs(written):
    found = written(
        """
import torch
n = 64
class Model(torch.nn.Module):
    def forward(self, x):
        return torch.exp(x / 2).sum(-1)
def get_inputs():
    return [torch.rand(8, n)]
def get_init_inputs():
    return []
"""
    )
    answer = found.oracle.sound_answer(found.problem, found.problem.report_workload, "large", 3)
    assert answer.distribution == "file"
    assert answer.sound


SCORED = """
import torch
n, keys = 65, 129
class Model(torch.nn.Module):
    def forward(self, q, k):
        return torch.softmax(q @ k.T * n**-0.5, dim=-1) @ k
def get_inputs():
    return [torch.randn(512, n), torch.randn(keys, n)]
def get_init_inputs():
    return []
"""


def test_where_roundings_decide_what_a_softmax_is_it_must_still_be_a_number(written):
    found = written(SCORED)
    answer = found.oracle.sound_answer(found.problem, found.problem.report_workload, "far", 3)
    assert (answer.distribution, answer.loosened, answer.sound) == ("far", True, True)
    (expected,) = answer.expected
    assert compare(raw(answer.eager[0] + 5), expected).kind is None
    for nothing in (math.nan, math.inf):
        spoiled = answer.eager[0].clone()
        spoiled[3, 5] = nothing
        assert compare(raw(spoiled), expected).kind == "nonfinite"


def test_where_no_rounding_decides_anything_nothing_is_loosened(derived):
    found = derived("builtin:softmax")
    answer = found.oracle.sound_answer(found.problem, found.problem.report_workload, "far", 3)
    assert (answer.distribution, answer.loosened) == ("far", False)


TAILED = """
import torch
n = 65
class Model(torch.nn.Module):
    def forward(self, x):
        return torch.nn.functional.gelu(x)
def get_inputs():
    return [torch.randn(17, n)]
def get_init_inputs():
    return []
"""


def test_nobody_is_held_to_the_far_tail_of_a_gelu_that_float64_rounds_to_nothing(written):
    found = written(TAILED)
    asked = [
        found.oracle.sound_answer(found.problem, found.problem.report_workload, "shifted", seed)
        for seed in range(16)
    ]
    assert {answer.distribution for answer in asked} == {"shifted", "file"}
    assert not any(answer.vanished for answer in asked)
