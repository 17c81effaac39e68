"""Matrix products in tiles, in Triton's interpreter: at sizes that fill a tile, and that do not."""

import shutil

import pytest

pytest.importorskip("triton", reason="the package triton is not installed")

# The first size is the one that is timed, so it decides that there are tiles.
SIZES = ({"B": 35, "C": 18, "D": 50}, {"B": 16, "C": 33, "D": 97}, {"B": 3, "C": 20, "D": 7})
TILES = {"TILE_ROWS": 32, "TILE_COLUMNS": 32, "TILE_DEPTH": 16, "BLOCK": 512}
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


@pytest.fixture(scope="module")
def returned(tracing, make_file, triton_runs):
    runs = triton_runs()
    for name, parts in FILES.items():
        studied = tracing(make_file(**parts), SIZES)
        runs.add(name, studied, SIZES, **TILES)
        # Only those in tiles: the others are tried elsewhere, and slow to interpret.
        first, *others = runs.places[name]
        for place in others:
            shutil.rmtree(place)
        runs.places[name], runs.texts[name] = [first], runs.texts[name][:1]
    runs.run(TRITON_INTERPRET="1")
    return runs


@pytest.mark.parametrize("name", FILES)
def test_products_in_tiles_agree_with_the_program(name, returned):
    (text,) = returned.texts[name]
    assert "tl.dot(" in text
    returned.check(name)
