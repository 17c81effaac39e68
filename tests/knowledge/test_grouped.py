"""Axes of which one is a multiple of another: heads of queries that share a head of keys."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelwright.core.graph import Extent
from kernelwright.knowledge.sketches.poly import Poly, axes_of
from kernelwright.problems.sizes import explain

TEXT = """
import torch
from torch import nn

B, H, K, D = 2, 8, 2, 5


class Model(nn.Module):
    def __init__(self, *sizes):
        super().__init__()

    def forward(self, q, k):
        group = q.shape[1] // k.shape[1]
        shared = k[:, :, None].expand(-1, -1, group, -1).reshape(q.shape)
        return q * shared, (q * shared).sum(1), group * q


def get_inputs():
    return [torch.randn(B, H, D), torch.randn(B, K, D)]


def get_init_inputs():
    return [B, H, K, D]
"""
DECODE = """
import torch
from torch import nn
import torch.nn.functional as F

B, K, L, D = 2, 3, 40, 16


class Model(nn.Module):
    def __init__(self, *sizes):
        super().__init__()

    def forward(self, q, k, v):
        return F.scaled_dot_product_attention(q, k, v, enable_gqa=True)


def get_inputs():
    return [torch.randn(B, 4 * K, 1, D), torch.randn(B, K, L, D), torch.randn(B, K, L, D)]


def get_init_inputs():
    return [B, K, L, D]
"""
# In all of them a group is as large as the batch and two more.
SIZES = (
    {"B": 2, "H": 8, "K": 2, "D": 5},
    {"B": 3, "H": 15, "K": 3, "D": 7},
    {"B": 2, "H": 12, "K": 3, "D": 9},
)
OTHER = {"B": 4, "H": 6, "K": 2, "D": 11}
UNITS = {"heads": "kv", "kv": 2}
HEADS, KV, DIM = (Poly.axis(name, UNITS) for name in ("heads", "kv", "dim"))
GROUP = Poly.from_extent(Extent(axes=("heads",), over=("kv",)), UNITS)


@pytest.fixture(scope="module")
def grouped(tracing):
    return tracing(TEXT, SIZES)


def test_an_axis_divided_by_another_is_an_explanation_before_any_offset():
    sizes = [{**s, "one": 1} for s in SIZES]
    assert explain([4, 5, 4], sizes) == Extent(axes=("H",), over=("K",))
    assert explain([4 * 5, 5 * 7, 4 * 9], sizes) == Extent(axes=("H", "D"), over=("K",))


def test_a_division_with_a_rest_is_none():
    uneven = [{"H": 9, "K": 2}, {"H": 15, "K": 4}, {"H": 8, "K": 2}]
    assert explain([4, 3, 4], uneven) != Extent(axes=("H",), over=("K",))


def test_a_group_times_what_it_is_of_is_the_whole():
    assert GROUP * KV == HEADS
    assert HEADS / KV == GROUP
    assert GROUP.axes == {"heads", "kv"}
    assert axes_of("heads/kv") == ("heads", "kv")


@given(kv=st.integers(1, 5), group=st.integers(1, 5), dim=st.integers(1, 9))
def test_the_text_of_a_group_has_its_value_in_every_product(kv, group, dim):
    at = {"kv": 2 * kv, "heads": 2 * kv * group, "dim": dim}
    for poly in (GROUP, HEADS, GROUP * DIM + 1, GROUP * GROUP * KV, HEADS * DIM, KV * DIM - GROUP):
        assert eval(poly.text({}, "//"), dict(at)) == poly.at(at)


def test_drafts_in_cpp_are_right_at_sizes_that_were_not_traced(grouped, kernel, make_case):
    for candidate in grouped.candidates("cpp"):
        built = kernel(candidate, grouped.problem)
        for sizes in (*SIZES, OTHER):
            built.check(make_case(grouped, sizes))


def test_drafts_in_triton_are_right_at_sizes_that_were_not_traced(grouped, triton_runs):
    pytest.importorskip("triton", reason="the package triton is not installed")
    runs = triton_runs()
    runs.add("grouped", grouped, (SIZES[0], OTHER))
    runs.run(TRITON_INTERPRET="1")
    runs.check("grouped")


def test_heads_that_share_keys_are_rows_of_one_product_in_cpp(tracing, kernel, make_case):
    sizes = ({"B": 2, "K": 3, "L": 40, "D": 16}, {"B": 3, "K": 2, "L": 9, "D": 5})
    decode = tracing(DECODE, sizes)
    packed = decode.candidates("cpp")[0]
    rows = next(t.default for t in packed.tunables if t.name == "ROWS")
    assert rows == 4  # as many as heads to a head of keys, each with one query
    built = kernel(packed, decode.problem)
    for each in sizes:
        built.check(make_case(decode, each))
