"""Kernels of a module compiled ahead of its lives, for a device that need not be here."""

from __future__ import annotations

import contextlib
import textwrap

import pytest

from kernelwright.core.evaluation import BEST_ISOLATION, BuildFailed
from kernelwright.core.problem import Source
from kernelwright.evaluate.building.builder import Built
from kernelwright.evaluate.profile.disassembly import cuobjdump, look_at
from kernelwright.evaluate.running.bodies import write_setup
from kernelwright.evaluate.running.compiling import Compiled, NotCompiled, Order, compiling
from kernelwright.evaluate.running.zygote import Zygote, reachable
from kernelwright.problems.reference import Reference

pytest.importorskip("triton", reason="the package triton is not installed")

REFERENCE = """
import torch
import torch.nn as nn

rows = 64
columns = 96


class Model(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.gain = nn.Parameter(torch.rand(width))

    def forward(self, x):
        return x * self.gain


def get_inputs():
    return [torch.randn(rows, columns)]


def get_init_inputs():
    return [columns]
"""
MODULE = """
import torch
import triton
import triton.language as tl


@triton.jit
def scale(x, gain, out, columns, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    at = tl.arange(0, BLOCK)
    inside = at < columns
    value = tl.load(x + row * columns + at, mask=inside) * tl.load(gain + at, mask=inside)
    tl.store(out + row * columns + at, value, mask=inside)


class ModelNew(torch.nn.Module):
    def __init__(self, width):
        super().__init__()
        self.gain = torch.nn.Parameter(torch.rand(width))

    def forward(self, x):
        rows, columns = x.shape
        out = torch.empty_like(x)
        {before}
        scale[(rows,)](x, self.gain, out, columns, BLOCK=triton.next_power_of_2(columns))
        return {returned}
"""


@pytest.fixture(scope="module")
def problem():
    with Reference.open(Source(files={"scale.py": REFERENCE}, entry_point="scale.py::Model")) as it:
        yield it.load()


@pytest.fixture(scope="module")
def zygote(tmp_path_factory, needs_level):
    needs_level(BEST_ISOLATION)
    if not reachable():
        pytest.skip("Python lies under /tmp, and each forked life has a /tmp of its own")
    found = Zygote(tmp_path_factory.mktemp("judge"), triton=True)
    yield found
    found.close()


@pytest.fixture
def ahead(problem, zygote, tmp_path):
    """From a module's text to the process that compiles its kernels."""

    @contextlib.contextmanager
    def begun(text):
        folder = zygote._folder
        home = folder / f"build-{tmp_path.name}"
        home.mkdir(exist_ok=True)
        (home / "kernel.py").write_text(text)
        write_setup(problem, "cuda", folder / "problem.json")
        with compiling(
            Built(home, home / "kernel.py", ""), Order.of(problem, "sm_90", 232448),
            setup=folder / "problem.json", zygote=zygote, gpu=False, level=BEST_ISOLATION,
            log=tmp_path / "log", folder=tmp_path / "files",
        ) as found:  # fmt: skip
            yield found

    return begun


@pytest.fixture
def module():
    """The text of a module with these lines in front of its launch."""

    def text(before="", returned="out"):
        lines = textwrap.indent(textwrap.dedent(before).strip(), 8 * " ").strip()
        return MODULE.format(before=lines or "pass", returned=returned)

    return text


@pytest.fixture
def first(ahead, module):
    """What becomes of a module for the sizes of the screen."""

    def found(**lines):
        with ahead(module(**lines)) as process:
            return process.take()

    return found


def test_every_group_of_sizes_is_compiled_and_the_files_grow(ahead, module):
    with ahead(module()) as process:
        found = [process.take(), process.take(hidden=True)]
    assert all(isinstance(one, Compiled) for one in found), found
    sizes = [one.built.artifact.stat().st_size for one in found]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]
    assert found[0].cubins[0].read_bytes()[:4] == b"\x7fELF"


@pytest.mark.skipif(cuobjdump() is None, reason="there is no cuobjdump")
def test_the_code_is_there_to_be_looked_at_with_no_device(first):
    facts = look_at(first().cubins, BEST_ISOLATION)
    assert [kernel.name for kernel in facts.kernels] == ["scale"]
    assert facts.kernels[0].registers > 0


@pytest.mark.parametrize(
    ("before", "why"),
    [
        ("x = x + 0", "aten::add computes"),
        ("x = x.t().contiguous().t()", "aten::clone computes"),
        ("x.mul_(1)", "aten::mul_ writes to a tensor"),
        ("assert x[0, 0].item() != 7", "item() cannot be called"),
        ("x = torch.randn(rows, columns)", "no input and no new memory"),
        ("out = torch.empty(rows * columns + 1, device=x.device)[:-1].view(rows, columns)", "part"),
        ("out = x", "no memory of its own"),
        ("rows = undefined", "NameError"),
        ("self.n = getattr(self, 'n', 0) + 1; rows -= self.n // 2", "calls differ"),
        ("self.out = out = getattr(self, 'out', out)", "no input and no new memory"),
        ("import random; rows = random.randrange(1 << 20)", "calls differ"),
    ],
)  # fmt: skip
def test_what_is_more_than_launches_is_left_to_the_module(first, before, why):
    found = first(before=before)
    assert isinstance(found, NotCompiled)
    assert why in found.why


@pytest.mark.parametrize(
    "before",
    [
        "out = torch.zeros(rows, columns, dtype=x.dtype, device=x.device)",
        "out = x.new_full((rows * columns,), 2.5).view(rows, columns)",
        "x = x.contiguous().view(-1).to(torch.float32)",
        "x = x.t().t()[None].squeeze(0)",
        "assert x.is_cuda and x.device.type == 'cuda' and x.stride(0) == columns",
        "lengths = torch.arange(3).tolist()",
        "gain = self.gain.detach().reshape(1, -1)",
        "more = torch.empty((rows, 3), dtype=torch.float64, device='cuda').zero_()",
    ],
)  # fmt: skip
def test_memory_and_other_shapes_of_it_are_no_computing(first, before):
    assert isinstance(first(before=before), Compiled)


@pytest.mark.parametrize("returned", ["(out, out)", "out.t()", "out.view(-1)", "x", "out.half()"])
def test_outputs_of_another_kind_are_left_to_the_module(first, returned):
    assert isinstance(first(returned=returned), NotCompiled)


def test_a_kernel_that_cannot_be_compiled_is_a_failed_build(ahead, module):
    with ahead(module().replace("tl.arange(0, BLOCK)", "tl.arange(0, columns)")) as process:
        found = process.take()
    assert isinstance(found, BuildFailed)
    assert "arange" in found.diagnostics


def test_other_weights_than_the_references_are_left_to_the_module(ahead, module):
    with ahead(module().replace("self.gain", "self.scale")) as process:
        assert "state_dict" in process.take().why


def test_what_fails_on_hidden_sizes_is_not_told(ahead, module, problem, tmp_path):
    seen = {w.axes[a] for w in problem.workloads if w.split != "hidden" for a in problem.axes}
    lines = f"""
    print("sizes:", rows, columns, flush=True)
    assert {{rows, columns}} <= {seen!r}, (rows, columns)
    """
    with ahead(module(before=lines)) as process:
        assert isinstance(process.take(), Compiled)
        assert process.take(hidden=True) == NotCompiled("not for every size")


def test_a_process_that_ends_says_nothing_of_the_candidate(first):
    assert first(before="import os; os._exit(3)") == NotCompiled("its process ended")


def test_the_report_size_is_first_and_every_size_is_there_once(problem):
    order = Order.of(problem, "sm_90", 232448)
    everything = [*order.seen, *order.hidden]
    assert len(everything) == len(set(everything))
    assert set(everything) == {tuple(w.axes[a] for a in problem.axes) for w in problem.workloads}
    assert order.seen[0] == tuple(problem.report_workload.axes.values())
    shown = {tuple(w.axes.values()) for w in problem.workloads if w.split != "hidden"}
    assert set(order.seen) == shown
