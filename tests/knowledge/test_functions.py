"""The functions that sketches bring along are right to the last digit or so, in C++."""

import ctypes
import subprocess

import numpy as np
import pytest

from kernelwright.knowledge.sketches.cpp.kernel import pieces

NAMES = ("exp", "expm1", "log", "log1p", "tanh", "sigmoid", "erf")
HEADERS = "#include <cmath>\n#include <cstdint>\n#include <cstring>\n"


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    folder = tmp_path_factory.mktemp("functions")
    calls = "\n".join(
        f'extern "C" void many_{n}(const float* x, float* y, int64_t n) {{\n'
        f"    for (int64_t i = 0; i < n; ++i) y[i] = kw_{n}(x[i]);\n}}"
        for n in NAMES
    )
    text = HEADERS + "\n".join(pieces(calls)) + calls
    folder.joinpath("f.cpp").write_text(text)
    flags = ["-O3", "-march=native", "-std=c++17", "-fno-math-errno", "-fno-trapping-math"]
    command = ["g++", *flags, "-shared", "-fPIC", "f.cpp", "-o", "f.so"]
    subprocess.run(command, cwd=folder, check=True)
    return ctypes.CDLL(str(folder / "f.so"))


def called(library, name, x):
    x = np.ascontiguousarray(x, np.float32)
    y = np.empty_like(x)
    pointers = [ctypes.c_void_p(a.ctypes.data) for a in (x, y)]
    getattr(library, f"many_{name}")(*pointers, ctypes.c_int64(x.size))
    return y


def exact(name, x):
    x = x.astype(np.float64)
    match name:
        case "sigmoid":
            return 1 / (1 + np.exp(-x))
        case "erf":
            import torch

            return torch.erf(torch.from_numpy(x)).numpy()
        case _:
            return getattr(np, name)(x)


def steps(low, high, *, near_zero=True):
    """Many floats of a range: evenly spread, and at all sizes down to the smallest."""
    even = np.linspace(low, high, 400_001)
    small = np.geomspace(1e-37, max(abs(low), abs(high)), 100_001)
    found = [even, small[small <= high], -small[-small >= low]] if near_zero else [even]
    return np.concatenate(found).astype(np.float32)


@pytest.mark.parametrize(
    ("name", "low", "high", "ulps"),
    [
        ("exp", -87.3, 88.7, 1.1), ("expm1", -17, 88.7, 1.6), ("log", 1e-37, 3e38, 1.1),
        ("log1p", -0.9999, 1e30, 1.6), ("tanh", -12, 12, 2.6), ("sigmoid", -80, 80, 2.4),
        ("erf", -6, 6, 2.0),
    ],
)  # fmt: skip
def test_a_function_is_within_a_few_units_in_the_last_place(library, name, low, high, ulps):
    x = steps(low, high)
    x = x[x > 0] if name == "log" else x
    want = exact(name, x)
    unit = np.spacing(np.abs(want).astype(np.float32)).astype(np.float64)
    error = np.abs(called(library, name, x).astype(np.float64) - want) / unit
    assert error.max() < ulps, f"{error.max():.2f} at {x[error.argmax()]}"


@pytest.mark.parametrize("name", NAMES)
def test_a_function_has_the_right_limits(library, name):
    x = np.array([np.nan, np.inf, -np.inf, 0.0, 89.0, 1e38], np.float32)
    with np.errstate(all="ignore"):
        want = exact(name, x).astype(np.float32)
    np.testing.assert_array_equal(np.isnan(called(library, name, x)), np.isnan(want))
    np.testing.assert_allclose(called(library, name, x), want, rtol=1e-6)


@pytest.mark.parametrize("name", ["exp", "expm1", "sigmoid"])
def test_every_float_around_the_largest_exponential_is_right(library, name):
    x = np.float32(88.722839) + np.arange(-64, 65, dtype=np.float32) * np.spacing(np.float32(88.7))
    x = np.concatenate([x, -x])
    with np.errstate(all="ignore"):
        want = exact(name, x).astype(np.float32)
    np.testing.assert_allclose(called(library, name, x), want, rtol=1e-6, atol=1e-37)


def test_the_logarithm_of_a_subnormal_number_is_right(library):
    x = np.array([1e-45, 1e-40, 1.1e-38], np.float32)
    np.testing.assert_allclose(called(library, "log", x), np.log(x.astype(np.float64)), rtol=1e-6)


def test_only_the_pieces_that_are_used_are_copied():
    assert [p for p in pieces("kw_exp(x)") if "kw_tanh" in p or "kw_log" in p] == []
