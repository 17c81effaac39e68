"""Matrix products in tiles, in Triton's interpreter: at sizes that fill a tile, and that do not.

Some have few rows, and of those with long sums several programs take a part each.
"""

import shutil

import pytest

pytest.importorskip("triton", reason="the package triton is not installed")

# The first size is the one that is timed, so it decides that there are tiles.
SIZES = ({"B": 35, "C": 18, "D": 50}, {"B": 16, "C": 33, "D": 97}, {"B": 3, "C": 20, "D": 7})
FEW_ROWS = ({"B": 5, "C": 40, "D": 50}, {"B": 18, "C": 33, "D": 7}, {"B": 1, "C": 20, "D": 1})
LONG_SUMS = ({"B": 5, "C": 40, "D": 1100}, {"B": 18, "C": 33, "D": 37}, {"B": 1, "C": 20, "D": 1})
TILES = {"TILE_ROWS": 32, "TILE_COLUMNS": 32, "TILE_DEPTH": 16, "BLOCK": 512, "PROGRAMS": 128}
FILES = {
    # What is made of the sums, with a bias for each column.
    "layer": {
        "forward": "return F.silu(F.linear(x, self.weight, self.bias)) * x[:, :1]",
        "init": "self.weight = nn.Parameter(torch.ones(C, D))\n"
        "                self.bias = nn.Parameter(torch.ones(C))",
    },
    # Factors that are not zero beyond the depth, of which one has no element for each of its own.
    "made_factors": {
        "forward": "return (F.softmax(x, -1) @ (y.exp() + 1), "
        "x.exp() @ y.sum(1, keepdim=True).expand(D, C))",
        "inputs": ("torch.randn(B, D)", "torch.randn(D, C)"),
    },
    # One factor that is the same in every batch, and one that is not.
    "batches": {
        "forward": "return x @ self.weight, x @ y.transpose(1, 2)",
        "init": "self.weight = nn.Parameter(torch.ones(D, C))",
        "inputs": ("torch.randn(3, B, D)", "torch.randn(3, C, D)"),
    },
    "two_layers": {
        "forward": "return F.gelu(x @ y) @ y.t() + x",
        "inputs": ("torch.randn(B, D)", "torch.randn(D, C)"),
    },
    "convolution": {
        "forward": "return F.relu(F.conv2d(x, self.weight, self.bias, padding=1))",
        "init": "self.weight = nn.Parameter(torch.ones(C, 3, 3, 3))\n"
        "                self.bias = nn.Parameter(torch.ones(C))",
        "inputs": ("torch.randn(2, 3, B, D)",),
    },
}  # fmt: skip
SKINNY = {
    "few_rows_in_batches": {
        "forward": "return x @ y",
        "inputs": ("torch.randn(3, B, D)", "torch.randn(3, D, C)"),
    },
    "few_columns": {
        "forward": "return F.relu(x @ y), y.t() @ x.t()",
        "inputs": ("torch.randn(C, D)", "torch.randn(D, B)"),
    },
}
DIVIDED = {
    "long_sums": {
        "forward": "return F.relu(F.linear(x, self.weight, self.bias)) / x[:, :1].exp()",
        "init": "self.weight = nn.Parameter(torch.ones(C, D))\n"
        "                self.bias = nn.Parameter(torch.ones(C))",
    },
    "long_sums_in_batches": {
        "forward": "return x.exp() @ y",
        "inputs": ("torch.randn(3, B, D)", "torch.randn(3, D, C)"),
    },
    # What the first product comes to is kept for the second.
    "long_sums_and_what_follows": {
        "forward": "return (x @ y) @ y.t(), y.t() @ x.t()",
        "inputs": ("torch.randn(B, D)", "torch.randn(D, C)"),
    },
}
ALL = (
    {name: (parts, SIZES) for name, parts in FILES.items()}
    | {name: (parts, FEW_ROWS) for name, parts in SKINNY.items()}
    | {name: (parts, LONG_SUMS) for name, parts in DIVIDED.items()}
)


@pytest.fixture(scope="module")
def returned(tracing, make_file, triton_runs):
    runs = triton_runs()
    for name, (parts, sizes) in ALL.items():
        studied = tracing(make_file(**parts), sizes)
        runs.add(name, studied, sizes, **TILES)
        # Only those in tiles: the others are tried elsewhere, and slow to interpret.
        first, *others = runs.places[name]
        for place in others:
            shutil.rmtree(place)
        runs.places[name], runs.texts[name] = [first], runs.texts[name][:1]
    runs.run(TRITON_INTERPRET="1")
    return runs


@pytest.mark.parametrize("name", ALL)
def test_products_in_tiles_agree_with_the_program(name, returned):
    (text,) = returned.texts[name]
    assert "tl.dot(" in text
    assert ("_parts[" in text) == (name in DIVIDED)
    returned.check(name)
