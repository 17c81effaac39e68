"""Quotients that are rounded to integers: a product with a reciprocal takes ties another way."""

import pytest
import torch

SIZES = ({"B": 7, "C": 6, "D": 36}, {"B": 5, "C": 10, "D": 22})
ROUNDED = (
    "s = y.abs().amax(-1, keepdim=True)\n"
    "                return torch.round(x / s), torch.floor(x / s) / s, (x / s).int()"
)
INPUTS = ("torch.randn(B, D)", "torch.randn(B, D)")


@pytest.fixture(scope="module")
def rounded(tracing, make_file):
    return tracing(make_file(ROUNDED, inputs=INPUTS), SIZES)


def ties(sizes):
    """Scales of which no reciprocal is exact, and what is a whole number and a half of them."""
    scale = torch.tensor([3.0, 5.0, 7.0, 11.0, 13.0, 49.0, 17.0])[: sizes["B"], None]
    half = torch.arange(sizes["D"])[None] - 9.5
    return [half * scale, scale.expand(-1, sizes["D"]).contiguous()]


def test_ties_go_in_cpp_where_they_go_in_torch(rounded, kernel, make_case):
    for candidate in rounded.candidates("cpp"):
        built = kernel(candidate, rounded.problem)
        for sizes in SIZES:
            built.check(make_case(rounded, sizes, ties(sizes)))


def test_triton_is_asked_for_an_exact_quotient_where_it_is_rounded_and_nowhere_else(rounded):
    for candidate in rounded.candidates("triton"):
        text = candidate.source.text
        assert text.count("tl.div_rn(") >= 1  # equal quotients are one
        assert "1.0 / " in text  # the division by the scale of what is rounded already
