"""compute-sanitizer in front of real kernels. Skipped where there is no device or no such tool."""

import pytest

from kernelwright.core.evaluation import Crashed, Passed, Rejected
from kernelwright.core.problem import Source
from kernelwright.evaluate.building.builder import Builder, Built
from kernelwright.evaluate.correctness import device_audit
from kernelwright.evaluate.correctness.device_audit import Audit, NotLearnt, Watched
from kernelwright.evaluate.correctness.exam import Exam
from kernelwright.evaluate.defences import ALL_ON
from kernelwright.evaluate.isolation.levels import isolation_level
from kernelwright.evaluate.opening import open_judge
from kernelwright.evaluate.running.bodies import body, scalar_mask, write_setup
from kernelwright.languages.cuda import Cuda
from kernelwright.languages.machine import cuda_devices
from kernelwright.languages.reading import candidate_from_text
from kernelwright.languages.triton import Triton
from kernelwright.problems.reference import Reference

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(cuda_devices() == 0, reason="this machine has no CUDA device"),
    pytest.mark.skipif(device_audit.find() is None, reason="compute-sanitizer is not here"),
]

PROBLEM = """
import torch
import torch.nn as nn

rows = 48
columns = 256


class Model(nn.Module):
    def forward(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5)


def get_inputs():
    return [torch.randn(rows, columns)]


def get_init_inputs():
    return []
"""
# A block for each row. Every mistake below leaves all outputs, and the bytes around them, right.
CUDA = """
__global__ void rms(const float* x, float* out, float* scratch, int64_t rows, int64_t columns) {{
    __shared__ float sums[256];
    __shared__ float scale;
    const float* row = x + int64_t(blockIdx.x) * columns;
    float sum = 0;
    for (int64_t i = threadIdx.x; i < columns; i += 256) sum += row[i] * row[i];
    sums[threadIdx.x] = sum;
    __syncthreads();
    for (int step = 128; step > 0; step /= 2) {{
        if (threadIdx.x < step) sums[threadIdx.x] += sums[threadIdx.x + step];
        __syncthreads();
    }}
    if (threadIdx.x == 0) scale = rsqrtf(sums[0] / columns + 1e-5f);
    __syncthreads();
    for (int64_t i = threadIdx.x; i < columns; i += 256)
        out[int64_t(blockIdx.x) * columns + i] = row[i] * scale;
    {mistake}
}}

extern "C" void launch(
    const float* x, float* out, int64_t rows, int64_t columns, cudaStream_t stream
) {{
    if (rows * columns == 0) return;
    float* scratch;
    cudaMallocAsync(&scratch, 1024, stream);
    rms<<<unsigned(rows), 256, 0, stream>>>(x, out, scratch, rows, columns);
    cudaFreeAsync(scratch, stream);
}}
"""
MISTAKES = {
    "none": "",
    # It puts back what was there, so nothing that is compared changes.
    "a write past the end": (
        "if (blockIdx.x == rows - 1 && threadIdx.x == 0) {"
        " volatile float* end = out + rows * columns; *end = *end; }"
    ),
    "a read past the end": (
        "if (blockIdx.x == rows - 1 && threadIdx.x == 0 && x[rows * columns] == 12345.0f)"
        " out[0] = 0;"
    ),
    # Nobody uses what two warps fight about.
    "a race": (
        "volatile float* s = sums; s[threadIdx.x] = threadIdx.x;"
        " if (s[255 - threadIdx.x] == 12345.0f) out[0] = 0;"
    ),
    "a read of what nobody wrote": "if (scratch[threadIdx.x] == 12345.0f) out[0] = 0;",
    # Threads that have ended count as having arrived, so the others go on; and those that end at
    # once, without the second barrier, are none that the tool would name.
    "a barrier that not all reach": "if (threadIdx.x < 200) __syncthreads(); __syncthreads();",
    "a barrier of other threads": "if (threadIdx.x % 32 < 16) __syncwarp(0xffff0000u);",
}
TRITON = """
import torch
import triton
import triton.language as tl


@triton.jit
def rms(x, out, columns, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    row = tl.program_id(0).to(tl.int64) * columns
    inside = i < columns
    value = tl.load(x + row + i, mask={mask}, other=0.0)
    value = tl.where(inside, value, 0.0)
    scale = tl.rsqrt(tl.sum(value * value, 0) / columns + 1e-5)
    tl.store(out + row + i, value * scale, mask=inside)


class ModelNew(torch.nn.Module):
    def forward(self, x):
        out = torch.empty_like(x)
        rows, columns = x.shape
        if x.numel():
            rms[(rows,)](x, out, columns, BLOCK=triton.next_power_of_2(columns))
        return out
"""


@pytest.fixture(scope="module")
def reference():
    source = Source(files={"rms.py": PROBLEM}, entry_point="rms.py::Model")
    with Reference.open(source, device="cuda") as opened:
        yield opened


@pytest.fixture(scope="module")
def problem(reference):
    return reference.load()


@pytest.fixture(scope="module")
def exam(problem, reference):
    found = Exam(problem, reference, ALL_ON, "cuda")
    yield found
    found.close()


@pytest.fixture(scope="module")
def builder(tmp_path_factory):
    level, _ = isolation_level()
    found = Builder(tmp_path_factory.mktemp("builds"), level)
    yield found
    found.close()


@pytest.fixture
def watched(problem, exam, builder, tmp_path):
    """From a text to what a tool says, and what the process printed where it says nothing."""

    def audited(text, language, tool):
        candidate = candidate_from_text(problem, text, language.name)
        plan = language.build(candidate, problem, sanitize=True)
        built = builder.build(plan)
        assert isinstance(built, Built), built
        setup, log = tmp_path / "problem.json", tmp_path / "log"
        write_setup(problem, "cuda", setup)
        runner = body(
            built, plan.lane, plan.environment, setup, device="cuda", sanitize=True,
            scalars=scalar_mask(problem),
        )  # fmt: skip
        with exam.lend("audit", plan.lane) as cases:
            audit = Audit(
                runner=runner, lane=plan.lane, source=candidate.source.files, cases=cases,
                level=isolation_level()[0], log=log, defences=ALL_ON,
            )  # fmt: skip
            found = audit.watch(tool)
        if isinstance(found, NotLearnt):
            pytest.fail(f"{found.why}\n{log.read_text() if log.exists() else ''}")
        print(found)
        return found

    return audited


@pytest.mark.parametrize("tool", device_audit.tools("native", ALL_ON))
def test_a_right_kernel_is_right_under_each_tool(watched, tool):
    assert isinstance(watched(CUDA.format(mistake=""), Cuda(), tool), Watched)


@pytest.mark.parametrize(
    ("mistake", "tool", "kind"),
    [
        ("a write past the end", "memcheck", "Invalid __global__"),
        ("a read past the end", "memcheck", "Invalid __global__ read of size 4 bytes"),
        ("a race", "racecheck", "Race reported between"),
        ("a read of what nobody wrote", "initcheck", "Uninitialized __global__ memory read"),
        ("a barrier that not all reach", "synccheck", "Barrier error detected"),
        ("a barrier of other threads", "synccheck", "Barrier error detected"),
    ],
)
def test_a_mistake_is_found_with_its_line(watched, mistake, tool, kind):
    text = CUDA.format(mistake=MISTAKES[mistake])
    found = watched(text, Cuda(), tool)
    assert isinstance(found, Crashed if tool == "memcheck" else Rejected), found
    evidence = found.detail if isinstance(found, Crashed) else found.evidence
    line = text[: text.index(MISTAKES[mistake])].count("\n") + 1
    assert kind in evidence
    assert f"kernel.cu:{line}" in evidence
    assert "rms" in evidence


@pytest.mark.parametrize("tool", device_audit.tools("module", ALL_ON))
def test_a_right_triton_kernel_is_right_under_each_tool(watched, tool):
    assert isinstance(watched(TRITON.format(mask="inside"), Triton(), tool), Watched)


def test_a_triton_kernel_that_reads_past_the_end_is_found(watched):
    found = watched(TRITON.format(mask="i >= 0"), Triton(), "memcheck")
    assert isinstance(found, Crashed), found
    assert "Invalid __global__ read" in found.detail
    assert "kernel.py:" in found.detail


@pytest.mark.slow
def test_promotion_refuses_what_only_the_tool_sees():
    source = Source(files={"rms.py": PROBLEM}, entry_point="rms.py::Model")
    with open_judge(source, device="cuda") as judge:
        said = {}
        for name in ("none", "a write past the end"):
            text = CUDA.format(mistake=MISTAKES[name])
            said[name] = judge.judge(candidate_from_text(judge.problem, text, "cuda"), "promotion")
            print(name, said[name].stage_s, said[name].checks, said[name].not_checked)
    assert isinstance(said["none"].outcome, Passed), said["none"]
    assert not any("compute-sanitizer mem" in text for text in said["none"].not_checked)
    outcome = said["a write past the end"].outcome
    assert isinstance(outcome, Crashed), outcome
    assert outcome.stage == "sanitize"
