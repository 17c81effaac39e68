"""Attention as one kernel in Triton, in its interpreter: however a program spells it, several tiles
of queries and keys, the last of each ragged, and rows that see nothing."""

import json

import pytest
from tests.knowledge.attentions import FILES, OWN

from kernelwright.knowledge.sketches.planner import plan

pytest.importorskip("triton", reason="the package triton is not installed")

SIZES = (
    {"B": 35, "C": 50, "D": 18},
    {"B": 50, "C": 35, "D": 7},
    {"B": 1, "C": 20, "D": 16},
    {"B": 16, "C": 1, "D": 1},
)
MANY_KEYS = (
    {"B": 4, "C": 600, "D": 18},
    {"B": 3, "C": 35, "D": 7},
    {"B": 1, "C": 20, "D": 16},
    {"B": 5, "C": 1, "D": 1},
)
TILES = {"TILE_QUERIES": 16, "TILE_KEYS": 16, "BLOCK": 512, "PROGRAMS": 128}
# What a softmax is not, or is not of the keys.
OTHERS = {
    "over_queries": "torch.softmax(x @ y.transpose(1, 2), 1) @ z",
    "squared": "torch.softmax(x @ y.transpose(1, 2), -1).square() @ z",
    "of_another_sum": "(s - s.amax(-1, keepdim=True)).exp() / s.exp().sum(-1, keepdim=True) @ z",
    "below_another_peak": "torch.exp(s - t) / torch.exp(s - t).sum(-1, keepdim=True) @ z",
    "of_no_product": "torch.softmax(x[:, :, :1] + y[:, None, :, 0], -1) @ z",
}
# With few queries keys are divided among programs, and heads that share them are rows of a tile.
DECODING = {
    "decoding": {
        "forward": "return F.scaled_dot_product_attention(x, y, z, enable_gqa=True)",
        "inputs": ("torch.randn(2, 6, 1, D)", "torch.randn(2, 2, C, D)", "torch.randn(2, 2, C, D)"),
    },
    "decoding_a_few": {
        "forward": "return F.scaled_dot_product_attention("
        "x, y, z, is_causal=True, enable_gqa=True)",
        "inputs": ("torch.randn(2, 6, B, D)", "torch.randn(2, 2, C, D)", "torch.randn(2, 2, C, D)"),
    },
    # No head shares its keys, and of one everything is masked.
    "decoding_with_a_mask": {
        "forward": "s = x @ y.transpose(1, 2) + z\n"
        "                return F.relu(torch.softmax(s, -1) @ y[:, :, :1].exp())",
        "inputs": (
            "torch.randn(2, 1, D)",
            "torch.randn(2, C, D)",
            "torch.stack([torch.full((1, C), float('-inf')), torch.randn(1, C)])",
        ),
    },
}
ALL = {name: (parts, SIZES) for name, parts in FILES.items()} | {
    name: (parts, MANY_KEYS) for name, parts in DECODING.items()
}
# Each takes seconds to compile.
COMPILED = ("causal", "decoding")
# How many places ahead of its own a query sees keys.
AHEAD = {
    "causal": 0, "groups": 0, "decoding_a_few": 0, "a_triangle": -1, "a_higher_triangle": 3,
}  # fmt: skip


@pytest.fixture(scope="module")
def studies(tracing, make_file):
    return {name: tracing(make_file(**parts), sizes) for name, (parts, sizes) in ALL.items()}


@pytest.fixture(scope="module")
def returned(studies, triton_runs):
    runs = triton_runs()
    for name, studied in studies.items():
        # The other drafts are tried elsewhere, and slow to interpret.
        first = studied.candidates("triton")[:1]
        runs.add(name, studied, ALL[name][1], candidates=first, **TILES)
        tensors = studied.problem.inputs + studied.problem.outputs
        parts = ["sums_parts", "peak_parts", "total_parts"]
        types = dict.fromkeys([*parts, *(f"kept_{n}" for n in range(9))], "*fp32")
        types |= {s.name: "*fp16" if s.dtype == "float16" else "*fp32" for s in tensors}
        if name in COMPILED:
            runs.places[name][0].joinpath("types.json").write_text(json.dumps(types))
    runs.run("compile")
    runs.run(TRITON_INTERPRET="1")
    return runs


@pytest.mark.parametrize("name", ALL)
def test_attention_in_one_kernel_agrees_with_the_program(name, returned):
    (text,) = returned.texts[name]
    assert "QUERIES: tl.constexpr" in text
    assert ("_parts[" in text) == (name in DECODING)
    returned.check(name)


@pytest.mark.parametrize("name", COMPILED)
def test_attention_in_one_kernel_compiles_for_a_gpu_that_is_not_here(name, returned):
    (place,) = returned.places[name]
    assert min(json.loads((place / "compiled.json").read_text()).values()) > 500


@pytest.mark.parametrize("name", ALL)
def test_keys_that_no_query_of_a_tile_sees_are_not_read(name, studies):
    found = [s.attention for s in plan(studies[name].problem, studies[name].graph).stages]
    (attention,) = [a for a in found if a is not None]
    ahead = attention.ahead.constant if attention.ahead is not None else None
    assert ahead == AHEAD.get(name)


@pytest.mark.parametrize("name", OTHERS)
def test_what_only_looks_like_attention_is_none(name, tracing, make_file):
    forward = (
        "s = x @ y.transpose(1, 2)\n"
        "                t = (s * 2).amax(-1, keepdim=True)\n"
        f"                return {OTHERS[name]}"
    )
    studied = tracing(make_file(forward, inputs=OWN), SIZES)
    stages = plan(studied.problem, studied.graph).stages
    assert any(stage.product for stage in stages)
    assert not any(stage.attention for stage in stages)
