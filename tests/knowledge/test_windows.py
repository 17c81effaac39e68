"""Windows, single writes and floats taken apart: odd values, what is refused, and what follows."""

import math
import re

import pytest
import torch

from kernelwright.knowledge.sketches import NotCovered, drafts
from kernelwright.knowledge.sketches.poly import Poly
from kernelwright.knowledge.sketches.site import WindowCount

POOLS = (
    "return (F.max_pool2d(x, 3, 2, 1), F.max_pool2d(x, 2, ceil_mode=True), "
    "F.avg_pool2d(x, 3, 1, 1), F.max_pool2d(x, 3, 1, 1).amax(-1))"
)
IMAGES = ("torch.randn(2, C, B + 2, D)",)
# Floats that are hard to take apart: denormal, next to a power of two, no number at all.
ODD = (0.0, -0.0, 1.0, -1.0, 0.99999994, 0.5, 2.0, 1e-45, -1e-45, 1.1754942e-38, 1.17549435e-38,
       3.4028235e38, -3e-39, math.inf, -math.inf, math.nan)  # fmt: skip
SIZES = {"B": 9, "C": 2, "D": 16}


def odd_image(sizes):
    """Images with a NaN in a corner, infinities inside, and a whole window of minus infinity."""
    x = torch.randn(2, sizes["C"], sizes["B"] + 2, sizes["D"])
    x[0, 0, 0, 0] = x[1, 0, 5, 7] = math.nan
    x[0, 1, 4, 4] = math.inf
    x[1, 1, :, :6] = -math.inf
    return [x]


def odd_rows(sizes):
    """Every row has the odd floats in it, in another order."""
    x = torch.tensor(ODD)
    return [torch.stack([x.roll(n) for n in range(sizes["B"])])]


APART = "f, e = torch.frexp(x)\n                m, n = torch.frexp(x.double())\n" + (
    "                h, o = torch.frexp(x.half())\n                return f, e, m, n, h, o"
)
FILES = {"pools": (POOLS, IMAGES, odd_image), "apart": (APART, ("torch.randn(B, D)",), odd_rows)}


@pytest.fixture(scope="module")
def odd(tracing, make_file):
    three = ({"B": 7, "C": 6, "D": 36}, {"B": 5, "C": 10, "D": 22}, {"B": 12, "C": 8, "D": 30})

    def made(name):
        forward, inputs, values = FILES[name]
        return tracing(make_file(forward, inputs=inputs), three), values

    return made


@pytest.mark.parametrize("name", FILES)
def test_odd_values_go_in_cpp_where_they_go_in_torch(name, odd, kernel, make_case):
    studied, values = odd(name)
    case = make_case(studied, SIZES, values(SIZES))
    for candidate in studied.candidates("cpp"):
        kernel(candidate, studied.problem).check(case)


@pytest.fixture(scope="module")
def returned(odd, triton_runs):
    pytest.importorskip("triton", reason="the package triton is not installed")
    runs = triton_runs()
    for name in FILES:
        studied, values = odd(name)
        runs.add(name, studied, [SIZES], values=values)
    runs.run(TRITON_INTERPRET="1")
    return runs


@pytest.mark.parametrize("name", FILES)
def test_odd_values_go_in_triton_where_they_go_in_torch(name, returned):
    returned.check(name)


@pytest.mark.parametrize("language", ["cpp", "triton"])
@pytest.mark.parametrize(
    ("forward", "inputs", "said"),
    [
        (
            "return F.max_pool2d(x, 2, return_indices=True)",
            ("torch.randn(2, C, 8, D * 2)",),
            "No sketch covers aten.max_pool2d_with_indices.default (node {}) where its indices "
            "are used.",
        ),
        (
            "return x.scatter(1, y, 2.0)",
            ("torch.randn(B, D)", "torch.randint(0, D, (B, 2))"),
            "No sketch covers aten.scatter.value (node {}) where it writes more than one element "
            "of a line.",
        ),
        (
            "return x.scatter(1, y, x)",
            ("torch.randn(B, D)", "torch.randint(0, D, (C, 1))[:2]"),
            "No sketch covers aten.scatter.src (node {}) where it does not write into every line.",
        ),
        (
            "return x.sum().scatter(0, y, 2.0)",
            ("torch.randn(B, D)", "torch.tensor(0)"),
            "No sketch covers aten.scatter.value (node {}) where it has no dimension.",
        ),
    ],
)
def test_what_is_not_a_choice_or_a_window_is_refused_with_a_sentence(
    forward, inputs, said, language, tracing, make_file
):
    studied = tracing(make_file(forward, inputs=inputs))
    found = drafts(studied.problem, studied.graph, language)
    assert isinstance(found, NotCovered)
    op = said.split()[3]
    name = next(n.name for n in studied.graph.nodes if n.op == op)
    assert found.reason == said.format(name)


@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize(("kernel_size", "stride", "padding"), [(3, 2, 1), (2, 2, 0), (4, 5, 2)])
def test_the_number_of_windows_is_that_of_torch(kernel_size, stride, padding, ceil_mode):
    height = Poly.axis("height")
    count = WindowCount(
        extent=height + 2 * padding,
        reach=Poly.number(kernel_size),
        stride=Poly.number(stride),
        begins=height + padding if ceil_mode else None,
    )
    assert count.axes == {"height"}
    for size in range(kernel_size, 30):
        x = torch.zeros(1, size)
        pooled = torch.nn.functional.max_pool1d(
            x, kernel_size, stride, padding, ceil_mode=ceil_mode
        )
        assert eval(count.text({}), {"height": size}) == pooled.shape[1]


def test_two_pools_in_a_row_follow_from_the_sizes_of_the_input(tracing, make_file):
    three = ({"B": 7, "C": 6, "D": 36}, {"B": 5, "C": 10, "D": 22}, {"B": 12, "C": 8, "D": 29})
    twice = "y = F.max_pool2d(x, 3, 2, 1)\n                return F.max_pool2d(y, 3, 2, 1), y"
    text = make_file(twice, inputs=IMAGES)
    studied = tracing(text, three)
    written = studied.candidates("triton")[0].source.text
    said = dict(re.findall(r"^        (seen\d+) = (.*)$", written, re.MULTILINE))
    assert said
    sizes = {"B": 30, "C": 4, "D": 41}
    x = torch.zeros(2, 4, 32, 41)
    for axis, formula in said.items():
        assert eval(formula, {"x": x}) == studied.axes(sizes)[axis]


def test_away_from_the_borders_cpp_reads_without_asking(tracing, make_file):
    text = make_file("return F.max_pool2d(x, 3, 1, 1)", inputs=("torch.randn(2, C, B, D)",))
    written = tracing(text).candidates("cpp")[0].source.text
    borders, inside = written.split("#pragma omp simd")[-2:]
    assert borders.count("? x[") == 9
    assert inside.count("x[") == 9
    assert "?" not in inside.split("kw_stream")[0].split("{", 1)[1]
