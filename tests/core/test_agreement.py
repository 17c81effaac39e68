"""What it means for outputs to agree: tolerances, non-finite values, integers, narrow types."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kernelwright.core.agreement import Expected, compare
from kernelwright.core.formats import decode
from kernelwright.core.tolerance import Tolerance, steep, tolerance

LIMIT = Tolerance(relative=1e-3, scale=1.0, rms_limit=5e-4)
NUMBERS = st.one_of(
    st.floats(-100, 100, width=32), st.sampled_from([math.nan, math.inf, -math.inf, 0.0, -0.0])
)


def expected(values, limit: Tolerance | None = LIMIT, dtype="float32") -> Expected:
    return Expected(name="out", dtype=dtype, values=np.asarray(values), tolerance=limit)


def agrees(got: float, want: float) -> bool:
    """Element by element, as the docstring of `Tolerance` says it."""
    if math.isnan(want) or math.isinf(want) or math.isnan(got) or math.isinf(got):
        return (math.isnan(got) and math.isnan(want)) or got == want
    return abs(got - want) <= LIMIT.relative * max(abs(want), LIMIT.scale)


@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=30))
def test_every_element_is_held_to_the_tolerance(pairs):
    got, want = (np.array(column, np.float32) for column in zip(*pairs, strict=True))
    result = compare(got, expected(want.astype(np.float64)))
    right = [agrees(float(g), float(w)) for g, w in zip(got, want, strict=True)]
    assert result.matched_ratio == pytest.approx(sum(right) / len(right))
    if result.kind in (None, "precision"):
        assert all(right)
    else:
        assert not all(right)


def test_one_wrong_element_in_a_million_fails_and_is_named():
    want = np.ones(1_000_000)
    got = want.astype(np.float32)
    got[765_432] = 1.01
    result = compare(got, expected(want))
    assert result.kind == "wrong_value"
    assert "element 765432" in result.detail


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_non_finite_value_agrees_only_with_itself(bad):
    want = np.array([1.0, bad, 3.0])
    assert compare(want.astype(np.float32), expected(want)).kind is None
    assert compare(np.array([1.0, 2.0, 3.0], np.float32), expected(want)).kind == "nonfinite"
    other = math.inf if math.isnan(bad) else math.nan
    assert compare(np.array([1.0, other, 3.0], np.float32), expected(want)).kind == "nonfinite"


def test_errors_that_are_each_allowed_can_be_too_many():
    want = np.full(1000, 1.0)
    assert compare((want + 9e-4).astype(np.float32), expected(want)).kind == "precision"
    assert compare((want + 3e-4).astype(np.float32), expected(want)).kind is None


def test_zero_for_zero_is_no_error_even_with_no_tolerance():
    nothing = Tolerance(relative=0.0, scale=0.0, rms_limit=0.0)
    assert compare(np.zeros(4, np.float32), expected(np.zeros(4), nothing)).kind is None
    assert compare(np.full(4, 1e-30, np.float32), expected(np.zeros(4), nothing)).kind is not None


def test_integers_must_equal_one_of_the_answers_element_by_element():
    answers = np.array([[1, 2, 3], [1, 5, 3]])
    held = expected(answers, None, "int64")
    assert compare(np.array([1, 5, 3]), held).kind is None
    assert compare(np.array([1, 2, 3]), held).kind is None
    result = compare(np.array([1, 4, 3]), held)
    assert result.kind == "wrong_value"
    assert "element 1 is 4" in result.detail


def test_an_empty_output_agrees():
    assert compare(np.empty(0, np.float32), expected(np.empty(0))).kind is None


@pytest.mark.parametrize("dtype", ["bfloat16", "float8_e4m3fn", "float8_e5m2"])
def test_narrow_types_decode_as_torch_does(dtype):
    bits = 16 if dtype == "bfloat16" else 8
    raw = np.arange(2**bits, dtype=f"u{bits // 8}")
    signed = torch.from_numpy(raw.view(f"i{bits // 8}"))
    theirs = signed.view(getattr(torch, dtype)).to(torch.float64).numpy()
    with np.errstate(invalid="ignore"):
        ours = decode(raw, dtype).astype(np.float64)
    np.testing.assert_array_equal(ours, theirs)
    assert compare(raw, expected(ours, dtype=dtype)).kind is None


@pytest.mark.parametrize("length", [64, 100_000])
def test_the_tolerance_lets_another_order_of_summation_pass_and_a_down_cast_not(length):
    rng = np.random.default_rng(3)
    rows = rng.standard_normal((200, length)).astype(np.float32)
    exact = rows.astype(np.float64).sum(axis=1)
    eager = torch.from_numpy(rows).sum(dim=1).numpy()
    limit = tolerance(exact, eager, "float32", longest_axis=length)
    one_by_one = np.add.accumulate(rows, axis=1, dtype=np.float32)[:, -1]
    narrow = torch.from_numpy(rows).bfloat16().float().sum(dim=1).numpy()
    assert compare(one_by_one, expected(exact, limit)).kind is None
    assert compare(narrow, expected(exact, limit)).kind is not None


def test_a_bad_reference_cannot_open_the_gate():
    exact = np.linspace(1, 2, 1000)
    limit = tolerance(exact, exact + 0.1, "float32", longest_axis=8)
    assert limit.relative <= 1e-4
    assert limit.rms_limit <= 1e-4 * limit.scale


def test_slack_is_room_for_the_elements_that_have_it_and_no_others():
    exact = np.linspace(1.0, 2.0, 1000)
    limit = Tolerance(relative=1e-5, scale=1.5, rms_limit=1e-6)
    slack = np.zeros(1000)
    slack[7] = 0.5
    expected = Expected(name="out", dtype="float32", values=exact, tolerance=limit, slack=slack)
    for at, by, kind in ((7, 0.5, None), (7, -0.5, None), (7, 0.51, "wrong_value"),
                         (8, 0.1, "wrong_value"), (7, np.inf, "nonfinite")):  # fmt: skip
        actual = exact.astype(np.float32)
        actual[at] += by
        assert compare(actual, expected).kind == kind, (at, by)


def test_what_a_rounding_of_the_inputs_does_to_an_output_another_kernel_may_do_too():
    exact = np.linspace(1.0, 2.0, 1000)
    calm = tolerance(exact, exact, "float32", longest_axis=64)
    moved = tolerance(exact, exact, "float32", longest_axis=64, moved=exact * 2e-6)
    assert moved.relative > 10 * 2e-6 > calm.relative
    assert moved.rms_limit > calm.rms_limit
    assert tolerance(exact, exact, "float32", longest_axis=64, moved=exact).relative <= 1e-4


def test_an_element_that_a_rounding_of_the_inputs_decides_is_open_and_no_other():
    exact = np.linspace(1.0, 2.0, 1000)
    limit = tolerance(exact, exact, "float32", longest_axis=64)
    moved = np.zeros(1000)
    moved[3], moved[7] = 1e-5, 0.5
    slack = steep(exact, moved, limit, "float32", longest_axis=64)
    assert slack is not None
    assert np.flatnonzero(slack).tolist() == [3, 7]
    assert slack[3] < 1e-3
    assert slack[7] == math.inf
    assert steep(exact, np.zeros(1000), limit, "float32", longest_axis=64) is None


def test_a_sum_of_subnormal_terms_may_round_each_of_them_and_no_term_may_be_dropped():
    rng = np.random.default_rng(5)
    share, terms = np.float32(1 / 97), rng.standard_normal((4000, 97)).astype(np.float32)
    terms *= np.float32(2.0**-130)
    exact = (terms.astype(np.float64) * float(share)).sum(axis=1)
    limit = tolerance(exact, exact.astype(np.float32), "float32", longest_axis=97)
    rounded = np.add.accumulate(terms * share, axis=1, dtype=np.float32)[:, -1]
    assert compare(rounded, expected(exact, limit)).kind is None
    assert compare(np.zeros_like(rounded), expected(exact, limit)).kind is not None


def test_elements_made_of_the_same_values_may_all_be_off_by_the_same_few_roundings():
    exact = np.full(6, 1.25)
    limit = tolerance(exact, exact.astype(np.float32), "float32", longest_axis=3)
    expected = Expected(name="out", dtype="float32", values=exact, tolerance=limit)
    for ulps, kind in ((7, None), (12, "precision")):
        assert compare((exact * (1 + ulps * 2.0**-24)).astype(np.float32), expected).kind == kind
