"""Reference files for the sketches, and the machinery to trace them and to run what is drafted."""

import ctypes
import functools
import math
import os
import subprocess
import sys
import textwrap
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch

from kernelwright.core.agreement import Expected, compare
from kernelwright.core.candidate import Candidate
from kernelwright.core.formats import storage_dtype
from kernelwright.core.graph import Extent, Graph, Unexplained
from kernelwright.core.problem import Problem, Source, TensorSpec, Workload
from kernelwright.core.tolerance import tolerance
from kernelwright.knowledge.sketches import Covered, drafts
from kernelwright.languages.cpp import Cpp
from kernelwright.languages.triton import Triton
from kernelwright.problems.loading import load_program
from kernelwright.problems.program import Program
from kernelwright.problems.sizes import explain
from kernelwright.problems.tracing import trace

SIZES = ({"B": 7, "C": 6, "D": 36}, {"B": 5, "C": 10, "D": 22})
# Two sizes do not tell a number of windows from a multiple of an axis.
WINDOW_SIZES = (*SIZES, {"B": 12, "C": 8, "D": 29})
LONG_ROWS = ({"B": 2, "C": 4, "D": 70002}, {"B": 3, "C": 6, "D": 22})
DTYPES = {torch.float32: "float32", torch.float64: "float64", torch.int64: "int64",
          torch.int32: "int32", torch.int8: "int8",
          torch.bool: "bool", torch.bfloat16: "bfloat16", torch.float16: "float16"}  # fmt: skip


def file(forward, *, init="", inputs=("torch.randn(B, D)",)):
    """A reference file whose model has the layers `init` and returns what `forward` says.

    The inputs are called x, y, z, in this order.
    """
    return textwrap.dedent(
        f"""
        import torch
        import torch.nn as nn
        import torch.nn.functional as F

        B, C, D = 7, 6, 36

        class Model(nn.Module):
            def __init__(self, B, C, D):
                super().__init__()
                {init or "pass"}

            def forward(self, {", ".join("xyz"[: len(inputs)])}):
                {forward}

        def get_inputs():
            return [{", ".join(inputs)}]

        def get_init_inputs():
            return [B, C, D]
        """
    )


X3, X4 = ("torch.randn(B, C, D)",), ("torch.randn(B, C, D, 4)",)
IMAGES = ("torch.randn(2, C, B + 2, D)",)
XY = ("torch.randn(B, D)", "torch.randn(B, D)")

FILES = {
    "rmsnorm_silu": file(
        "n = x / torch.sqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * self.weight\n"
        "                return n * torch.sigmoid(n)",
        init="self.weight = nn.Parameter(torch.ones(D))",
    ),
    "softmax": file("return F.softmax(x, -1)"),
    "log_softmax": file("return F.log_softmax(x, -1)"),
    "masked_softmax": file(
        "return F.softmax(x.masked_fill(y, float('-inf')), -1)",
        inputs=("torch.randn(B, D)", "torch.rand(B, D) > 0.7"),
    ),
    "layer_norm": file("return self.norm(x)", init="self.norm = nn.LayerNorm(D)"),
    "layer_norm_of_two_dimensions": file(
        "return self.norm(x)", init="self.norm = nn.LayerNorm((C, D))", inputs=X3
    ),
    "group_norm": file("return self.norm(x)", init="self.norm = nn.GroupNorm(2, C)", inputs=X4),
    "instance_norm": file("return F.instance_norm(x)", inputs=X4),
    "statistics_over_a_batch": file(
        "m = x.mean((0, 2, 3), keepdim=True)\n"
        "                return (x - m) / (x.var((0, 2, 3), keepdim=True) + 1e-5).sqrt()",
        inputs=X4,
    ),
    "bias_gelu": file(
        "return F.gelu(x + self.bias)", init="self.bias = nn.Parameter(torch.ones(D))"
    ),
    "bias_for_each_channel": file(
        "return F.relu(x + self.bias) * y",
        init="self.bias = nn.Parameter(torch.ones(C, 1, 1))",
        inputs=("torch.randn(B, C, D, 4)", "torch.randn(B, 1, 1, 4)"),
    ),
    "swiglu": file("a, b = x.chunk(2, -1)\n                return F.silu(a) * b"),
    "gate_of_a_slice": file("return torch.sigmoid(x[:, 1:-1]) * x[:, 2:]"),
    "the_maximum_of_another_row": file(
        "return (x - x.amax(-1, keepdim=True).flip(0)).exp().sum(-1)"
    ),
    "logsumexp": file("return torch.logsumexp(x, -1)"),
    "cross_entropy": file(
        "return F.cross_entropy(x, y)", inputs=("torch.randn(B, D)", "torch.randint(0, D, (B,))")
    ),
    "positions": file("return x.argmax(-1), x.argmin(-1), x.max(-1), x.argmax(0)"),
    "several_outputs": file("return x + y, x > y, x.sum(-1), x * y, y.mean()", inputs=XY),
    "over_the_middle": file(
        "return F.softmax(x, 1), x.sum(1), x.mean(1, keepdim=True) - x, x.max(1)", inputs=X3
    ),
    "over_the_first": file("return x.sum(0), F.softmax(x, 0), x.prod(0)"),
    "to_a_scalar": file("return x.abs().sum(), F.mse_loss(x, y), x / x.norm()", inputs=XY),
    "norms_of_rows": file("return F.normalize(x, dim=-1), x.var(-1), x.std(-1), x.norm(dim=-1)"),
    "activations": file(
        "return (F.softplus(x), F.mish(x), F.elu(x), F.hardswish(x), F.leaky_relu(x), F.selu(x), "
        "F.logsigmoid(x), F.gelu(x, approximate='tanh'), F.hardtanh(x), torch.tanh(x), "
        "torch.clamp(x, -0.5, 0.5), torch.sign(x), torch.round(x * 3))"
    ),
    "moved_elements": file(
        "return torch.cat([x[:, 1:], x[:, :1]], 1) + F.pad(x, (1, 2))[:, 2:-1] + x.flip(1)"
    ),
    "permuted": file("return x.permute(0, 2, 1) * 2", inputs=X3),
    "means_of_windows": file(
        "return (F.avg_pool2d(x, 3, 2, 1, count_include_pad=False), F.avg_pool2d(x, (2, 3)), "
        "F.avg_pool2d(x, 3, 2, 1, ceil_mode=True), F.avg_pool2d(x, 2, 3, divisor_override=5), "
        "F.avg_pool2d(x, 3, 2, 1, ceil_mode=True, count_include_pad=False), "
        "F.avg_pool2d(x.exp(), 5, 1, 2), F.avg_pool1d(x[0], 3, 2, 1), F.avg_pool2d(x, 1, 2), "
        "F.avg_pool2d(x, (3, 11), 1, (1, 5)))",
        inputs=IMAGES,
    ),
    "largest_of_windows": file(
        "return (F.max_pool2d(x, 3, 2, 1), F.max_pool2d(x, 2), F.max_pool2d(x, 2, 1, dilation=2), "
        "F.max_pool2d(x, 3, 2, 1, ceil_mode=True) * 2, F.max_pool1d(x[0], 3, 2, 1), "
        "F.max_pool2d((x * 9).long(), 3, 1, 1), F.max_pool2d(F.max_pool2d(x, 3, 2, 1), 3, 2, 1), "
        "F.max_pool2d(x, (3, 11), (1, 2), (1, 5)))",
        inputs=IMAGES,
    ),
    "filters_over_windows": file(
        "return (F.relu(F.conv2d(x, self.a, self.bias, 2, (1, 2), groups=C)), "
        "F.conv2d(x, self.b, None, dilation=2, padding=1, groups=C), "
        "F.conv1d(x[0].transpose(0, 1)[:, :1], self.c, None, padding=2))",
        init="self.a = nn.Parameter(torch.ones(C, 1, 3, 5)); "
        "self.b = nn.Parameter(torch.ones(C, 1, 2, 2)); "
        "self.c = nn.Parameter(torch.ones(1, 1, 4)); "
        "self.bias = nn.Parameter(torch.ones(C))",
        inputs=IMAGES,
    ),
    "one_place_written_in_each_row": file(
        "i = y[:, None]\n                return (x.scatter(1, i, -1.0), x.scatter(-1, i, x * 2), "
        "x.scatter(0, (y % B)[None, :1].expand(1, D), 3.5))",
        inputs=("torch.randn(B, D)", "torch.randint(0, D, (B,))"),
    ),
    "gradient_of_cross_entropy": file(
        "t = y[:, None]\n"
        "                g = torch.zeros_like(x).scatter(1, torch.where(t != 2, t, 0), -1.0)\n"
        "                g = torch.where(t != 2, g, 0.0)\n"
        "                return g - F.softmax(x, 1) * g.sum(1, keepdim=True)",
        inputs=("torch.randn(B, D)", "torch.randint(0, D, (B,))"),
    ),
    "floats_taken_apart": file(
        "f, e = torch.frexp(x)\n                m, n = torch.frexp(x.abs().amax(-1).double())\n"
        "                return f, e, m, n, (x / (x.amax(-1) / m.float())[:, None]).to(torch.int8)"
    ),
    "reduced_over_one_element": file(
        "return x[:, :1].sum(-1), x[:, :1].amax(1) * 2, x[:1].argmax(0), x[:, :1].mean(1)"
    ),
    "lower_triangle": file("return torch.tril(x) + torch.arange(D)"),
    "rows_by_index": file(
        "return x[y] * 2 + F.embedding(y, x)",
        inputs=("torch.randn(B, D)", "torch.randint(0, B, (C,))"),
    ),
    "whole_numbers": file(
        "return x % 3, x // 2, x * 2 + 1, x.sum(-1), x / 3, x.max()",
        inputs=("torch.randint(-9, 9, (B, D))",),
    ),
    "numbers_from_sizes": file("return x / D**0.5 + B, x.mean() * y", inputs=(XY[0], "0.37")),
    "matrix_product": file("return x @ y.t()", inputs=XY),
    "linear_and_activation": file(
        "return F.gelu(self.layer(x)) + x[:, :1]", init="self.layer = nn.Linear(D, C)"
    ),
    "product_with_a_vector": file("return x @ y[0], torch.dot(x[0], y[0]) * 2", inputs=XY),
    "two_layers": file(
        "return self.second(torch.relu(self.first(x)))",
        init="self.first = nn.Linear(D, C); self.second = nn.Linear(C, D, bias=False)",
    ),
    "product_with_a_prologue": file(
        "return torch.baddbmm(z, x.exp(), y.sigmoid(), alpha=0.5, beta=2)",
        inputs=(X3[0], "torch.randn(B, D, C)", "torch.randn(B, C, C)"),
    ),
    "product_and_the_norm_of_its_rows": file(
        "h = x @ y.transpose(1, 2)\n                return h / h.norm(dim=-1, keepdim=True)",
        inputs=(X3[0], X3[0]),
    ),
    "product_of_doubles": file(
        "return x @ y.t()", inputs=("torch.randn(B, D, dtype=torch.float64)",) * 2
    ),
    "product_of_bytes_with_scales": file(
        "return x @ (y.float() * z[:, None]).t()",
        inputs=(XY[0], "torch.randint(-9, 9, (C, D), dtype=torch.int8)", "torch.rand(C)"),
    ),
    "attention": file(
        "return F.scaled_dot_product_attention(x, y, z)", inputs=("torch.randn(2, B, C, D)",) * 3
    ),
    "convolution": file(
        "return F.relu(self.layer(x))",
        init="self.layer = nn.Conv2d(C, 5, 3, stride=(1, 2), padding=1, dilation=(1, 2))",
        inputs=("torch.randn(B, C, D, 8)",),
    ),
    "convolution_in_groups": file(
        "return F.conv1d(x, self.weight, groups=2) * 2",
        init="self.weight = nn.Parameter(torch.rand(2 * 3, C // 2, 3))",
        inputs=X3,
    ),
    "narrow_output": file("return F.gelu(x).bfloat16(), x.half() + 1"),
    "running_sum": file("return x.cumsum(-1)"),
    "running_sums_between": file(
        "p = F.softmax(x, -1)\n"
        "                s = (p * self.weight).cumsum(-1)\n"
        "                return s / p.amax(-1, keepdim=True) - y, F.relu(x).cumsum(1) - F.relu(x), "
        "torch.tanh(s)",
        init="self.weight = nn.Parameter(torch.ones(D))",
        inputs=XY,
    ),
    "running_values_needed_elsewhere": file(
        "s = x.cumsum(-1)\n"
        "                return s.sum(-1), s.cumsum(-1), F.pad(s[:, :-1], (1, 0)), s / s[:, -1:], "
        "x.flip(-1).cumsum(-1).flip(-1)"
    ),
    "other_scans": file(
        "return (x * 0.1 + 1).cumprod(-1), x.cummax(-1).values, x.cummin(-1)[0], x.sum(-1)"
    ),
    "scans_down_columns": file(
        "s = x.cumsum(1)\n"
        "                return s / x.sum(1, keepdim=True) + y, (y - x).cumsum(0), "
        "(x * 0.1 + 1).cumprod(1), x.cummax(1)[0]",
        inputs=("torch.rand(B, C, D) + 0.1", "torch.randn(D)"),
    ),
    "scans_of_whole_numbers": file(
        "return x.cumsum(-1), (x % 3 - 1).cumprod(-1), (x > 0).cumsum(0), x.cummin(1)[0], "
        "x.cumsum(-1, dtype=torch.float32), x.cumsum(-1, dtype=torch.int8) // 2",
        inputs=("torch.randint(-9, 9, (B, D))",),
    ),
    "scans_in_other_precisions": file(
        "return x.cumsum(-1), (x * 0.1 + 1).cumprod(-1), y.cumsum(-1), y.cumsum(-1).float()",
        inputs=("torch.randn(B, D, dtype=torch.float64)", "torch.rand(B, D).half()"),
    ),
    "double_precision": file(
        "return F.softmax(x, -1), torch.erf(x)", inputs=("torch.randn(B, D, dtype=torch.float64)",)
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Study:
    """One reference file, traced: the problem, its graph, and its programs at given sizes."""

    text: str
    problem: Problem
    graph: Graph
    derived: dict[str, Extent] = field(default_factory=dict)
    # Axes that no formula says, such as a number of windows: which dimension of which output.
    seen: dict[str, tuple[int, int]] = field(default_factory=dict)
    drafted: dict[str, tuple[Candidate, ...]] = field(default_factory=dict)

    def program(self, sizes) -> Program:
        return load_program(self.problem.reference, sizes)

    def axes(self, sizes) -> dict[str, int]:
        found = dict(sizes) | {name: int(e.at(sizes)) for name, e in self.derived.items()}
        if self.seen:
            program = self.program(sizes)
            shapes = [value.shape for value in program.run(program.make_inputs(0))]
            found |= {name: shapes[output][dim] for name, (output, dim) in self.seen.items()}
        return found

    def candidates(self, language) -> tuple[Candidate, ...]:
        if language not in self.drafted:
            self.drafted[language] = self._drafts(language)
        return self.drafted[language]

    def _drafts(self, language) -> tuple[Candidate, ...]:
        found = drafts(self.problem, self.graph, language)
        assert isinstance(found, Covered), found
        return found.candidates


def studied(text, sizes=SIZES) -> Study:
    """What `text` is at `sizes`; each is traced once, which takes about a second."""
    return _studied(text, tuple(tuple(s.items()) for s in sizes))


@functools.cache
def _studied(text, size_items) -> Study:
    """Trace `text`; an axis is a constant of the file, or what a size makes of some."""
    sizes = [dict(items) for items in size_items]
    source = Source(files={"model.py": text}, entry_point="model.py::Model")
    programs = [load_program(source, s) for s in sizes]
    derived: dict[str, Extent] = {}
    seen: dict[str, tuple[int, int]] = {}
    at_sizes: dict[tuple[int, ...], str] = {}

    def dimension(values, place):
        found = explain(list(values), list(sizes))
        if isinstance(found, Unexplained):
            axis = at_sizes.setdefault(tuple(values), f"seen{len(seen)}")
            seen.setdefault(axis, place)
            return axis
        if isinstance(found, int):
            return found
        if found == Extent(axes=found.axes) and len(found.axes) == 1:
            return found.axes[0]
        known = {e: n for n, e in derived.items()}
        name = known.get(found, f"size{len(derived)}")
        derived[name] = found
        return name

    def spec(name, role, values, number=0):
        if not isinstance(values[0], torch.Tensor):
            return TensorSpec(name=name, shape=(), dtype="float64", role="scalar")
        extents = zip(*(v.shape for v in values), strict=True)
        shape = tuple(dimension(e, (number, d)) for d, e in enumerate(extents))
        return TensorSpec(name=name, shape=shape, dtype=DTYPES[values[0].dtype], role=role)

    given = [p.make_inputs(0) for p in programs]
    inputs = [spec(n, "input", v) for n, *v in zip(programs[0].input_names, *given, strict=True)]
    inputs += [
        spec(name, "weight", [p.weights()[name] for p in programs])
        for name in programs[0].weight_names
    ]
    returned = [p.run(g) for p, g in zip(programs, given, strict=True)]
    outputs = [spec(f"out{n}", "output", v, n) for n, v in enumerate(zip(*returned, strict=True))]
    workloads = tuple(
        Workload(
            id=f"w{n}",
            split="search" if n else "report",
            axes=dict(s)
            | {name: int(e.at(s)) for name, e in derived.items()}
            | {name: values[n] for values, name in at_sizes.items()},
            constants=dict(s),
        )
        for n, s in enumerate(sizes)
    )
    problem = Problem(
        id="study",
        title="A study",
        origin="tests",
        axes=(*sizes[0], *derived, *seen),
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        reference=source,
        workloads=workloads,
    )
    graph = trace(programs[0], workloads[0], problem)
    return Study(text, problem, graph, derived, seen)


@functools.cache
def study_of(name, long_rows=False) -> Study:
    few = WINDOW_SIZES if "windows" in name else SIZES
    return studied(FILES[name], LONG_ROWS if long_rows else few)


@pytest.fixture(scope="session")
def study():
    """From the name of a file to its `Study`; each is traced once."""
    return study_of


@pytest.fixture(scope="session")
def tracing():
    """From a file's text to its `Study`."""
    return studied


@pytest.fixture(scope="session")
def make_file():
    return file


class Case:
    """A program at some sizes, with random weights: inputs, and what the outputs must be."""

    def __init__(self, study: Study, sizes, values=None):
        program = study.program(sizes)
        torch.manual_seed(sum(sizes.values()))
        weights = {
            n: torch.rand(w.shape, dtype=w.dtype) + 0.5 if w.is_floating_point() else w.clone()
            for n, w in program.weights().items()
        }
        program.set_weights(weights)
        self.given = values or program.make_inputs(1)
        self.axes = study.axes(sizes)
        self.tensors = [
            t.contiguous() if isinstance(t, torch.Tensor) else torch.tensor(t, dtype=torch.float64)
            for t in [*self.given, *weights.values()]
        ]
        eager = program.run(self.given)
        exact = study.program(sizes)
        exact.model.double()
        exact.set_weights(weights)
        precise = exact.run([_double(v) for v in self.given])
        self.shapes = [tuple(e.shape) for e in eager]
        self.expected = [
            _expected(spec, e, p, max(self.axes.values()) * 4)
            for spec, e, p in zip(study.problem.outputs, eager, precise, strict=True)
        ]


def _double(value):
    floating = isinstance(value, torch.Tensor) and value.is_floating_point()
    return value.double() if floating else value


def _expected(spec, eager, precise, longest) -> Expected:
    if not eager.is_floating_point():
        return Expected(name=spec.name, dtype=spec.dtype, values=eager.numpy()[None])
    exact = precise.double().numpy()
    allowed = tolerance(exact, eager.double().numpy(), spec.dtype, longest_axis=longest)
    return Expected(name=spec.name, dtype=spec.dtype, values=exact, tolerance=allowed)


def check(expected: Expected, raw) -> None:
    found = compare(np.ascontiguousarray(raw).ravel().view(storage_dtype(expected.dtype)), expected)
    assert found.kind is None, f"{expected.name}: {found.kind}, {found.detail}"


class Kernel:
    """A C++ candidate, built and loaded into this process."""

    def __init__(self, candidate, problem, folder, *, sanitize=False):
        build = Cpp().build(candidate, problem, sanitize=sanitize)
        for name, text in build.files.items():
            folder.joinpath(name).write_text(text)
        for command in build.commands:
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr[:2000] + candidate.source.text
        self.binary = folder / build.artifact
        self._entry = ctypes.CDLL(str(self.binary)).kw_entry
        self._problem = problem

    def __call__(self, tensors, axes):
        outputs = []
        for spec in self._problem.outputs:
            raw = np.empty(max(1, math.prod(spec.sizes(axes))), storage_dtype(spec.dtype))
            raw.view(np.uint8)[:] = 0xA5
            outputs.append(raw)
        places = [t.data_ptr() for t in tensors] + [o.ctypes.data for o in outputs]
        sizes = [axes[a] for a in self._problem.axes]
        self._entry((ctypes.c_void_p * len(places))(*places), (ctypes.c_int64 * len(sizes))(*sizes))
        return outputs

    def check(self, case):
        for expected, raw in zip(case.expected, self(case.tensors, case.axes), strict=True):
            check(expected, raw)


@pytest.fixture(scope="session")
def kernel(tmp_path_factory):
    """From a candidate and its problem to something that can be called."""

    def built(candidate, problem, **options):
        return Kernel(candidate, problem, tmp_path_factory.mktemp("kernel"), **options)

    return built


@pytest.fixture(scope="session")
def make_case():
    return Case


@pytest.fixture(scope="session")
def agree():
    """Fails when raw output does not agree with what it must be."""
    return check


class TritonRuns:
    """Folders for the drafts of several programs, with their cases, and what came out of them."""

    def __init__(self, folder):
        self.folder = folder
        self.cases, self.places, self.texts = {}, {}, {}

    def add(self, name, studied, sizes, *, candidates=None, values=None,
            change=lambda text: text, **settings):  # fmt: skip
        """One folder for each draft of `studied`, or of `candidates`, to be run at each of
        `sizes`."""
        self.cases[name] = [Case(studied, s, values=values(s) if values else None) for s in sizes]
        self.places[name], self.texts[name] = [], []
        for number, candidate in enumerate(candidates or studied.candidates("triton")):
            known = {t.name for t in candidate.tunables}
            tuned = candidate.tuned({n: v for n, v in settings.items() if n in known})
            text = change(Triton().build(tuned, studied.problem).files["kernel.py"])
            if sizes and "_together[" in text and ".type == 'cuda'" in text:
                continue  # run on a CPU it takes the way of another draft, which is run too
            place = self.folder / f"{len(self.places)}-{number}"
            place.mkdir()
            place.joinpath("kernel.py").write_text(text)
            self.places[name].append(place)
            self.texts[name].append(text)
            for index, (case, at) in enumerate(zip(self.cases[name], sizes, strict=True)):
                weights = case.tensors[len(case.given) :]
                kept = {"inputs": case.given, "weights": weights, "sizes": [*at.values()]}
                torch.save(kept, place / f"case{index}.pt")

    def run(self, what="run", **environment):
        """The child process, over every folder."""
        script = Path(__file__).with_name("run_triton.py")
        command = [sys.executable, str(script), what, str(self.folder)]
        subprocess.run(command, env=os.environ | environment, check=True, timeout=900)

    def check(self, name):
        """What every draft of `name` returned is what the program returns."""
        for place in self.places[name]:
            error = place / "error.txt"
            assert not error.exists(), error.read_text()[-3000:]
            for number, case in enumerate(self.cases[name]):
                found = torch.load(place / f"out_case{number}.pt")
                assert [tuple(t.shape) for t in found] == case.shapes
                for expected, tensor in zip(case.expected, found, strict=True):
                    check(expected, tensor.numpy())


@pytest.fixture(scope="session")
def triton_runs(tmp_path_factory):
    """From nothing to `TritonRuns` in a folder of their own."""
    return lambda: TritonRuns(tmp_path_factory.mktemp("triton"))
