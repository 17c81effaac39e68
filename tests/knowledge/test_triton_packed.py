"""Matrix products of copied factors, in Triton's interpreter, and what they are offered for."""

import shutil

import pytest
import torch

pytest.importorskip("triton", reason="the package triton is not installed")

# The first size is the one that is timed: there a copy of the factors is worth it.
SIZES = ({"B": 130, "C": 129, "D": 50}, {"B": 16, "C": 33, "D": 97}, {"B": 3, "C": 20, "D": 7})
TILES = {"TILE_ROWS": 64, "TILE_COLUMNS": 64, "TILE_DEPTH": 32, "BLOCK": 2048}
FILES = {
    "layer": {
        "forward": "return F.silu(F.linear(x, self.weight, self.bias)) * x[:, :1]",
        "init": "self.weight = nn.Parameter(torch.ones(C, D))\n"
        "                self.bias = nn.Parameter(torch.ones(C))",
    },
    # Factors that have to be worked out, and neighbours that are rows; the second product is of the
    # first one's sums.
    "made_factors": {
        "forward": "return F.gelu(x.exp() @ y) @ y.t() + x",
        "inputs": ("torch.randn(B, D)", "torch.randn(D, C)"),
        "sizes": ({"B": 130, "C": 50, "D": 129}, *SIZES[1:]),
    },
    "batches": {
        "forward": "return x @ self.weight, x @ y.transpose(1, 2)",
        "init": "self.weight = nn.Parameter(torch.ones(D, C))",
        "inputs": ("torch.randn(2, B, D)", "torch.randn(2, C, D)"),
    },
    # Columns that are the places of an image, and windows that reach beyond it.
    "windows": {
        "forward": "return F.relu(F.conv2d(x, self.weight, self.bias, padding=1))",
        "init": "self.weight = nn.Parameter(torch.ones(C, 5, 3, 3))\n"
        "                self.bias = nn.Parameter(torch.ones(C))",
        "inputs": ("torch.randn(2, 5, B, 4)",),
    },
    "windows_apart": {
        "forward": "return F.conv1d(\n"
        "                    x.exp(), self.weight, stride=2, padding=3, dilation=2, groups=2)",
        "init": "self.weight = nn.Parameter(torch.ones(2 * C, 4, 4))",
        "inputs": ("torch.randn(1, 8, 2 * B + 9)",),
    },
}  # fmt: skip
INFINITIES = {
    "infinities": {
        "forward": "return x @ self.weight.t()",
        "init": "self.weight = nn.Parameter(torch.ones(C, D))",
    }
}
# Too few rows; and values that TF32 holds as they are.
NOT_WORTH_IT = {
    "few_rows": ({"forward": "return x @ self.weight.t()"}, {"B": 100, "C": 512, "D": 512}),
    "narrow": ({"forward": "return x.half().float() @ self.weight.t().half().float()",
                "inputs": ("torch.randn(B, D).half()",)}, {"B": 512, "C": 512, "D": 512}),
}  # fmt: skip


def with_infinities(sizes):
    """Each is times weights whose low parts are of either sign."""
    x = torch.randn(sizes["B"], sizes["D"])
    x[0, 0], x[1, 2], x[2, 1] = torch.inf, -torch.inf, torch.nan
    return [x]


@pytest.fixture(scope="module")
def returned(tracing, make_file, triton_runs):
    runs = triton_runs()
    for name, parts in (FILES | INFINITIES).items():
        parts = dict(parts)
        sizes = parts.pop("sizes", SIZES)
        values = with_infinities if name in INFINITIES else None
        runs.add(name, tracing(make_file(**parts), sizes), sizes, values=values, **TILES)
        first, *others = runs.places[name]
        for place in others:
            shutil.rmtree(place)
        runs.places[name], runs.texts[name] = [first], runs.texts[name][:1]
    runs.run(TRITON_INTERPRET="1")
    return runs


@pytest.mark.parametrize("name", FILES | INFINITIES)
def test_products_of_copies_agree_with_the_program(name, returned):
    (text,) = returned.texts[name]
    assert "_copy_1[" in text
    returned.check(name)


@pytest.mark.parametrize("name", NOT_WORTH_IT)
def test_a_copy_must_be_worth_it(name, tracing, make_file):
    parts, first = NOT_WORTH_IT[name]
    init = "self.weight = nn.Parameter(torch.ones(C, D))"
    found = tracing(make_file(**parts, init=init), (first, *SIZES[1:])).candidates("triton")
    assert any("tl.dot(" in c.source.text for c in found)
    assert not any("_copy_1[" in c.source.text for c in found)
