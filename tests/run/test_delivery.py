"""What is delivered works on its own: it builds, calls, checks, and falls back with one warning."""

import copy
import importlib.util
import pickle
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch

from kernelwright.core.candidate import Candidate, Tunable
from kernelwright.core.evaluation import Agreement
from kernelwright.core.problem import Problem, Source, TensorSpec, Workload
from kernelwright.languages.cpp import Cpp
from kernelwright.languages.python import Python
from kernelwright.languages.torch_extension import TorchExtension
from kernelwright.run.delivery import deliver
from kernelwright.run.folder import RunFolder
from kernelwright.testing.evaluators import evaluation_of, passed

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not on the PATH")

REFERENCE = '''\
"""Scale and shift: r"raw", \\backslash, 'quotes'."""

import torch
import torch.nn as nn

rows, dim = 4, 6


class Model(nn.Module):
    def __init__(self, dim, gain=2.0):
        super().__init__()
        self.gain = gain
        self.weight = nn.Parameter(torch.rand(dim))
        self.register_buffer("offset", torch.zeros(dim))

    def forward(self, x, shift):
        return {"y": x * self.weight * self.gain + shift + self.offset, "n": [x.sum(1)]}


def get_inputs():
    return [torch.randn(rows, dim), 0.5]


def get_init_inputs():
    return [dim]
'''

KERNEL = """\
extern "C" void kernel(const float* x, double shift, const float* weight, const float* offset,
                       float* y, float* n, int64_t rows, int64_t dim) {
    for (int64_t r = 0; r < rows; ++r) {
        float sum = 0;
        for (int64_t c = 0; c < dim; ++c) {
            sum += x[r * dim + c];
            y[r * dim + c] = x[r * dim + c] * weight[c] * GAIN + (float)shift + offset[c];
        }
        n[r] = sum;
    }
}
"""


def tensor(name, shape, role="input", dtype="float32"):
    return TensorSpec(name=name, shape=shape, dtype=dtype, role=role)


PROBLEM = Problem(
    id="scale",
    title='Scale "and" shift',
    origin="test",
    axes=("rows", "dim"),
    inputs=(
        tensor("x", ("rows", "dim")),
        tensor("shift", (), "scalar", "float64"),
        tensor("weight", ("dim",), "weight"),
        tensor("offset", ("dim",), "weight"),
    ),
    outputs=(tensor("y", ("rows", "dim"), "output"), tensor("n", ("rows",), "output")),
    reference=Source(files={"scale.py": REFERENCE}, entry_point="scale.py::Model"),
    workloads=(
        Workload(id="report", split="report", axes={"rows": 4, "dim": 6}),
        Workload(id="small", split="search", axes={"rows": 1, "dim": 5}),
        Workload(id="ragged", split="hidden", axes={"rows": 7, "dim": 3}),
        Workload(id="failed", split="hidden", axes={"rows": 7, "dim": 99}),
    ),
)
CANDIDATE = Candidate(
    problem_id="scale",
    language="cpp",
    source=Source(files={"kernel.cpp": KERNEL}, entry_point="kernel.cpp::kernel"),
    tunables=(Tunable(name="GAIN", choices=(1, 2), default=1),),
    settings={"GAIN": 2},
)


def evaluation(problem=PROBLEM, candidate=CANDIDATE, agreed=("report", "small", "ragged")):
    agreements = tuple(
        Agreement(workload_id=id, split="search", cases=1, elements=1, worst=0.1) for id in agreed
    )
    outcome = passed(2.0).model_copy(update={"agreements": agreements})
    return evaluation_of(candidate, outcome, "promotion")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "kernelwright" / "kernels"


@pytest.fixture
def written(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    deliver(RunFolder(folder), PROBLEM, CANDIDATE, evaluation(), Cpp(), device="cpu")
    return folder


def load(folder):
    """The delivered module, newly imported."""
    spec = importlib.util.spec_from_file_location("best_module", folder / "best_module.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["best_module"] = module
    spec.loader.exec_module(module)
    return module


def pair(module, *args):
    """A `ModelNew` and a reference with the same weights."""
    ours, reference = module.ModelNew(*args), module.ModelNew.__mro__[1](*args)
    ours.load_state_dict(reference.state_dict())
    ours.offset.add_(1.0)
    reference.offset.add_(1.0)
    return ours, reference


def assert_same(got, wanted):
    assert list(got) == list(wanted)
    assert type(got["n"]) is list
    torch.testing.assert_close(got["y"], wanted["y"])
    torch.testing.assert_close(got["n"][0], wanted["n"][0])


def quietly(model, *inputs):
    """A call that must use the kernel: any warning is an error here."""
    with torch.no_grad():
        return model(*inputs)


def falls_back(model, *inputs, match):
    """A call that must warn once, and twice must not."""
    with pytest.warns(RuntimeWarning, match=match) as caught:
        result = model(*inputs)
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model(*inputs)
    return result


def test_it_gives_what_the_reference_gives_after_it_was_copied_elsewhere(written, tmp_path):
    elsewhere = tmp_path / "else where"
    elsewhere.mkdir()
    for name in ("best.cpp", "best_module.py"):
        shutil.move(written / name, elsewhere / name)
    ours, reference = pair(load(elsewhere), 6)
    x = torch.randn(4, 6)
    assert_same(quietly(ours, x, 0.5), reference(x, 0.5))


def test_any_size_of_an_axis_that_was_varied_is_verified(written):
    module = load(written)
    for rows, dim in [(1, 1), (9, 5), (100, 33)]:
        ours, reference = pair(module, dim)
        x = torch.randn(rows, dim)
        assert_same(quietly(ours, x, 0.5), reference(x, 0.5))


def test_a_tensor_that_is_not_contiguous_is_copied(written):
    ours, reference = pair(load(written), 6)
    x = torch.randn(6, 8).t()[::2]
    assert_same(quietly(ours, x, 0.5), reference(x, 0.5))


def test_arguments_may_be_given_by_name(written):
    ours, reference = pair(load(written), 6)
    x = torch.randn(4, 6)
    with torch.no_grad():
        assert_same(ours(shift=0.5, x=x), reference(x, 0.5))


def test_the_state_dict_is_that_of_the_reference(written):
    ours, reference = pair(load(written), 6)
    assert list(ours.state_dict()) == list(reference.state_dict())
    assert [n for n, _ in ours.named_parameters()] == ["weight"]


def test_making_it_draws_the_same_weights_as_making_the_reference(written):
    module = load(written)
    torch.manual_seed(3)
    ours, after = module.ModelNew(6), torch.rand(1)
    torch.manual_seed(3)
    reference, reference_after = module.ModelNew.__mro__[1](6), torch.rand(1)
    assert torch.equal(ours.weight, reference.weight)
    assert torch.equal(after, reference_after)


def test_a_copy_and_a_pickle_keep_their_own_weights(written):
    ours, _ = pair(load(written), 6)
    x = torch.randn(4, 6)
    before = quietly(ours, x, 0.5)
    for other in (copy.deepcopy(ours), pickle.loads(pickle.dumps(ours))):
        with torch.no_grad():
            other.weight.zero_()
        assert torch.equal(quietly(other, x, 0.5)["y"], torch.full((4, 6), 1.5))
    assert_same(quietly(ours, x, 0.5), before)


def test_a_weight_that_is_replaced_is_used(written):
    ours, _ = pair(load(written), 6)
    ours.weight = torch.nn.Parameter(torch.zeros(6))
    assert torch.equal(quietly(ours, torch.randn(4, 6), 0.5)["y"], torch.full((4, 6), 1.5))


def test_gradients_come_from_the_reference(written):
    ours, reference = pair(load(written), 6)
    x = torch.randn(4, 6)
    result = falls_back(ours, x, 0.5, match="requires grad.*no_grad.*The reference runs instead")
    result["y"].sum().backward()
    reference(x, 0.5)["y"].sum().backward()
    torch.testing.assert_close(ours.weight.grad, reference.weight.grad)


class Odd(torch.Tensor):
    """Somebody's own kind of tensor."""


@torch.no_grad()
def test_each_reason_has_its_own_warning(written):
    ours, _ = pair(load(written), 6)
    x = torch.randn(4, 6)
    falls_back(ours, x.double(), 0.5, match=r"x is torch\.float64, not float32")
    falls_back(ours, x, 0.25, match=r"shift is 0\.25; only 0\.5 was verified")
    falls_back(ours, torch.zeros(0, 6), 0.5, match=r"shapes \(0, 6\), \(6,\), \(6,\) were not")
    falls_back(copy.deepcopy(ours).to("meta"), x.to("meta"), 0.5, match="x is on meta")
    falls_back(ours, x.as_subclass(Odd), 0.5, match="argument 0 is a Odd")


@torch.no_grad()
def test_another_number_of_dimensions_is_left_to_the_reference(written):
    ours, _ = pair(load(written), 6)
    falls_back(ours, torch.randn(2, 4, 6), 0.5, match="were not verified")


@torch.no_grad()
def test_a_number_of_another_type_is_not_the_one_that_was_verified(written):
    ours, _ = pair(load(written), 6)
    falls_back(ours, torch.randn(4, 6), torch.tensor(0.5).item() + 1, match="only 0.5")


@torch.no_grad()
def test_another_argument_of_the_constructor_is_not_verified(written):
    ours, reference = pair(load(written), 6, 3.0)
    x = torch.randn(4, 6)
    assert_same(falls_back(ours, x, 0.5, match="argument gain"), reference(x, 0.5))


@torch.no_grad()
def test_a_relation_between_axes_that_always_held_must_hold(tmp_path):
    square = PROBLEM.model_copy(
        update={
            "workloads": (
                Workload(id="report", split="report", axes={"rows": 4, "dim": 6}),
                Workload(id="small", split="search", axes={"rows": 2, "dim": 3}),
            )
        }
    )
    said = evaluation(square, agreed=("report", "small"))
    deliver(RunFolder(tmp_path), square, CANDIDATE, said, Cpp(), device="cpu")
    module = load(tmp_path)
    ours, _ = pair(module, 9)
    quietly(ours, torch.randn(6, 9), 0.5)
    falls_back(ours, torch.randn(5, 9), 0.5, match="were not verified")


@torch.no_grad()
def test_an_axis_that_was_never_varied_keeps_its_size(tmp_path):
    said = evaluation(agreed=("ragged", "failed"))
    deliver(RunFolder(tmp_path), PROBLEM, CANDIDATE, said, Cpp(), device="cpu")
    module = load(tmp_path)
    ours, _ = pair(module, 6)
    falls_back(ours, torch.randn(4, 6), 0.5, match="were not verified")


@torch.no_grad()
def test_without_a_compiler_the_reference_runs(written, monkeypatch):
    ours, reference = pair(load(written), 6)
    monkeypatch.setenv("PATH", "")
    x = torch.randn(4, 6)
    assert_same(falls_back(ours, x, 0.5, match=r"g\+\+.*not on the PATH"), reference(x, 0.5))


@torch.no_grad()
@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda file: file.unlink(), "cannot be read"),
        (lambda file: file.write_text("// mine\n"), "was changed after it was verified"),
    ],
)
def test_a_kernel_that_is_missing_or_changed_is_not_used(written, change, match):
    ours, reference = pair(load(written), 6)
    change(written / "best.cpp")
    x = torch.randn(4, 6)
    assert_same(falls_back(ours, x, 0.5, match=match), reference(x, 0.5))


@torch.no_grad()
def test_a_kernel_that_does_not_compile_here_says_what_the_compiler_said(written):
    module = (written / "best_module.py").read_text()
    (written / "best_module.py").write_text(module.replace("'-std=c++17'", "'-std=c++99'"))
    ours, _ = pair(load(written), 6)
    falls_back(ours, torch.randn(4, 6), 0.5, match=r"cannot build it here: .*c\+\+99")


def test_a_built_kernel_is_kept_for_the_next_process(written, own_cache):
    ours, _ = pair(load(written), 6)
    quietly(ours, torch.randn(4, 6), 0.5)
    (kept,) = own_cache.iterdir()
    built = kept.stat().st_mtime_ns
    again, _ = pair(load(written), 6)
    quietly(again, torch.randn(4, 6), 0.5)
    assert [p.stat().st_mtime_ns for p in own_cache.iterdir()] == [built]


def _call_once(folder):
    ours, reference = pair(load(folder), 6)
    x = torch.randn(4, 6)
    assert_same(quietly(ours, x, 0.5), reference(x, 0.5))


def test_processes_may_build_at_the_same_time(written, own_cache):
    script = (
        "import sys, warnings; warnings.simplefilter('error'); sys.path.insert(0, sys.argv[1])\n"
        "import torch, best_module\n"
        "with torch.no_grad(): best_module.ModelNew(6)(torch.randn(4, 6), 0.5)\n"
    )
    command = [sys.executable, "-c", script, str(written)]
    started = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for process in started:
        _, said = process.communicate(timeout=120)
        assert process.returncode == 0, said
    assert len(list(own_cache.iterdir())) == 1


@torch.no_grad()
def test_a_cache_that_others_may_write_is_not_used(written, own_cache):
    own_cache.mkdir(parents=True)
    own_cache.chmod(0o777)
    _call_once(written)
    assert list(own_cache.iterdir()) == []


@torch.no_grad()
def test_evaluation_mode_is_verified_when_the_reference_does_not_look_at_it(written):
    ours, _ = pair(load(written), 6)
    quietly(ours.eval(), torch.randn(4, 6), 0.5)


@torch.no_grad()
def test_a_reference_that_looks_at_its_mode_is_verified_in_one_mode_only(tmp_path):
    text = REFERENCE.replace("+ self.offset", "+ self.offset * (1 if self.training else 3)")
    source = Source(files={"scale.py": text}, entry_point="scale.py::Model")
    looking = PROBLEM.model_copy(update={"reference": source})
    deliver(RunFolder(tmp_path), looking, CANDIDATE, evaluation(), Cpp(), device="cpu")
    ours, reference = pair(load(tmp_path), 6)
    x = torch.randn(4, 6)
    assert_same(quietly(ours, x, 0.5), reference(x, 0.5))
    wanted = reference.eval()(x, 0.5)
    assert_same(falls_back(ours.eval(), x, 0.5, match="not verified in evaluation mode"), wanted)


def test_it_compiles_to_the_graph_of_the_reference(written):
    ours, reference = pair(load(written), 6)
    x = torch.randn(4, 6)
    with torch.no_grad():
        compiled = torch.compile(ours, backend="eager", fullgraph=True)
        assert_same(compiled(x, 0.5), reference(x, 0.5))


def test_the_module_needs_nothing_of_kernelwright(written):
    text = (written / "best_module.py").read_text()
    assert "import kernelwright" not in text
    assert "from kernelwright" not in text


def test_the_files_say_what_was_found_and_checked(written):
    for name in ("best.cpp", "best_module.py"):
        head = (written / name).read_text()[:2000]
        assert 'Problem      Scale "and" shift' in head
        assert "2.00x [" in head
        assert "over eager" in head
        assert "any rows, any dim" in head


MODULE = """\
import torch
import torch.nn as nn
import helper_that_may_be_missing


class ModelNew(nn.Module):
    def __init__(self, dim, gain=2.0):
        super().__init__()
        self.weight = nn.Parameter(torch.rand(dim))
        self.register_buffer("offset", torch.zeros(dim))

    def forward(self, x, shift):
        self.calls = getattr(self, "calls", 0) + 1
        return x * self.weight * 2 + shift + self.offset, x.sum(1)
"""


def deliver_module(folder, text):
    source = Source(files={"kernel.py": text}, entry_point="kernel.py::ModelNew")
    made = Candidate(problem_id="scale", language="python", source=source, lane="module")
    said = evaluation(candidate=made)
    deliver(RunFolder(folder), PROBLEM, made, said, Python(), device="cpu")
    return load(folder)


@torch.no_grad()
def test_a_kernel_in_python_is_used_for_what_was_verified_and_else_the_reference(tmp_path):
    module = deliver_module(tmp_path, MODULE.replace("import helper_that_may_be_missing\n", ""))
    ours = module.ModelNew(6)
    ours.offset.add_(1.0)
    x = torch.randn(4, 6)
    wanted = x * ours.weight * 2 + 0.5 + 1.0
    result = quietly(ours, x, 0.5)
    torch.testing.assert_close(result["y"], wanted)
    torch.testing.assert_close(result["n"][0], x.sum(1))
    assert ours.calls == 1
    result = falls_back(ours, x.double(), 0.5, match="float64")
    torch.testing.assert_close(result["y"], wanted, check_dtype=False)
    assert ours.calls == 1


@torch.no_grad()
def test_a_kernel_in_python_that_cannot_be_imported_leaves_the_reference(tmp_path):
    module = deliver_module(tmp_path, MODULE)
    ours, x = module.ModelNew(6), torch.randn(4, 6)
    result = falls_back(ours, x, 0.5, match="ModuleNotFoundError.*helper_that_may_be_missing")
    torch.testing.assert_close(result["y"], x * ours.weight * 2 + 0.5)


def test_gradients_of_a_kernel_in_python_come_from_the_reference(tmp_path):
    module = deliver_module(tmp_path, MODULE.replace("import helper_that_may_be_missing\n", ""))
    ours, x = module.ModelNew(6), torch.randn(4, 6)
    falls_back(ours, x, 0.5, match="requires grad")["y"].sum().backward()
    torch.testing.assert_close(ours.weight.grad, 2 * x.sum(0))


GRADIENT = """\
extern "C" void kernel(const float* x, const float* weight, const float* grad_out,
                       float* grad_x, float* grad_weight, int64_t rows, int64_t dim) {
    for (int64_t c = 0; c < dim; ++c) grad_weight[c] = 0;
    for (int64_t i = 0; i < rows * dim; ++i) {
        grad_x[i] = grad_out[i] * weight[i % dim];
        grad_weight[i % dim] += grad_out[i] * x[i];
    }
    MARK
}
"""

SCALE = """\
import torch
import torch.nn as nn

rows, dim = 4, 6


class Model(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.weight = nn.Parameter(torch.rand(dim))

    def forward(self, x):
        return x * self.weight


def get_inputs():
    return [torch.randn(rows, dim)]


def get_init_inputs():
    return [dim]
"""

BACKWARD = PROBLEM.model_copy(
    update={
        "id": "scale_backward",
        "direction": "backward",
        "cotangents": {"grad_out": "out"},
        "gradients": {"grad_x": "x", "grad_weight": "weight"},
        "inputs": (
            tensor("x", ("rows", "dim")),
            tensor("weight", ("dim",), "weight"),
            tensor("grad_out", ("rows", "dim")),
        ),
        "outputs": (
            tensor("grad_x", ("rows", "dim"), "output"),
            tensor("grad_weight", ("dim",), "output"),
        ),
        "reference": Source(files={"scale.py": SCALE}, entry_point="scale.py::Model"),
    }
)


@pytest.fixture
def gradients(tmp_path):
    """The module delivered for a backward kernel, which `mark` tells from the reference."""

    def of(mark=""):
        folder = tmp_path / "backward"
        folder.mkdir()
        candidate = CANDIDATE.model_copy(
            update={
                "source": Source(
                    files={"kernel.cpp": GRADIENT.replace("MARK", mark)},
                    entry_point="kernel.cpp::kernel",
                ),
                "tunables": (),
                "settings": {},
            }
        )
        found = evaluation(BACKWARD, candidate)
        deliver(RunFolder(folder), BACKWARD, candidate, found, Cpp(), device="cpu")
        return load(folder)

    return of


def test_a_backward_module_takes_cotangents_and_returns_gradients(gradients):
    model = gradients().ModelNew(6)
    x, grad = torch.randn(4, 6, requires_grad=True), torch.randn(4, 6)
    grad_x, grad_weight = model(x, grad)
    weight = model.weight.detach()
    assert torch.allclose(grad_x, grad * weight)
    assert torch.allclose(grad_weight, (grad * x.detach()).sum(0))
    assert not grad_x.requires_grad


def test_a_backward_module_runs_its_kernel_and_falls_back_to_autograd(gradients):
    model = gradients("grad_x[0] = 77;").ModelNew(6)
    x, grad = torch.randn(4, 6), torch.randn(4, 6)
    assert float(model(x, grad)[0][0, 0]) == 77
    model.weight.requires_grad_(False)
    double = model.double()
    with pytest.warns(RuntimeWarning, match="The reference runs instead"):
        grad_x, grad_weight = double(x.double(), grad.double())
    assert torch.allclose(grad_x, grad.double() * double.weight)
    assert torch.allclose(grad_weight, (grad * x).sum(0).double())
    assert not double.weight.requires_grad


def test_a_backward_module_says_what_it_takes(gradients):
    text = Path(gradients().__file__).read_text()
    assert "The gradients of Model of scale.py, made faster" in text
    said = " ".join(line.lstrip("# ") for line in text.splitlines()[:40])
    assert "then grad_out, and returns grad_x, grad_weight" in said


def test_a_file_that_torch_builds_is_handed_back_as_it_is(tmp_path):
    source = Source(files={"kernel.py": MODULE}, entry_point="kernel.py::ModelNew")
    made = Candidate(problem_id="scale", language="torch_extension", source=source, lane="module")
    said = evaluation(candidate=made)
    written = deliver(RunFolder(tmp_path), PROBLEM, made, said, TorchExtension(), device="cpu")
    assert [path.name for path in written] == ["best.py"]
    assert written[0].read_text().endswith(MODULE)
