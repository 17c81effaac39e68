"""Honest arithmetic passes and downgraded precision fails, also where an output is one number.

Each case has an honest family of kernels (other orders, other accumulators) and a downgraded one
(operands rounded to a narrower type, narrow sums, terms left out), run over several seeds.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kernelwright.core.agreement import compare
from kernelwright.problems.dtypes import raw

SEEDS = range(12)


def program(body: str, inputs: str, extra: str = "") -> str:
    return f"""
import torch
{extra}
class Model(torch.nn.Module):
    def forward(self, {inputs.split("|")[0]}):
        {body}
def get_inputs():
    return [{inputs.split("|")[1]}]
def get_init_inputs():
    return []
"""


def sequential(terms: torch.Tensor, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """A sum along the last axis from left to right, every step rounded to `dtype`."""
    total = torch.zeros(terms.shape[:-1], dtype=dtype)
    for column in terms.to(dtype).unbind(-1):
        total = total + column
    return total


def lanes(terms: torch.Tensor) -> torch.Tensor:
    """As eight vector lanes do."""
    padded = torch.nn.functional.pad(terms, (0, -terms.shape[-1] % 8))
    return sequential(sequential(padded.unflatten(-1, (-1, 8)).transpose(-1, -2)))


def verdicts(found, make, distributions=("normal",), at="report"):
    """What the comparison says of `make(values)` on every seed."""
    workload = found.workload(at)
    said = []
    for distribution in distributions:
        for seed in SEEDS:
            answer = found.oracle.answer(found.problem, workload, distribution, seed)
            if not answer.sound:
                continue
            (expected,) = answer.expected
            got = make(answer.values).to(answer.eager[0].dtype)
            said.append(compare(raw(got.reshape(answer.eager[0].shape)), expected).kind)
    assert said
    return said


@pytest.mark.parametrize("columns", [65, 1000, 4096])
@pytest.mark.parametrize("order", [sequential, lanes])
def test_one_sum_near_zero_may_be_summed_in_any_order(written, columns, order):
    """Two numbers whose terms cancel: their own size says nothing about the roundings inside."""
    found = written(program("return x.sum(-1)", f"x|torch.randn(2, {columns})"))
    said = verdicts(found, lambda v: order(v["x"]))
    assert set(said) == {None}


def test_one_sum_of_rounded_terms_fails(written):
    found = written(program("return x.sum(-1)", "x|torch.randn(2, 1000)"))
    assert None not in verdicts(found, lambda v: v["x"].bfloat16().float().sum(-1))
    assert None not in verdicts(found, lambda v: sequential(v["x"], torch.float16))


def test_a_sum_that_leaves_terms_out_fails_on_every_seed(written):
    found = written(program("return x.sum(-1)", "x|torch.randn(2, 1000)"))
    assert None not in verdicts(found, lambda v: v["x"][:, :-1].sum(-1))
    assert None not in verdicts(found, lambda v: torch.zeros(2))


MATMUL = program("return a @ b", "a, b|torch.randn(48, 256), torch.randn(256, 40)")


def strassen(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Strassen's scheme, whose errors follow the largest block and not each element."""
    if min(*a.shape, b.shape[1]) <= 12:
        return a @ b
    n, k, m = a.shape[0] // 2, a.shape[1] // 2, b.shape[1] // 2
    a11, a12, a21, a22 = a[:n, :k], a[:n, k:], a[n:, :k], a[n:, k:]
    b11, b12, b21, b22 = b[:k, :m], b[:k, m:], b[k:, :m], b[k:, m:]
    m1, m2 = strassen(a11 + a22, b11 + b22), strassen(a21 + a22, b11)
    m3, m4 = strassen(a11, b12 - b22), strassen(a22, b21 - b11)
    m5, m6 = strassen(a11 + a12, b22), strassen(a21 - a11, b11 + b12)
    m7 = strassen(a12 - a22, b21 + b22)
    top = torch.cat([m1 + m4 - m5 + m7, m3 + m5], 1)
    return torch.cat([top, torch.cat([m2 + m4, m1 - m2 + m3 + m6], 1)], 0)


def test_a_product_may_be_summed_in_any_order(written):
    found = written(MATMUL)
    drawn = ("normal", "shifted", "heavy", "sparse")
    said = verdicts(found, lambda v: sequential(v["a"][:, None, :] * v["b"].T[None]), drawn)
    assert set(said) == {None}
    halves = lambda v: v["a"][:, :128] @ v["b"][:128] + v["a"][:, 128:] @ v["b"][128:]  # noqa: E731
    assert set(verdicts(found, halves, drawn)) == {None}


@pytest.mark.parametrize(
    "cheat",
    [
        lambda a, b: a.bfloat16().float() @ b.bfloat16().float(),
        lambda a, b: a.half().float() @ b.half().float(),
        lambda a, b: sequential(a[:, None, :] * b.T[None], torch.float16).float(),
        lambda a, b: a[:, :-1] @ b[:-1],
    ],
    ids=["bfloat16 operands", "float16 operands", "float16 sums", "one term less"],
)
def test_a_product_of_less_precision_fails(written, cheat):
    found = written(MATMUL)
    assert None not in verdicts(found, lambda v: cheat(v["a"], v["b"]), ("normal", "shifted"))


def test_tf32_operands_fail_where_the_problem_does_not_permit_them(written):
    found = written(MATMUL)

    def tf32(x: torch.Tensor) -> torch.Tensor:
        kept = raw(x).view(np.uint32) + np.uint32(0x1000) & np.uint32(0xFFFFE000)
        return torch.from_numpy(kept.view(np.float32)).reshape(x.shape)

    make = lambda v: tf32(v["a"]) @ tf32(v["b"])  # noqa: E731
    assert None not in verdicts(found, make)
    check = found.problem.check.model_copy(update={"tf32": True})
    found.problem = found.problem.model_copy(update={"check": check})
    assert set(verdicts(found, make)) == {None}
    worse = lambda v: v["a"].bfloat16().float() @ v["b"].bfloat16().float()  # noqa: E731
    assert None not in verdicts(found, worse)


def test_strassen_is_told_from_the_plain_product_by_inputs_of_unequal_size(written):
    found = written(program("return a @ b", "a, b|torch.randn(96, 96), torch.randn(96, 96)"))
    said = verdicts(found, lambda v: strassen(v["a"], v["b"]), ("heavy", "shifted"))
    assert any(kind is not None for kind in said)


def test_a_softmax_without_its_maximum_fails_on_large_values(written):
    found = written(program("return torch.softmax(x, -1)", "x|torch.randn(32, 200)"))

    def bare(values):
        e = torch.exp(values["x"])
        return e / e.sum(-1, keepdim=True)

    assert set(verdicts(found, bare, ("normal",))) == {None}
    assert None not in verdicts(found, bare, ("large",))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_narrow_type_may_be_computed_wider_and_not_narrower(written, dtype):
    narrow = getattr(torch, dtype)
    found = written(
        program(
            "return torch.softmax(x.float(), -1).to(x.dtype)",
            f"x|torch.randn(64, 300, dtype=torch.{dtype})",
        )
    )
    wider = lambda v: torch.softmax(v["x"].double(), -1).to(narrow)  # noqa: E731
    assert set(verdicts(found, wider, ("normal", "large"))) == {None}
    narrower = lambda v: torch.softmax(v["x"].to(torch.float8_e4m3fn).float(), -1)  # noqa: E731
    assert None not in verdicts(found, narrower)


def test_numbers_near_the_end_of_a_type_are_held_to_its_smallest_step(written):
    """In float16, 2e-7 is three steps from zero: no kernel can be right to a thousandth."""
    found = written(program("return x * 1e-4", "x|torch.randn(64, 64, dtype=torch.float16)"))
    wider = lambda v: (v["x"].double() * 1e-4).half()  # noqa: E731
    assert set(verdicts(found, wider, ("normal", "small"))) == {None}
    assert None not in verdicts(found, lambda v: torch.zeros(64, 64), ("normal",))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_a_value_that_is_not_finite_launders_nothing(written, bad):
    """A10: neither where the reference is finite, nor next to where it is not."""
    found = written(program("return x.log()", "x|torch.randn(64, 64)"))
    answer = found.answer("file")
    (expected,) = answer.expected
    right = answer.eager[0].clone()
    finite = torch.isfinite(right)
    assert bool(finite.any())
    assert not bool(finite.all())
    assert compare(raw(right), expected).kind is None
    for spoilt in (torch.where(finite, bad, right), torch.where(finite, right, 0.0)):
        assert compare(raw(spoilt), expected).kind == "nonfinite"
    swapped = torch.where(torch.isnan(right), float("inf"), right)
    assert compare(raw(swapped), expected).kind == "nonfinite"
    off = torch.where(finite, right * 1.01, right)
    assert compare(raw(off), expected).kind == "wrong_value"
