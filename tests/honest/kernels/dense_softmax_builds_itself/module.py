"""C++ built on first use, called through ctypes."""

import ctypes
import subprocess
import tempfile
from pathlib import Path

import torch
from torch import nn

SOURCE = """
#include <cmath>
#include <cstdint>
extern "C" void softmax(float* x, int64_t rows, int64_t columns) {
    for (int64_t r = 0; r < rows; ++r) {
        float* row = x + r * columns;
        float top = row[0], sum = 0.0f;
        for (int64_t c = 1; c < columns; ++c) top = std::fmax(top, row[c]);
        for (int64_t c = 0; c < columns; ++c) sum += row[c] = std::exp(row[c] - top);
        for (int64_t c = 0; c < columns; ++c) row[c] /= sum;
    }
}
"""
_built = []


def library():
    if not _built:
        folder = Path(tempfile.mkdtemp())
        source, built = folder / "softmax.cpp", folder / "softmax.so"
        source.write_text(SOURCE)
        subprocess.run(["g++", "-O2", "-fPIC", "-shared", str(source), "-o", str(built)], check=True)
        _built.append(ctypes.CDLL(str(built)))
    return _built[0]


class ModelNew(nn.Module):
    def __init__(self, inner, classes):
        super().__init__()
        self.linear = nn.Linear(inner, classes)

    def forward(self, x):
        out = self.linear(x).contiguous()
        address = ctypes.c_void_p(out.data_ptr())
        library().softmax(address, ctypes.c_int64(out.shape[0]), ctypes.c_int64(out.shape[1]))
        return out
