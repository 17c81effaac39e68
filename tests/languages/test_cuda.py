"""CUDA candidates, built to machine code where nvcc is; nothing here needs a device."""

import importlib.util
import re
import subprocess
from pathlib import Path

import pytest

from kernelwright.core.errors import BuildRefused
from kernelwright.languages.cuda import Cuda, Resources, resources
from kernelwright.languages.machine import DEFAULT_ARCH, cuda_arch, cuda_devices
from kernelwright.languages.reading import candidate_from_text
from kernelwright.languages.signature import signature
from kernelwright.testing.languages import PROBLEM

nvcc = pytest.mark.skipif(Cuda().missing("build") is not None, reason=str(Cuda().missing("build")))

SIGNATURE = signature(PROBLEM).declaration("launch", after=["cudaStream_t stream"])
CANDIDATE = f"""
// tunable: THREADS = 128 in {{64, 128}}
__global__ void scale(const float* x, const float16* weight, float* out, int64_t width) {{
    __shared__ float row[THREADS];
    for (int64_t c = threadIdx.x; c < width; c += THREADS) {{
        row[threadIdx.x] = x[blockIdx.x * width + c] * float(weight[c]);
        out[blockIdx.x * width + c] = row[threadIdx.x];
    }}
}}

{SIGNATURE} {{
    if (rows > 0) scale<<<rows, THREADS, 0, stream>>>(x, layers_0_weight, out, width);
}}
"""


def candidate(text=CANDIDATE, **changes):
    return candidate_from_text(PROBLEM, text, "cuda").model_copy(update=changes)


@nvcc
def test_a_candidate_becomes_machine_code_with_known_resources(carry_out):
    built = carry_out(Cuda().build(candidate(), PROBLEM))
    assert built.status == 0, built.said
    (kernel,) = resources(built.said)
    assert "scale" in kernel.kernel
    assert kernel.arch == cuda_arch()
    assert 8 <= kernel.registers <= 255
    assert (kernel.spill_bytes, kernel.shared_bytes) == (0, 4 * 128)
    exported = subprocess.run(
        ["nm", "-D", "--defined-only", built.folder / "kernel.so"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert {"kw_entry", "kw_entry_on"} <= set(re.findall(r"\S+$", exported, re.MULTILINE))
    assert " launch" not in exported


@nvcc
def test_the_machine_code_stores_to_memory(carry_out):
    spec = importlib.util.find_spec("triton")
    if spec is None or spec.origin is None:
        pytest.skip("cuobjdump comes with the package triton, which is not installed")
    tool = Path(spec.origin).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    built = carry_out(Cuda().build(candidate(), PROBLEM))
    sass = subprocess.run(
        [tool, "-sass", built.folder / "kernel.so"], capture_output=True, text=True, check=True
    ).stdout
    assert "STG.E" in sass


@nvcc
def test_a_wrong_signature_is_told_the_right_one(carry_out):
    text = CANDIDATE.replace(", cudaStream_t stream)", ")").replace(", 0, stream", "")
    built = carry_out(Cuda().build(candidate(text), PROBLEM))
    assert built.status != 0
    assert f"write the function as: {SIGNATURE}" in built.said


@nvcc
def test_the_guides_example_compiles(carry_out):
    blocks = Cuda().guide(PROBLEM).split("```cpp\n")
    assert " ".join(blocks[1].split("```")[0].split()) == SIGNATURE.replace("launch(", "launch( ")
    x, shift, out = PROBLEM.inputs[0], PROBLEM.inputs[2], PROBLEM.outputs[0]
    example = PROBLEM.model_copy(update={"inputs": (x, shift), "outputs": (out,)})
    text = blocks[-1].split("```")[0]
    built = carry_out(Cuda().build(candidate_from_text(example, text, "cuda"), example))
    assert built.status == 0, built.said
    assert len(resources(built.said)) == 1


def test_resources_are_read_from_the_assemblers_log():
    log = """
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function '_Z4softPKf' for 'sm_90'
ptxas info    : Function properties for _Z4softPKf
    64 bytes stack frame, 120 bytes spill stores, 96 bytes spill loads
ptxas info    : Used 255 registers, used 1 barriers, 64 bytes cumulative stack size, 2048 bytes smem
ptxas info    : Compiling entry function '_Z3addPf' for 'sm_90'
ptxas info    : Function properties for _Z3addPf
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 10 registers, used 0 barriers
"""
    soft, add = resources(log)
    assert soft == Resources(
        kernel="_Z4softPKf", arch="sm_90", registers=255, spill_bytes=120, stack_bytes=64,
        shared_bytes=2048,
    )  # fmt: skip
    assert (add.registers, add.spill_bytes, add.shared_bytes) == (10, 0, 0)


def test_a_log_without_kernels_has_no_resources():
    assert resources("kernel.cu(3): error: expected a ';'") == ()


@pytest.mark.parametrize("option", ["-O3", "--use_fast_math", "-maxrregcount=64", "--fmad=false"])
def test_an_option_of_the_list_is_passed_on(option):
    plan = Cuda().build(candidate(build_options=(option,)), PROBLEM)
    assert option in plan.commands[0]


@pytest.mark.parametrize("option", ["-Xcompiler", "-ccbin=/tmp/x", "--run", "-maxrregcount=0x1"])
def test_an_option_outside_the_list_is_refused(option):
    with pytest.raises(BuildRefused, match="is not allowed"):
        Cuda().build(candidate(build_options=(option,)), PROBLEM)


def test_a_tunable_called_as_the_stream_would_be_is_no_clash():
    assert Cuda().build(candidate(CANDIDATE.replace("THREADS", "STREAM")), PROBLEM)


def test_without_a_device_candidates_are_built_and_not_run(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert cuda_devices() == 0
    assert cuda_arch() == DEFAULT_ARCH
    assert "no CUDA device" in Cuda().missing("run")
    assert "no CUDA device" in Cuda().missing("time")
