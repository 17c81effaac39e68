"""What the Triton sketches draft computes what the program computes, and compiles for a GPU."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from kernelwright.languages.triton import Triton

pytest.importorskip("triton", reason="the package triton is not installed")

RUN = [
    "rmsnorm_silu", "softmax", "masked_softmax", "layer_norm_of_two_dimensions", "group_norm",
    "bias_for_each_channel", "swiglu", "gate_of_a_slice", "logsumexp", "cross_entropy",
    "positions", "several_outputs", "over_the_middle", "over_the_first", "to_a_scalar",
    "activations", "moved_elements", "lower_triangle", "whole_numbers", "numbers_from_sizes",
    "double_precision",
]  # fmt: skip
COMPILED = ["rmsnorm_silu", "cross_entropy", "positions", "over_the_middle", "activations"]
# With a block of 256 elements the second size needs two, the last one not full.
BLOCK = 256
SIZES = ({"B": 1, "C": 2, "D": 4}, {"B": 2, "C": 4, "D": 302})
TYPES = {"float32": "*fp32", "int64": "*i64", "bool": "*i1", "bfloat16": "*bf16"}
SCRIPT = Path(__file__).with_name("run_triton.py")


def child(folder, what, **environment):
    command = [sys.executable, str(SCRIPT), what, str(folder)]
    subprocess.run(command, env=os.environ | environment, check=True, timeout=600)


def drafted(studied, name, folder):
    """One folder for each draft of one file."""
    for number, candidate in enumerate(studied.candidates("triton")):
        built = Triton().build(candidate.tuned({"BLOCK": BLOCK}), studied.problem)
        place = folder / f"{name}-{number}"
        place.mkdir()
        place.joinpath("kernel.py").write_text(built.files["kernel.py"])
        yield place


@pytest.fixture(scope="module")
def returned(study, make_case, tmp_path_factory):
    """Every draft of every file, called once at each of the sizes: the folders, by file."""
    folder, cases, places = tmp_path_factory.mktemp("triton"), {}, {}
    for name in RUN:
        studied = study(name)
        cases[name] = [make_case(studied, sizes) for sizes in SIZES]
        places[name] = list(drafted(studied, name, folder))
        for place in places[name]:
            for number, (case, sizes) in enumerate(zip(cases[name], SIZES, strict=True)):
                weights = case.tensors[len(case.given) :]
                kept = {"inputs": case.given, "weights": weights, "sizes": [*sizes.values()]}
                torch.save(kept, place / f"case{number}.pt")
    child(folder, "run", TRITON_INTERPRET="1")
    return places, cases


@pytest.mark.parametrize("name", RUN)
def test_every_draft_agrees_with_the_program(name, returned, agree):
    places, cases = returned
    for place in places[name]:
        error = place / "error.txt"
        assert not error.exists(), error.read_text()[-3000:]
        for number, case in enumerate(cases[name]):
            found = torch.load(place / f"out_case{number}.pt")
            assert [tuple(t.shape) for t in found] == case.shapes
            for expected, tensor in zip(case.expected, found, strict=True):
                agree(expected, tensor.numpy())


@pytest.fixture(scope="module")
def compiled(study, tmp_path_factory):
    folder, places = tmp_path_factory.mktemp("ptx"), {}
    for name in COMPILED:
        studied = study(name)
        places[name] = list(drafted(studied, name, folder))
        tensors = studied.problem.inputs + studied.problem.outputs
        types = {s.name: TYPES[s.dtype] for s in tensors} | dict.fromkeys("BCD", "i32")
        types |= {f"kept_{n}": "*fp32" for n in range(9)}
        for place in places[name]:
            place.joinpath("types.json").write_text(json.dumps(types))
    child(folder, "compile")
    return places


@pytest.mark.parametrize("name", COMPILED)
def test_every_kernel_compiles_for_a_gpu_that_is_not_here(name, compiled):
    for place in compiled[name]:
        error = place / "error.txt"
        assert not error.exists(), error.read_text()[-3000:]
        sizes = json.loads((place / "compiled.json").read_text())
        assert sizes
        assert min(sizes.values()) > 500
