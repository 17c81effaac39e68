"""Files of launches in the native runner for a GPU, over a driver that stands in for NVIDIA's."""

import struct
from dataclasses import replace

import pytest

from kernelwright.core.evaluation import Crashed, WrongResult
from kernelwright.core.problem import Source
from kernelwright.evaluate.building.builder import Built
from kernelwright.evaluate.correctness.exam import Exam
from kernelwright.evaluate.correctness.notes import Verified
from kernelwright.evaluate.correctness.verify import run_stage
from kernelwright.evaluate.defences import ALL_ON
from kernelwright.evaluate.running.bodies import body, scalar_mask
from kernelwright.evaluate.running.launches import (
    Fill,
    Kernel,
    Launch,
    Place,
    Program,
    images,
    packed,
)
from kernelwright.problems.reference import Reference

REFERENCE = """
import torch
import torch.nn as nn

rows = 12
columns = 20


class Model(nn.Module):
    def forward(self, x):
        return x + 0.5


def get_inputs():
    return [torch.randn(rows, columns)]


def get_init_inputs():
    return []
"""
X, OUT, MORE = Place("tensor", 0), Place("tensor", 1), Place("scratch", 0)
PLUS = Kernel(b"no code", "plus", 0, 32)
NOTHING_MORE = Fill(MORE, 4, 4, 0)


def plus(count, *, value=0.5, out=OUT):
    number = struct.pack("<f", value)
    return Launch(0, (1, 1, 1), (X, MORE, out, struct.pack("<q", count), number))


@pytest.fixture(scope="module")
def exam():
    source = Source(files={"plus.py": REFERENCE}, entry_point="plus.py::Model")
    with Reference.open(source) as reference:
        found = Exam(reference.load(), reference, ALL_ON, "cuda")
        yield found
        found.close()


@pytest.fixture
def judged(exam, driver, tmp_path):
    """From the steps of a call on so many elements to what the screen says."""
    variables = {"LD_LIBRARY_PATH": str(driver), "FAKE_DEVICE": str(driver)}

    def file(steps, axes=None):
        known = [
            axes or tuple(w.axes[a] for a in exam.problem.axes) for w in exam.problem.workloads
        ]
        made = [Program(one, (16,), tuple(steps(one[0] * one[1]))) for one in known]
        return packed([PLUS], made)

    def judge(steps, *, axes=None, cut=None):
        artifact = tmp_path / "kernel.launches"
        artifact.write_bytes(file(steps, axes)[:cut])
        runner = body(
            Built(folder=tmp_path, artifact=artifact, log=""), "native", variables, tmp_path,
            device="cuda", scalars=scalar_mask(exam.problem),
        )  # fmt: skip
        with exam.lend("screen", "module") as cases:
            return run_stage(cases, runner, "native", "screen", "process", tmp_path / "log", ALL_ON)

    return judge


def test_the_launches_of_a_call_are_made_on_its_own_tensors(judged):
    assert isinstance(judged(lambda n: [NOTHING_MORE, plus(n)]), Verified)


def test_a_wrong_number_is_a_wrong_result(judged):
    assert isinstance(judged(lambda n: [NOTHING_MORE, plus(n, value=0.75)]), WrongResult)


def test_memory_of_its_own_is_not_zero_by_itself(judged):
    found = judged(lambda n: [plus(n)])
    assert isinstance(found, WrongResult)


@pytest.mark.parametrize("fill", [Fill(MORE, 16, 1, 0), Fill(MORE, 8, 2, 0), Fill(MORE, 4, 4, 0)])
def test_memory_is_filled_in_every_width(judged, fill):
    assert isinstance(judged(lambda n: [fill, plus(n)]), Verified)


def test_steps_are_made_in_their_order(judged):
    assert isinstance(judged(lambda n: [plus(n), NOTHING_MORE]), WrongResult)


def test_offsets_count_in_bytes(judged):
    behind = replace(OUT, offset=4)
    found = judged(lambda n: [NOTHING_MORE, plus(n, out=behind)])
    assert isinstance(found, WrongResult)
    assert {m.kind for m in found.mismatches} >= {"out_of_bounds_write"}


def test_sizes_that_were_not_compiled_for_are_an_error(judged):
    found = judged(lambda n: [NOTHING_MORE, plus(n)], axes=(3, 7))
    assert isinstance(found, Crashed)
    assert found.signal == "CUDA error 500"


@pytest.mark.parametrize("cut", [41, 200, -900])
def test_a_file_that_ends_too_early_ends_its_own_process(judged, cut):
    assert isinstance(judged(lambda n: [NOTHING_MORE, plus(n)], cut=cut), Crashed)


def test_a_kernel_that_is_not_there_is_an_error(judged):
    other = replace(plus(1), kernel=7)
    assert isinstance(judged(lambda n: [NOTHING_MORE, other]), Crashed)


def test_the_code_of_the_kernels_is_found_again():
    kernels = [Kernel(bytes(size), f"k{size}", 0, 32) for size in (1, 8, 13)]
    assert images(packed(kernels, [])) == [k.image for k in kernels]


@pytest.mark.parametrize("file", [b"", b"\x7fELF" * 20, packed([PLUS], [])[:50]])
def test_what_is_no_such_file_is_said_to_be_none(file):
    with pytest.raises(ValueError, match=r"."):
        images(file)
