"""What torch.compile generates in Triton, made to stand alone, computes what the program computes.

There is no GPU here: Inductor writes the same code for a CPU when it is told to, and Triton's
interpreter runs it.
"""

import json
import re

import pytest

pytest.importorskip("triton", reason="the package triton is not installed")

from kernelwright.knowledge.compiled import NoSeeds, Seeds, seeds
from kernelwright.problems import compiling

NAMES = [
    "softmax", "statistics_over_a_batch", "positions", "whole_numbers", "permuted",
    "one_place_written_in_each_row",
]  # fmt: skip
COMPILED = ["softmax", "statistics_over_a_batch"]  # all their tensors are of float32
BLOCK = 64
SIZES = ({"B": 1, "C": 2, "D": 4}, {"B": 5, "C": 6, "D": 101})
SEEN = ({"B": 7, "C": 6, "D": 36}, {"B": 5, "C": 10, "D": 22}, {"B": 12, "C": 8, "D": 29})


@pytest.fixture(scope="module")
def inductor():
    """Inductor, which writes Triton for a CPU."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(compiling._SETTINGS, "cpu_backend", "triton")
        # As on a GPU, a variance is made in one pass.
        patch.setitem(compiling._SETTINGS, "cpp.use_two_step_variance_threshold", 0)
        # The code says for which driver it is, and there is none.
        patch.setattr("torch.utils._triton.triton_hash_with_backend", lambda: "none")
        yield lambda studied: compiling.compiled(
            studied.problem.reference, studied.problem.direction, "cpu", studied.problem
        )


@pytest.fixture(scope="module")
def seed(tracing, inductor):
    """From a file's text to its study, and its seed or why there is none."""

    def made(text):
        studied = tracing(text, SEEN)
        return studied, seeds(studied.problem, inductor(studied), "triton")

    return made


@pytest.fixture(scope="module")
def found(seed):
    """The studies of all files, and their seeds."""
    from .conftest import FILES

    made = {name: seed(FILES[name]) for name in NAMES}
    for name, (_, one) in made.items():
        assert isinstance(one, Seeds), (name, one)
    return made


@pytest.fixture(scope="module")
def returned(found, triton_runs):
    """Each seed, called once at each of the sizes."""
    runs = triton_runs()
    for name, (studied, one) in found.items():
        runs.add(name, studied, SIZES, candidates=one.candidates, BLOCK=BLOCK, COLUMNS=8)
    runs.run(TRITON_INTERPRET="1")
    return runs


@pytest.mark.parametrize("name", NAMES)
def test_a_seed_agrees_with_the_program_at_tiny_and_ragged_sizes(name, returned):
    returned.check(name)


def test_a_seed_knows_nothing_of_torch_s_compiler_nor_of_the_sizes_that_were_seen(returned):
    for name in NAMES:
        kernels = returned.texts[name][0].split("import operator")[1]
        assert "inductor" not in kernels
        assert "triton_helpers" not in kernels
        seen = {str(size) for sizes in SEEN for size in sizes.values() if size > 12}
        assert not seen & set(re.findall(r"\b\d+\b", kernels))


def test_a_seed_compiles_for_a_gpu_that_is_not_here(found, triton_runs):
    runs = triton_runs()
    types = {f"{kind}_ptr{n}": "*fp32" for kind in ("in", "out", "in_out") for n in range(9)}
    for name in COMPILED:
        studied, one = found[name]
        runs.add(name, studied, (), candidates=one.candidates)
        for place in runs.places[name]:
            place.joinpath("types.json").write_text(json.dumps(types))
    runs.run("compile")
    for place in (place for name in COMPILED for place in runs.places[name]):
        assert not place.joinpath("error.txt").exists()
        assert min(json.loads(place.joinpath("compiled.json").read_text()).values()) > 500


def test_what_is_generated_for_another_device_is_named(found, inductor):
    studied, _ = found["softmax"]
    refused = seeds(studied.problem, inductor(studied), "cpp")
    assert isinstance(refused, NoSeeds)
    assert "generates code in triton, and not in cpp" in refused.reason


def test_a_kernel_that_calls_what_only_torch_has_is_refused_by_its_name(make_file, seed):
    _, refused = seed(make_file("return torch.lgamma(x)"))
    assert isinstance(refused, NoSeeds)
    assert "libdevice.lgamma" in refused.reason


def test_a_size_that_positions_are_divided_by_is_a_constant(make_file, seed):
    inputs = "torch.randn(B, D)", "torch.randn(B)"
    _, found = seed(make_file("return x + y[:, None]", inputs=inputs))
    text = found.candidates[0].source.text
    head = re.search(r"^def triton_\w+\((.*)\):$", text, re.MULTILINE)[1]
    divided = re.search(r"= xindex // (\w+)", text)[1]
    assert f"{divided}: tl.constexpr" in head


def test_every_access_is_masked_though_all_sizes_that_were_seen_fill_their_tiles(
    make_file, tracing, inductor
):
    even = [{"B": b, "C": 2, "D": d} for b, d in ((4, 4096), (8, 8192), (16, 12288))]
    studied = tracing(make_file("return x * 2.0"), even)
    text = seeds(studied.problem, inductor(studied), "triton").candidates[0].source.text
    accesses = re.findall(r"tl\.(?:load|store)\(.*\)", text)
    assert len(accesses) == 2
    assert all("xmask" in access for access in accesses)
    assert "xmask = xindex < xnumel" in text
