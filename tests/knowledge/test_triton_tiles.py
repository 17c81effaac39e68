"""Every form that a stage takes in Triton, at sizes that leave its tiles ragged, against torch."""

import re

import pytest
import torch

tl = pytest.importorskip("triton.language", reason="the package triton is not installed")

X3, X4 = ("torch.randn(B, C, D)",), ("torch.randn(B, C, D, 4)",)
SHORT = ({"B": 37, "C": 6, "D": 13}, {"B": 5, "C": 10, "D": 22})
# The first sizes of a pair are those that the drafts are made for.
LONG = ({"B": 2, "C": 4, "D": 33002}, {"B": 3, "C": 6, "D": 22})
TALL = ({"B": 2011, "C": 4, "D": 9}, {"B": 30, "C": 6, "D": 22})
DEEP = ({"B": 2, "C": 2003, "D": 5}, {"B": 3, "C": 6, "D": 22})
LARGE = ({"B": 2, "C": 8, "D": 9001}, {"B": 3, "C": 6, "D": 22})

EVERY = (
    "x.sum({0}), (x * 0.3 + 1).prod({0}), x.amax({0}), x.amin({0}), (x > 2.9).any({0}), "
    "(x > -2.9).all({0}), x.argmax({0}), x.argmin({0}), x.var({0}), x.mean({0})"
)
GRADIENTS = (
    "n = (x - x.mean(-1, keepdim=True)) * (x.var(-1, keepdim=True) + 1e-5).rsqrt()\n"
    "                g = y * self.weight\n"
    "                return ((g - g.mean(-1, keepdim=True) - n * (g * n).mean(-1, keepdim=True)), "
    "(y * n).sum(0), y.sum(0), n.argmax(0), (y * y + 1).amin(0), (y * y).argmin(0))"
)
SCANS = (
    "x.cumsum({0}), (x * 0.1 + 1).cumprod({0}), x.cummax({0})[0], x.cummin({0})[0], "
    "x.cumsum({0}) / x.sum({0}, keepdim=True).abs().exp() - x"
)
XY = ("torch.randn(B, D)", "torch.randn(B, D)")
WEIGHT = "self.weight = nn.Parameter(torch.ones(D))"

# name: the file's parts, the sizes that the drafts are made for, what the text of a draft must
# have, and the sizes that it runs at.
PROGRAMS = {
    "pieces_of_short_rows": (
        {"forward": "a, b = x.chunk(2, -1)\n"
         "                return torch.cat([a * y - b, b * y + a], -1)",
         "inputs": ("torch.randn(B, C, 2 * D)", "torch.randn(C, D)")},
        SHORT, "tile_rows", [{"B": 37, "C": 3, "D": 13}, {"B": 1, "C": 1, "D": 1},
                             {"B": 2, "C": 3, "D": 301}, {"B": 3, "C": 5, "D": 48}]),
    "several_outputs_of_one_space": (
        {"forward": "return x + y, x > y, (x * y).half(), x, y.mean() * x",
         "inputs": ("torch.randn(B, C, D)", "torch.randn(D)")},
        SHORT, "kw_stage_1", [{"B": 37, "C": 3, "D": 13}, {"B": 1, "C": 1, "D": 1},
                              {"B": 3, "C": 2, "D": 331}]),
    "short_rows": (
        {"forward": f"return {EVERY.format(-1)}, F.softmax(x, -1)"},
        SHORT, "_whole", [{"B": 37, "C": 3, "D": 13}, {"B": 1, "C": 1, "D": 2},
                          {"B": 9, "C": 1, "D": 64}, {"B": 3, "C": 1, "D": 331}]),
    "whole_numbers_in_short_rows": (
        {"forward": "return x.sum(-1), x.amax(-1), x.amin(-1), x.argmin(-1), x.prod(-1), "
         "x.argmax(-1), (x == 0).any(-1)", "inputs": ("torch.randint(-9, 9, (B, D))",)},
        SHORT, "_whole", [{"B": 37, "C": 3, "D": 13}, {"B": 3, "C": 1, "D": 331}]),
    "narrow_short_rows": (
        {"forward": "return F.softmax(x, -1), x.sum(-1), x * 2, x.argmax(-1)",
         "inputs": ("torch.randn(B, D).half()",)},
        SHORT, "_whole", [{"B": 37, "C": 3, "D": 13}, {"B": 3, "C": 1, "D": 331}]),
    "few_long_rows": (
        {"forward": f"return {EVERY.format(-1)}"},
        LONG, "_parts", [{"B": 2, "C": 3, "D": 2503}, {"B": 37, "C": 1, "D": 2},
                         {"B": 1, "C": 1, "D": 1031}]),
    "one_very_long_row": (
        {"forward": "return x.sum(), x.amax(), x.argmin(), x / x.norm(), (x - x.mean()).std(), "
         "(x > 3).any()"},
        LONG, "_parts", [{"B": 2, "C": 3, "D": 2503}, {"B": 1, "C": 1, "D": 2}]),
    "few_long_rows_and_their_elements": (
        {"forward": "return F.softmax(x * self.weight, -1), F.layer_norm(x, (D,)), x.sum(-1)"
         ", x.amax(-1, keepdim=True).exp() * y[:, :3]".replace("(D,)", "(x.shape[-1],)"),
         "init": WEIGHT, "inputs": XY},
        LONG, "_parts", [{"B": 2, "C": 3, "D": 2503}, {"B": 37, "C": 1, "D": 5}]),
    "few_columns": (
        {"forward": f"return {EVERY.format(0)}"},
        TALL, "_parts", [{"B": 1009, "C": 3, "D": 13}, {"B": 2, "C": 1, "D": 1},
                         {"B": 61, "C": 1, "D": 331}]),
    "few_columns_and_their_elements": (
        {"forward": "return F.softmax(x, 0), (x - x.mean(0)) / x.std(0)"},
        TALL, "_parts", [{"B": 1009, "C": 3, "D": 13}, {"B": 3, "C": 1, "D": 201}]),
    "columns_in_the_middle": (
        {"forward": f"return {EVERY.format(1)}", "inputs": X3},
        DEEP, "_parts", [{"B": 2, "C": 1009, "D": 13}, {"B": 3, "C": 2, "D": 1},
                         {"B": 2, "C": 31, "D": 151}]),
    "columns_held": (
        {"forward": "return F.softmax(x, 1), x - x.argmax(1, keepdim=True)", "inputs": X3},
        SHORT, "_whole", [{"B": 2, "C": 37, "D": 13}, {"B": 3, "C": 1, "D": 1},
                          {"B": 2, "C": 31, "D": 151}]),
    "columns_beside_rows": (
        {"forward": GRADIENTS, "init": WEIGHT, "inputs": XY},
        SHORT, "_across", [{"B": 37, "C": 1, "D": 13}, {"B": 2, "C": 1, "D": 2},
                           {"B": 701, "C": 1, "D": 31}, {"B": 11, "C": 1, "D": 301}]),
    "depths_held": (
        {"forward": "z = x * self.weight[:, None, None]\n                return self.norm(x), "
         "z.amax((1, 2, 3)), z.flatten(1).argmax(1), (z > 2.9).flatten(1).any(1), z.sum((1, 2, 3))",
         "init": "self.norm = nn.GroupNorm(2, C); self.weight = nn.Parameter(torch.ones(C))",
         "inputs": X4},
        SHORT, "_whole", [{"B": 3, "C": 6, "D": 13}, {"B": 2, "C": 2, "D": 1},
                          {"B": 2, "C": 10, "D": 67}]),
    "depths_walked": (
        {"forward": "return self.norm(x)", "init": "self.norm = nn.GroupNorm(2, C)", "inputs": X4},
        LARGE, "_parts|kw_stage_0", [{"B": 3, "C": 6, "D": 13}, {"B": 2, "C": 2, "D": 2},
                                     {"B": 2, "C": 10, "D": 301}]),
    "statistics_over_a_batch": (
        {"forward": "m = x.mean((0, 2, 3), keepdim=True)\n                return (x - m) / "
         "(x.var((0, 2, 3), keepdim=True) + 1e-5).sqrt(), x.argmax(), x.amin((0, 2, 3))",
         "inputs": X4},
        LARGE, "_parts", [{"B": 3, "C": 6, "D": 13}, {"B": 5, "C": 2, "D": 301}]),
    "scans_of_short_rows": (
        {"forward": f"return {SCANS.format(-1)}"},
        SHORT, "_whole", [{"B": 37, "C": 3, "D": 13}, {"B": 1, "C": 1, "D": 1},
                          {"B": 3, "C": 1, "D": 331}]),
    "scans_of_long_rows": (
        {"forward": f"return {SCANS.format(-1)}"},
        LONG, "carried", [{"B": 2, "C": 3, "D": 1503}, {"B": 37, "C": 1, "D": 2},
                          {"B": 1, "C": 1, "D": 1}]),
    "the_scan_of_one_long_row": (
        {"forward": "return x.flatten().cumsum(0), (x / x.norm()).flatten().cumsum(0) - y",
         "inputs": ("torch.randn(B, D)", "torch.randn(1)")},
        LONG, "carried", [{"B": 2, "C": 3, "D": 2503}, {"B": 1, "C": 1, "D": 1}]),
    "scans_of_long_columns": (
        {"forward": f"return {SCANS.format(0)}"},
        TALL, "carried", [{"B": 309, "C": 3, "D": 13}, {"B": 2, "C": 1, "D": 1},
                          {"B": 61, "C": 1, "D": 151}]),
    "scans_of_short_numbers": (
        {"forward": "s = x.cumsum(-1, dtype=torch.int8)\n"
         "                return s // 2, s.cumprod(1, dtype=torch.int8) + 1",
         "inputs": ("torch.randint(-99, 99, (B, D))",)},
        LONG, "carried", [{"B": 3, "C": 1, "D": 331}]),
    "columns_beside_scanned_rows": (
        {"forward": "n = (x - x.mean(-1, keepdim=True)).cumsum(-1)\n"
         "                return n, x.amax(-1), (x * y).sum(0), y.sum(0)", "inputs": XY},
        SHORT, "_across", [{"B": 37, "C": 1, "D": 13}, {"B": 701, "C": 1, "D": 31}]),
    "positions_as_values": (
        {"forward": "n = torch.arange(x.shape[-1])\n"
         "                return n * 100000000 + x.long(), (n * x).sum(-1), torch.tril(x).sum(0)"},
        SHORT, "kw_stage", [{"B": 37, "C": 6, "D": 13}, {"B": 7, "C": 6, "D": 301}]),
    "what_a_row_or_a_column_shares_where_it_exists": (
        {"forward": "return F.pad(x[:, :1].expand(-1, x.shape[-1]), (1, 2)), "
         "F.pad(x[:1].expand(x.shape[0], -1), (0, 0, 1, 2)).sum(-1)"},
        SHORT, "tl.int32\\), mask", [{"B": 37, "C": 6, "D": 13}, {"B": 7, "C": 6, "D": 301}]),
}  # fmt: skip


@pytest.fixture(scope="module")
def runs(tracing, make_file, triton_runs):
    """Every draft of every program, in small tiles and few parts, called once at each size."""
    found = triton_runs()
    for name, (parts, sizes, _, at) in PROGRAMS.items():
        found.add(name, tracing(make_file(**parts), sizes), at, BLOCK=256, PROGRAMS=12)
    found.run(TRITON_INTERPRET="1")
    return found


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_form_agrees_with_torch_at_ragged_sizes(name, runs):
    assert any(re.search(PROGRAMS[name][2], text) for text in runs.texts[name])
    runs.check(name)


def test_positions_have_the_type_of_all_positions(runs):
    """With 32 bits somewhere in them, a product would pass what they hold on a large tensor."""
    for text in [t for texts in runs.texts.values() for t in texts]:
        lines = re.findall(r"^    +(?:row|k|j) = .*tl.arange.*", text, re.MULTILINE)
        assert lines
        # The programs and the rows that a program begins with have that type already.
        assert all(re.search(r"INDEX|= program |= begin \+ tl.arange\(0, ROWS", x) for x in lines)
        assert not re.search(r"= tl\.program_id\(\d\)(?!\.to\(INDEX\))", text)


def test_a_large_tensor_has_positions_of_64_bits(runs):
    namespace = {"tl": tl}
    text = next(iter(runs.texts["short_rows"]))
    exec(re.search(r"^def kw_index.*?(?=\n\n)", text, re.MULTILINE | re.DOTALL)[0], namespace)
    kw_index = namespace["kw_index"]
    assert (kw_index(5, 2**29), kw_index(5, 2**30)) == (tl.int32, tl.int64)


WIDE = ["pieces_of_short_rows", "short_rows", "few_columns", "few_long_rows", "depths_held",
        "scans_of_long_rows", "scans_of_long_columns"]  # fmt: skip


@pytest.fixture(scope="module")
def wide_runs(tracing, make_file, triton_runs):
    found = triton_runs()
    for name in WIDE:
        parts, sizes, _, at = PROGRAMS[name]
        studied = tracing(make_file(**parts), sizes)
        found.add(
            name,
            studied,
            at[:1],
            change=lambda text: text.replace("2**30", "0"),
            BLOCK=256,
            PROGRAMS=12,
        )
    found.run(TRITON_INTERPRET="1")
    return found


@pytest.mark.parametrize("name", WIDE)
def test_positions_of_64_bits_give_the_same_answer(name, wide_runs):
    wide_runs.check(name)


def awkward(sizes):
    """Rows with a NaN, an infinity, both of them, equals, and the least value everywhere."""
    torch.manual_seed(1)
    x = torch.randn(sizes["B"], sizes["D"])
    inf, nan = float("inf"), float("nan")
    for row, values in enumerate([(nan,), (inf,), (-inf,), (nan, nan), (3.5, 3.5), (inf, -inf)]):
        for number, value in enumerate(values):
            x[row % sizes["B"], (5 * row + 7 * number) % sizes["D"]] = value
    x[-1] = -inf
    return [x]


AWKWARD = (
    "return {0}, x.amax({1}), x.amin({1}), x.argmax({1}), x.argmin({1}), x.sum({1}), x.var({1})"
)
RUNNING = "return x.cumsum({0}), x.cummax({0})[0], x.cummin({0})[0]"
ODD_VALUES = {
    "rows_held": (AWKWARD.format("F.softmax(x, -1)", -1), SHORT, [{"B": 37, "C": 1, "D": 13}]),
    "rows_in_parts": (AWKWARD.format("x.mean(-1)", -1), LONG, [{"B": 9, "C": 1, "D": 2503}]),
    "columns_in_parts": (AWKWARD.format("x.mean(0)", 0), TALL, [{"B": 1009, "C": 1, "D": 13}]),
    "scans_held": (RUNNING.format(-1), SHORT, [{"B": 37, "C": 1, "D": 13}]),
    "scans_carried": (RUNNING.format(-1), LONG, [{"B": 9, "C": 1, "D": 603}]),
    "scans_carried_down": (RUNNING.format(0), TALL, [{"B": 309, "C": 1, "D": 13}]),
}


@pytest.fixture(scope="module")
def odd_runs(tracing, make_file, triton_runs):
    found = triton_runs()
    for name, (forward, sizes, at) in ODD_VALUES.items():
        studied = tracing(make_file(forward), sizes)
        found.add(name, studied, at, values=awkward, BLOCK=256, PROGRAMS=12)
    found.run(TRITON_INTERPRET="1")
    return found


@pytest.mark.parametrize("name", ODD_VALUES)
def test_a_nan_an_infinity_and_equals_are_found_where_torch_finds_them(name, odd_runs):
    odd_runs.check(name)


EMPTY = {
    "pointwise": ("return x * 2, x > 0", [{"B": 0, "C": 1, "D": 5}, {"B": 5, "C": 1, "D": 0}]),
    "rows": ("return x.sum(-1), (x > 0).any(-1)", [{"B": 0, "C": 1, "D": 5},
                                                   {"B": 5, "C": 1, "D": 0}]),
    "columns": ("return x.sum(0), x.prod(0)", [{"B": 0, "C": 1, "D": 5},
                                               {"B": 5, "C": 1, "D": 0}]),
    "scans": ("return x.cumsum(-1), x.cumprod(0)", [{"B": 0, "C": 1, "D": 5},
                                                    {"B": 5, "C": 1, "D": 0}]),
    "everything": ("return x.sum(), x / (x.sum() + 1)", [{"B": 0, "C": 1, "D": 5}]),
}  # fmt: skip


@pytest.fixture(scope="module")
def empty_runs(tracing, make_file, triton_runs):
    found = triton_runs()
    for name, (forward, at) in EMPTY.items():
        for number, sizes in enumerate((SHORT, LONG, TALL)):
            studied = tracing(make_file(forward), sizes)
            found.add(f"{name}{number}", studied, at, BLOCK=256, PROGRAMS=12)
    found.run(TRITON_INTERPRET="1")
    return found


@pytest.mark.parametrize("form", range(3))
@pytest.mark.parametrize("name", EMPTY)
def test_what_is_empty_is_written_as_torch_writes_it(name, form, empty_runs):
    empty_runs.check(f"{name}{form}")
