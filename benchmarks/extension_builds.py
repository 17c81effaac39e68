"""How long a file with `load_inline` takes to build: at first, and after an edit of each source.

    python benchmarks/extension_builds.py [--json] [--torch]

It builds one KernelBench file, an RMSNorm with SiLU, as the judge builds it (in the sandbox, with a
cache of its own that is empty at first), and edits it. With a CUDA device and nvcc the kernel is in
`cuda_sources`; without, a file whose C++ loops are in `cpp_sources` is built instead.

What the lines mean:

- *header*: torch's headers, precompiled once for each machine and version of torch.
- *first*: the whole file, with the header there.
- *edit cuda*, *edit cpp*: one constant in that source is another; the other object is reused.
- *same*: the file as it was, for a new judge: only its calls are collected again.
- *wrong*: a name in the source that there is not.
- *torch first*, *torch edit cuda*, *torch edit cpp* (with `--torch`): torch's own `load_inline` on
  the same files, in a process of its own, importing torch included. It needs ninja.

Run this on a quiet machine.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import gpu_mix

from kernelwright.evaluate.building.builder import Builder, Built
from kernelwright.evaluate.building.compile_cache import CompileCache
from kernelwright.evaluate.building.headers import Headers
from kernelwright.evaluate.isolation.levels import isolation_level
from kernelwright.languages.cuda import find_nvcc
from kernelwright.languages.extension_units import header_plan
from kernelwright.languages.machine import cuda_devices
from kernelwright.languages.reading import candidate_from_text
from kernelwright.languages.torch_extension import TorchExtension
from kernelwright.languages.torch_headers import torch_home
from kernelwright.testing.languages import PROBLEM

ON_CPU = '''
import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

CPP = r"""
torch::Tensor run(torch::Tensor x, torch::Tensor weight) {
    auto out = torch::empty_like(x);
    const float *in = x.data_ptr<float>(), *w = weight.data_ptr<float>();
    float* to = out.data_ptr<float>();
    const int64_t dim = x.size(1);
    for (int64_t row = 0; row < x.size(0); row++, in += dim, to += dim) {
        float sum = 0.0f;
        for (int64_t i = 0; i < dim; i++) sum += in[i] * in[i];
        const float scale = 1.0f / std::sqrt(sum / dim + 1e-6f);
        for (int64_t i = 0; i < dim; i++) {
            const float v = in[i] * scale * w[i];
            to[i] = v / (1.0f + std::exp(-v));
        }
    }
    return out;
}
"""
built = load_inline(name="rmsnorm_silu", cpp_sources=CPP, functions=["run"], extra_cflags=["-O3"])


class ModelNew(nn.Module):
    def __init__(self, dim: int, eps: float):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x):
        return built.run(x, self.weight)
'''
Edit = tuple[str, str]
_CPP_ON_GPU: Edit = ('cpp_sources="torch', 'cpp_sources="// edited\\ntorch')
_CUDA: Edit = ("THREADS 256", "THREADS 512")
_CPP: Edit = ("1e-6f", "2e-6f")


def edits(*, gpu: bool) -> dict[str, str]:
    """The files by the line of the table that they belong to."""
    if gpu:
        text = next(entry.theirs for entry in gpu_mix.cuda() if entry.kind == "right")
        changes = {
            "edit cuda": _CUDA,
            "edit cpp": _CPP_ON_GPU,
            "wrong": ("* scale *", "* scales *"),
        }
    else:
        text, changes = ON_CPU, {"edit cpp": _CPP, "wrong": ("* scale *", "* scales *")}
    files = {"first": text}
    for name, (before, after) in changes.items():
        if before not in text:
            raise ValueError(f"{before!r} is not in the file")
        files[name] = text.replace(before, after)
    return files


def ours(files: dict[str, str]) -> Iterator[tuple[str, float]]:
    """Seconds of each line, by builders that share one cache."""
    level, _ = isolation_level()
    language = TorchExtension()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("builds", "headers"):
            (folder / part).mkdir(mode=0o700)

        def builder(number: int) -> Builder:
            work = folder / str(number)
            work.mkdir()
            cache, headers = CompileCache(folder / "builds"), Headers(folder / "headers")
            return Builder(work, level, cache=cache, headers=headers)

        start = time.monotonic()
        builder(0).build(header_plan((), torch_home()))
        yield "header", time.monotonic() - start
        for number, (line, text) in enumerate({**files, "same": files["first"]}.items(), start=1):
            candidate = candidate_from_text(PROBLEM, text, "torch_extension")
            start = time.monotonic()
            made = builder(number).build(language.build(candidate, PROBLEM))
            yield line, time.monotonic() - start
            if isinstance(made, Built) == (line == "wrong"):
                raise RuntimeError(f"{line}: {made}")


def torchs(files: dict[str, str]) -> Iterator[tuple[str, float]]:
    """Seconds of torch's own, which keeps objects of unchanged sources in its folder."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "kernel.py"
        for line in ("first", "edit cuda", "edit cpp"):
            if line not in files:
                continue
            script.write_text(files[line])
            start = time.monotonic()
            path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
            environment = {**os.environ, "TORCH_EXTENSIONS_DIR": folder, "PATH": path}
            subprocess.run([sys.executable, str(script)], check=True, env=environment)
            yield f"torch {line}", time.monotonic() - start


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Seconds of builds of a torch extension.")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--torch", action="store_true", help="torch's own load_inline as well")
    asked = parser.parse_args()
    files = edits(gpu=cuda_devices() > 0 and find_nvcc() is not None)
    found = {}
    for lines in (ours(files), torchs(files) if asked.torch else iter(())):
        for line, seconds in lines:
            found[line] = round(seconds, 1)
            print(f"{line:16} {seconds:6.1f} s", file=sys.stderr)
    if asked.json:
        machine = {"cores": os.cpu_count(), "torch": torch_home().version}
        print(json.dumps({**machine, "seconds": found}, indent=2))


if __name__ == "__main__":
    main()
