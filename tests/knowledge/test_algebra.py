"""Sizes and indices: what the algebra says is what the numbers say."""

import itertools
import math

from hypothesis import given, settings
from hypothesis import strategies as st

from kernelwright.knowledge.sketches.index import (
    Index,
    Quotient,
    Remainder,
    Var,
    divided,
    flattened,
    index,
    split,
)
from kernelwright.knowledge.sketches.poly import ONE, Poly, product

A, B, C = Poly.axis("a"), Poly.axis("b"), Poly.axis("c")
polys = st.recursive(
    st.sampled_from([A, B, C]) | st.integers(-4, 4).map(Poly.number),
    lambda p: (
        st.tuples(p, p).map(lambda t: t[0] + t[1]) | st.tuples(p, p).map(lambda t: t[0] * t[1])
    ),
    max_leaves=5,
)
sizes = st.fixed_dictionaries({n: st.integers(1, 9) for n in "abc"})


@given(left=polys, right=polys, at=sizes)
def test_sums_differences_and_products_have_the_values_of_their_parts(left, right, at):
    assert (left + right).at(at) == left.at(at) + right.at(at)
    assert (left - right).at(at) == left.at(at) - right.at(at)
    assert (left * right).at(at) == left.at(at) * right.at(at)


@given(poly=polys, at=sizes)
def test_the_text_has_the_value(poly, at):
    assert eval(str(poly), dict(at)) == poly.at(at)


@given(poly=polys, at=sizes)
def test_what_is_never_negative_is_not_negative(poly, at):
    assert not poly.never_negative or poly.at(at) >= 0


@given(poly=polys)
def test_a_product_is_divided_exactly_by_what_it_was_multiplied_with(poly):
    assert (poly * A * 3) / (A * 3) == poly


def value(of: Index, at, variables) -> int:
    """The number that `of` is."""
    total = of.constant.at(at)
    for atom, coefficient in of.terms:
        match atom:
            case Var(name=name):
                number = variables[name]
            case Quotient(of=inner, by=by):
                number = value(inner, at, variables) // by.at(at)
            case Remainder(of=inner, by=by):
                number = value(inner, at, variables) % by.at(at)
        total += coefficient.at(at) * number
    return total


SHAPES = [
    (A, B, C), (A * B, C), (A, B * C), (A, Poly.number(2), B), (A * B * C,), (A, B, ONE, C),
]  # fmt: skip


@given(shape=st.sampled_from(SHAPES), other=st.sampled_from(SHAPES), at=sizes)
def test_splitting_a_position_finds_the_element_that_a_reshape_moves_there(shape, other, at):
    whole = product(shape)
    position = index(Var("p", whole))
    places = split(position, shape)
    for p in range(0, whole.at(at), max(1, whole.at(at) // 7)):
        digits, rest = [], p
        for extent in reversed([s.at(at) for s in shape]):
            digits.append(rest % extent)
            rest //= extent
        assert [value(i, at, {"p": p}) for i in places] == digits[::-1]
    assert flattened(places, shape) == position
    if product(other) == whole:
        assert flattened(split(flattened(places, shape), other), other) == position


@given(at=sizes, extents=st.tuples(*[st.integers(1, 5)] * 3))
@settings(deadline=None)
def test_dividing_a_sum_of_loops_gives_quotient_and_remainder(at, extents):
    row, k, j = (Var(n, Poly.number(e)) for n, e in zip("rkj", extents, strict=True))
    of = index(row) * (B * C) + index(k) * C + index(j)
    for by in (C, B * C, B, Poly.number(2)):
        high, low = divided(of, by)
        for numbers in itertools.product(*(range(e) for e in extents)):
            variables = dict(zip("rkj", numbers, strict=True))
            whole = value(of, at, variables)
            assert value(high, at, variables) == whole // by.at(at)
            assert value(low, at, variables) == whole % by.at(at)


def test_a_loop_over_neighbours_is_seen_through_a_reshape():
    row, lane = Var("row", A), Var("lane", B * C)
    position = index(row) * (B * C) + index(lane)
    outer, inner = split(position, (A, B * C))
    assert (outer, inner) == (index(row), index(lane))
    assert math.prod(p.at({"a": 2, "b": 3, "c": 4}) for p in (A, B * C)) == 24


def test_a_row_of_groups_is_divided_without_touching_the_lane():
    """The group norm's case: position = row * (C / 2 * B) + lane, in a tensor of [A, C, B]."""
    groups = Poly.number(2)
    inner = C * Poly.number(1) * B
    row, lane = Var("row", A * groups), Var("lane", inner)
    high, low = divided(index(row) * inner + index(lane), inner * groups)
    assert high == Index(((Quotient(index(row), groups), ONE),))
    assert low == Index(((Remainder(index(row), groups), inner), (lane, ONE)))


def test_a_remainder_of_a_remainder_is_one_and_the_parts_still_come_together():
    x = Var("x", A * B * C)
    rest = divided(index(x), A * B)[1]
    high, low = divided(rest, B)
    assert low == Index(((Remainder(index(x), B), ONE),))
    assert high * B + low == rest
