"""The distributions that patterns, tiny numbers, indices, masks and non-finite values come from."""

from __future__ import annotations

import pytest
import torch

from kernelwright.core.agreement import compare
from kernelwright.problems.distributions import draw, generator, rearranged
from kernelwright.problems.dtypes import raw
from kernelwright.problems.soundness import sound_distributions


def patterns(count=40):
    return [draw("structured", (12, 9), torch.float32, generator(seed)) for seed in range(count)]


def test_structured_draws_have_single_rows_diagonals_triangles_and_orders():
    drawn = patterns()
    diagonal, lower = torch.eye(12, 9), torch.ones(12, 9).tril()
    nonzero = [(x != 0).float() for x in drawn]
    assert any(torch.equal(m[:9], diagonal[:9]) for m in nonzero)
    assert any(torch.equal(m[:9], lower[:9]) for m in nonzero)
    assert any(bool(m[-1].all()) and not bool(m[:-1].any()) for m in nonzero)
    assert any(bool(m[:, -1].all()) and not bool(m[:, :-1].any()) for m in nonzero)
    assert any(bool((x.diff(dim=-1) >= 0).all()) for x in drawn)
    assert any(bool((x.diff(dim=-1) <= 0).all()) for x in drawn)
    assert any(bool((m.sum(1) == 1).all()) and not torch.equal(m[:9], diagonal[:9])
               for m in nonzero)  # fmt: skip


def test_far_rows_lie_on_one_side_far_enough_to_leave_what_double_can_raise_e_to():
    drawn = [draw("far", (64, 9), torch.float64, generator(seed)) for seed in range(40)]
    assert all(bool((x.sign() == x.sign()[:, :1]).all()) for x in drawn)
    assert all(bool(torch.exp(-x.abs() / 2).eq(0).all()) for x in drawn)
    sides = [("below" if (x < 0).all() else "above" if (x > 0).all() else "both") for x in drawn]
    assert set(sides) == {"below", "above", "both"}
    assert sides.count("below") > sides.count("above")


def test_products_of_far_values_add_up_exactly():
    x, y = (draw("far", (3, 2000), torch.float32, generator(seed)) for seed in (1, 2))
    exact = (x.double() * y.double()).sum(1)
    running = (x * y).cumsum(1)[:, -1]
    assert torch.equal(running.double(), exact)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_denormal_draws_are_below_the_smallest_normal_number(dtype):
    values = draw("denormal", (500,), dtype, generator(1))
    tiny = torch.finfo(dtype).tiny
    assert bool(values.any())
    assert float((values.abs().double() < tiny).double().mean()) > 0.99


def test_nonfinite_draws_leave_most_rows_finite():
    values = draw("nonfinite", (400, 8), torch.float32, generator(2))
    bad = ~torch.isfinite(values)
    assert {bool(torch.isnan(values).any()), bool(torch.isinf(values).any())} == {True}
    assert int(bad.sum(1).max()) == 1
    assert 0.1 < float(bad.any(1).float().mean()) < 0.4


def test_indices_stay_in_range_and_come_as_extremes_duplicates_and_out_of_order():
    indices = torch.randint(3, 90, (400,), generator=generator(3))
    low, high = int(indices.min()), int(indices.max())
    drawn = [rearranged(indices, generator(seed)) for seed in range(30)]
    assert all(low <= int(d.min()) and int(d.max()) <= high for d in drawn)
    assert any(set(d.tolist()) == {low, high} for d in drawn)
    assert any(len(set(d.tolist())) == 1 for d in drawn)
    assert any(sorted(d.tolist()) == sorted(indices.tolist()) and not torch.equal(d, indices)
               for d in drawn)  # fmt: skip


def test_offsets_stay_and_a_permutation_stays_one():
    offsets = torch.arange(0, 50, 5)
    permutation = torch.randperm(64, generator=generator(1))
    for seed in range(12):
        assert torch.equal(rearranged(offsets, generator(seed)), offsets)
        again = rearranged(permutation, generator(seed))
        assert torch.equal(again.sort().values, permutation.sort().values)


def test_masks_come_all_true_and_all_false():
    mask = torch.rand(50) < 0.5
    seen = {tuple(rearranged(mask, generator(seed)).tolist()) for seed in range(20)}
    assert {(True,) * 50, (False,) * 50} <= seen


LOOKUP = """
import torch
rows = 40
class Model(torch.nn.Module):
    def forward(self, table, index):
        return table[index]
def get_inputs():
    return [torch.randn(30, 8), torch.randint(0, 30, (rows,))]
def get_init_inputs():
    return []
"""


def test_structured_cases_rearrange_indices_within_their_range(written):
    found = written(LOOKUP)
    assert "structured" in sound_distributions(found.oracle, found.problem)
    drawn = [found.answer("structured", seed).values["index"] for seed in range(12)]
    assert any(len(set(d.tolist())) == 1 for d in drawn)
    assert all(int(d.min()) >= 0 and int(d.max()) < 30 for d in drawn)


MAXIMUM = """
import torch
{declared}
class Model(torch.nn.Module):
    def forward(self, x):
        return x.amax(-1)
def get_inputs():
    return [torch.randn(64, 40)]
def get_init_inputs():
    return []
"""


def test_nan_is_drawn_only_where_the_file_declares_that_it_passes_on(written):
    plain = written(MAXIMUM.format(declared=""))
    declared = written(MAXIMUM.format(declared="NONFINITE = True"))
    assert "nonfinite" not in sound_distributions(plain.oracle, plain.problem)
    assert "nonfinite" in sound_distributions(declared.oracle, declared.problem)
    answer = declared.answer("nonfinite")
    (expected,) = answer.expected
    assert compare(raw(answer.eager[0]), expected).kind is None
    x = answer.values["x"]
    careless = torch.where(torch.isnan(x), -torch.inf, x).amax(-1)
    assert compare(raw(careless), expected).kind == "nonfinite"


def test_a_draw_that_makes_a_finite_problem_infinite_is_not_asked(written):
    found = written(
        """
import torch
class Model(torch.nn.Module):
    def forward(self, x):
        return torch.exp(x)
def get_inputs():
    return [torch.randn(32, 64)]
def get_init_inputs():
    return []
"""
    )
    assert "large" not in sound_distributions(found.oracle, found.problem)
    workload = found.problem.report_workload
    assert found.oracle.sound_answer(found.problem, workload, "large", 3).finite


TOP = """
import torch
class Model(torch.nn.Module):
    def forward(self, x):
        return {body}
def get_inputs():
    return [torch.randn(32, 200)]
def get_init_inputs():
    return []
"""


def test_equal_values_are_not_asked_where_torch_has_no_rule_for_them(written):
    """Which of several equal values `topk` names is open; which one `argmax` names is not."""
    top = written(TOP.format(body="torch.topk(x, 5).indices"), "top.py")
    asked = sound_distributions(top.oracle, top.problem)
    assert not {"ties", "integer"} & set(asked)
    assert "normal" in asked
    first = written(TOP.format(body="torch.argmax(x, -1)"), "first.py")
    assert {"ties", "integer"} <= set(sound_distributions(first.oracle, first.problem))
    ordered = written(TOP.format(body="torch.sort(x, stable=True).indices"), "ordered.py")
    assert {"ties", "integer"} <= set(sound_distributions(ordered.oracle, ordered.problem))
