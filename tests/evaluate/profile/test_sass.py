"""What is read from a GPU's machine code: of text made up, and of kernels that triton compiles."""

import importlib.util
import subprocess
import sys

import pytest

from kernelwright.evaluate.building.builder import Built
from kernelwright.evaluate.profile.diagnose import diagnose
from kernelwright.evaluate.profile.disassembly import Facts, cuobjdump, gpu_facts
from kernelwright.evaluate.profile.sass import kernels

HAS_TRITON = importlib.util.find_spec("triton") is not None
compiled = pytest.mark.skipif(
    not HAS_TRITON or cuobjdump() is None, reason="the package triton is not installed"
)

# Compiles in a process of its own: triton reads its kernels' source from their file.
PROGRAM = """
import sys
import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

@triton.jit
def scale(x, y, n, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(y + i, tl.exp(tl.load(x + i)) * 2 + 1)

@triton.jit
def spill(x, y, n, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    a = tl.load(x + i)
    b = tl.load(x + i * n)
    for k in range(n):
        c = tl.load(y + i + k)
        a = a * b + c
        b = b * a + c
    tl.store(y + i, a + b)

@triton.jit
def product(x, y, n, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)[:, None] * BLOCK + tl.arange(0, BLOCK)[None, :]
    a = tl.load(x + i)
    tl.store(y + i, tl.dot(a, a, input_precision="tf32"))

for kernel, block in ((scale, 1024), (spill, 8192), (product, 64)):
    aligned = {(at,): [["tt.divisibility", 16]] for at in (0, 1)}
    source = ASTSource(
        fn=kernel, signature={"x": "*fp32", "y": "*fp32", "n": "i32", "BLOCK": "constexpr"},
        constexprs={(3,): block}, attrs=aligned,
    )
    warps = 1 if kernel is spill else 4
    made = triton.compile(source, target=GPUTarget("cuda", 90, 32), options={"num_warps": warps})
    with open(f"{sys.argv[1]}/{kernel.__name__}.cubin", "wb") as file:
        file.write(made.asm["cubin"])
"""


@pytest.fixture(scope="module")
def facts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cubins")
    program = folder / "program.py"
    program.write_text(PROGRAM)
    subprocess.run(
        [sys.executable, program, folder],
        check=True,
        stderr=subprocess.DEVNULL,
        env={"PATH": "/usr/bin:/bin", "TRITON_CACHE_DIR": str(folder / "cache")},
    )

    def of(name):
        return gpu_facts(Built(folder, folder / f"{name}.cubin", ""), "process")

    return of


@compiled
def test_neighbours_are_moved_128_bits_at_a_time(facts):
    (kernel,) = facts("scale").kernels
    assert (kernel.name, kernel.arch) == ("scale", "sm_90")
    assert (kernel.loads, kernel.stores) == ({128: 2}, {128: 2})
    assert kernel.mix["special"] == 8  # one exponential for each element of a thread
    assert 8 <= kernel.registers <= 64
    assert not kernel.spills
    assert not kernel.narrow


@compiled
def test_a_tile_that_is_too_large_spills_and_the_diagnosis_says_so(facts):
    found = facts("spill")
    (kernel,) = found.kernels
    assert kernel.spills
    assert kernel.stack_bytes > 0
    assert kernel.mix["local_stores"] > 0
    said = diagnose(found, None)
    assert said.bottleneck == "register_spills"
    assert {figure.name for figure in said.figures} == {
        "loads and stores of spilled values", "registers of a thread",
    }  # fmt: skip


@compiled
def test_a_product_runs_on_the_tensor_cores_and_through_shared_memory(facts):
    (kernel,) = facts("product").kernels
    assert kernel.mix["tensor_core"] > 0
    assert kernel.mix["shared_accesses"] > 0


TEXT = """
	code for sm_80
		Function : first
        /*0000*/                   LDG.E.64 R2, [R2.64] ;   /* 0x0000000000000000 */
                                                            /* 0x0000000000000000 */
        /*0010*/              @!P0 LDG.E.U8 R4, [R4.64] ;   /* 0x0000000000000000 */
        /*0020*/              @P1  STG.E [R6.64], R2 ;      /* 0x0000000000000000 */
        /*0030*/                   STL [R1], R2 ;           /* 0x0000000000000000 */
        /*0040*/                   NOP;                     /* 0x0000000000000000 */
		Function : second
        /*0000*/                   RED.E.ADD.F32 [R2.64], R5 ;  /* 0x0000000000000000 */
"""


def test_widths_predicates_and_classes_are_read():
    first, second = kernels(TEXT)
    assert (first.name, first.arch, first.instructions) == ("first", "sm_80", 4)
    assert (first.loads, first.stores) == ({8: 1, 64: 1}, {32: 1})
    assert first.local_accesses == 1
    assert (second.name, second.arch, second.mix) == ("second", "sm_80", {"atomics": 1})


def test_what_was_not_said_is_not_known_and_not_zero():
    first, _ = kernels(TEXT)
    assert (first.registers, first.stack_bytes, first.shared_bytes) == (None, None, None)
    assert not first.spills


def test_resources_belong_to_the_kernel_of_their_name():
    usage = " Function second:\n  REG:21 STACK:8 SHARED:512 LOCAL:0\n"
    first, second = kernels(TEXT, usage)
    assert first.registers is None
    assert (second.registers, second.stack_bytes, second.shared_bytes) == (21, 8, 512)


def test_a_stack_with_no_store_is_no_spill_and_the_assemblers_word_goes_first():
    (first, _) = kernels(TEXT, " Function first:\n  REG:21 STACK:8 SHARED:0 LOCAL:0\n")
    assert first.spills
    assert not first.model_copy(update={"spill_bytes": 0}).spills
    assert not first.model_copy(update={"mix": {}}).spills


def test_no_machine_code_is_no_kernel():
    assert kernels("") == ()
    assert Facts().kernels == ()
