"""Attention as one kernel in Triton, in its interpreter: however a program spells it, several tiles
of queries and keys, the last of each ragged, and rows that see nothing."""

import json
import shutil

import pytest

from kernelwright.knowledge.sketches.planner import plan

pytest.importorskip("triton", reason="the package triton is not installed")

SIZES = (
    {"B": 35, "C": 50, "D": 18},
    {"B": 50, "C": 35, "D": 7},
    {"B": 1, "C": 20, "D": 16},
    {"B": 16, "C": 1, "D": 1},
)
TILES = {"TILE_QUERIES": 16, "TILE_KEYS": 32, "BLOCK": 512}
QUERIES, KEYS = "torch.randn(2, 3, B, D)", "torch.randn(2, 3, C, D)"
OWN = ("torch.randn(2, B, D)",) * 3
TRIANGLE = "torch.ones(x.shape[1], y.shape[1], dtype=torch.bool).tril({})"
FILES = {
    "attention": {
        "forward": "return F.scaled_dot_product_attention(x, y, z)",
        "inputs": (QUERIES, KEYS, KEYS),
    },
    "causal": {
        "forward": "return F.scaled_dot_product_attention(x, y, z, is_causal=True)",
        "inputs": (QUERIES, KEYS, KEYS),
    },
    "groups": {
        "forward": "return F.scaled_dot_product_attention("
        "x, y, z, is_causal=True, enable_gqa=True)",
        "inputs": ("torch.randn(2, 6, B, D)", "torch.randn(2, 2, B, D)", "torch.randn(2, 2, B, D)"),
    },
    "decoding": {
        "forward": "return F.scaled_dot_product_attention(x, y, z, enable_gqa=True)",
        "inputs": ("torch.randn(2, 6, 1, D)", "torch.randn(2, 2, C, D)", "torch.randn(2, 2, C, D)"),
    },
    # A layer around it: a projection of the keys, a bias on the scores, values of another size.
    "einsum": {
        "forward": "s = torch.einsum('bqd,bkd->bqk', x, y @ self.weight) / D**0.5\n"
        "                w = F.softmax(s + self.bias[None, :, :1], -1)\n"
        "                return F.relu(torch.einsum('bqk,bkv->bqv', w, z.exp())) + x[:, :, :1]",
        "init": "self.weight = nn.Parameter(torch.ones(D, D))\n"
        "                self.bias = nn.Parameter(torch.ones(B, C))",
        "inputs": ("torch.randn(2, B, D)", "torch.randn(2, C, D)", "torch.randn(2, C, C)"),
    },
    "an_added_mask": {
        "forward": "return F.scaled_dot_product_attention(x, y, y, attn_mask=z)",
        "inputs": (
            "torch.randn(2, B, D)",
            "torch.randn(2, C, D)",
            "torch.where((torch.arange(B) % 3 == 0)[:, None], float('-inf'), torch.randn(B, C))",
        ),
    },
    # The first row sees nothing, and is NaN.
    "a_triangle": {
        "forward": f"m = {TRIANGLE.format(-1)}\n"
        "                s = (x @ y.transpose(1, 2)).masked_fill(~m, float('-inf'))\n"
        "                return torch.softmax(s * 0.3, -1) @ z",
        "inputs": OWN,
    },
    # Queries see three keys ahead of their own place.
    "a_higher_triangle": {
        "forward": f"m = {TRIANGLE.format(3)}\n"
        "                s = torch.where(m, x @ y.transpose(1, 2), float('-inf'))\n"
        "                return torch.softmax(s, -1) @ z, s.amax(-1)",
        "inputs": OWN,
    },
}  # fmt: skip
# How many places ahead of its own a query sees keys.
AHEAD = {"causal": 0, "groups": 0, "a_triangle": -1, "a_higher_triangle": 3}


@pytest.fixture(scope="module")
def studies(tracing, make_file):
    return {name: tracing(make_file(**parts), SIZES) for name, parts in FILES.items()}


@pytest.fixture(scope="module")
def returned(studies, triton_runs):
    runs = triton_runs()
    for name, studied in studies.items():
        runs.add(name, studied, SIZES, **TILES)
        tensors = [s.name for s in studied.problem.inputs + studied.problem.outputs]
        types = dict.fromkeys([*tensors, *(f"kept_{n}" for n in range(9))], "*fp32")
        # The others are tried elsewhere, and slow to interpret.
        first, *others = runs.places[name]
        for place in others:
            shutil.rmtree(place)
        runs.places[name], runs.texts[name] = [first], runs.texts[name][:1]
        first.joinpath("types.json").write_text(json.dumps(types))
    runs.run("compile")
    runs.run(TRITON_INTERPRET="1")
    return runs


@pytest.mark.parametrize("name", FILES)
def test_attention_in_one_kernel_agrees_with_the_program(name, returned):
    (text,) = returned.texts[name]
    assert "QUERIES: tl.constexpr" in text
    returned.check(name)


@pytest.mark.parametrize("name", FILES)
def test_attention_in_one_kernel_compiles_for_a_gpu_that_is_not_here(name, returned):
    (place,) = returned.places[name]
    assert min(json.loads((place / "compiled.json").read_text()).values()) > 500


@pytest.mark.parametrize("name", FILES)
def test_keys_that_no_query_of_a_tile_sees_are_not_read(name, studies):
    found = [s.attention for s in plan(studies[name].problem, studies[name].graph).stages]
    (attention,) = [a for a in found if a is not None]
    ahead = attention.ahead.constant if attention.ahead is not None else None
    assert ahead == AHEAD.get(name)
