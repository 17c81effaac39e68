"""What torch.compile generates, made to stand alone, computes what the program computes."""

import re

import pytest

from kernelwright.core.compiled import Compiled
from kernelwright.core.errors import ProblemError
from kernelwright.core.graph import Extent
from kernelwright.knowledge.compiled import NoSeeds, Seeds, seeds
from kernelwright.knowledge.compiled.joining import joined
from kernelwright.knowledge.compiled.loops import vectorised
from kernelwright.knowledge.compiled.parts import NoSeed
from kernelwright.knowledge.compiled.reading import read
from kernelwright.problems.compiling import compiled, workloads_to_compile
from kernelwright.problems.reference import Reference
from kernelwright.run.compiler_seeds import CompilerSeeds

NAMES = [
    "softmax", "layer_norm", "statistics_over_a_batch", "positions", "over_the_first",
    "whole_numbers", "numbers_from_sizes", "permuted", "narrow_output",
    "one_place_written_in_each_row",
]  # fmt: skip
TINY = {"B": 1, "C": 2, "D": 4}
RAGGED = {"B": 33, "C": 6, "D": 1030}
SIZES = ({"B": 7, "C": 6, "D": 36}, {"B": 5, "C": 10, "D": 22}, {"B": 12, "C": 8, "D": 29})


def generated(studied):
    problem = studied.problem
    return compiled(problem.reference, problem.direction, "cpu", problem)


@pytest.fixture
def seed(tracing):
    """From a file's text to its study, and its seed or why there is none."""

    def made(text):
        studied = tracing(text, SIZES)
        return studied, seeds(studied.problem, generated(studied), "cpp")

    return made


@pytest.fixture
def files():
    from .conftest import FILES

    return FILES


@pytest.mark.parametrize("name", NAMES)
def test_a_seed_agrees_with_the_program_at_tiny_and_ragged_sizes(
    name, files, seed, kernel, make_case
):
    studied, found = seed(files[name])
    assert isinstance(found, Seeds), found
    built = kernel(found.candidates[0], studied.problem)
    for sizes in (TINY, RAGGED):
        built.check(make_case(studied, sizes))


@pytest.mark.parametrize(
    ("name", "called"),
    [
        ("matrix_product", "extern_kernels.mm"),
        ("attention", "aten._scaled_dot_product"),
        ("running_sum", "aten.cumsum"),
        ("convolution", "extern_kernels.convolution"),
    ],
)
def test_what_calls_a_library_is_refused_by_the_name_of_what_it_calls(name, called, files, seed):
    _, found = seed(files[name])
    assert isinstance(found, NoSeeds)
    assert called in found.reason
    assert found.reason.endswith(".")


def test_a_seed_names_no_torch_and_declares_its_tunable(files, seed):
    _, found = seed(files["softmax"])
    text = found.candidates[0].source.text
    assert not re.search(r"\b(torch|at|c10)\b", text)
    assert "// tunable: GRAIN = 16384" in text
    assert text.count("GRAIN >=") + text.count(">= GRAIN") == 1


def test_the_same_generated_text_gives_the_same_candidate(files, tracing):
    studied = tracing(files["softmax"], SIZES)
    first = generated(studied)
    again = [Compiled.model_validate_json(each.model_dump_json()) for each in first]
    ids = [seeds(studied.problem, each, "cpp").candidates[0].id for each in (first, again)]
    assert ids[0] == ids[1]


def test_a_float_that_the_caller_gives_stays_its_parameter(make_file, seed, kernel, make_case):
    text = make_file("return x * y + 1.5", inputs=("torch.randn(B, D)", "0.37"))
    studied, found = seed(text)
    assert "static_cast<float>(y)" in found.candidates[0].source.text
    kernel(found.candidates[0], studied.problem).check(make_case(studied, TINY))


def test_a_view_of_an_input_and_an_output_given_twice_are_copied(
    make_file, seed, kernel, make_case
):
    text = make_file("s = x + 1.0\n                return s, s, x.transpose(0, 1), x[:, 1:]")
    studied, found = seed(text)
    assert isinstance(found, Seeds), found
    kernel(found.candidates[0], studied.problem).check(make_case(studied, RAGGED))


def test_random_numbers_are_refused(make_file, seed):
    _, found = seed(make_file("return x + torch.rand_like(x)"))
    assert isinstance(found, NoSeeds)


def test_an_input_that_is_changed_in_place_is_refused(make_file, tracing):
    studied = tracing(make_file("return x * 2.0"), SIZES)
    text = make_file("return x.add_(1.0) * 2.0")
    source = studied.problem.reference.model_copy(update={"files": {"model.py": text}})
    found = seeds(studied.problem, compiled(source, "forward", "cpu", studied.problem), "cpp")
    assert isinstance(found, NoSeeds)
    assert "input" in found.reason or "copy_" in found.reason


def test_a_program_that_cannot_be_traced_is_a_sentence(make_file, tracing):
    studied = tracing(make_file("return x * 2.0"), SIZES)
    text = make_file("return x * float(x.sum())")
    source = studied.problem.reference.model_copy(update={"files": {"model.py": text}})
    with pytest.raises(ProblemError, match=r"cannot be traced|cannot be compiled"):
        compiled(source, "forward", "cpu", studied.problem)


def test_of_two_forms_the_one_is_taken_whose_sizes_tell_the_axes_apart():
    def one(kernel, rows, dim):
        text = (
            f"k = async_compile.cpp_pybinding([], r'''{kernel}''')\ndef call(args):\n    return ()"
        )
        return Compiled(workload_id="w", axes={"rows": rows, "dim": dim}, inputs=(), text=text)

    square = [one(f"same * {n}L", n, n) for n in (7, 9, 11)]
    others = [one(f"other * {dim}L", rows, dim) for rows, dim in ((5, 6), (8, 3))]
    pieces = joined([*square, *others], read).kernels["k"]
    assert pieces[1] == Extent(axes=("dim",))
    with pytest.raises(NoSeed, match="different code for different sizes"):
        joined([*square, others[0]], read)


def test_what_is_not_python_is_a_reason():
    with pytest.raises(NoSeed, match="cannot be read"):
        read("def call(:")
    with pytest.raises(NoSeed, match="one function"):
        read("x = 1")


def test_only_sums_and_extremes_of_floats_become_vector_code():
    def loop(line, kind="float"):
        return [
            f"{kind} acc = 0;", "for(int64_t x = 0; x < n; x += 1)", "{", f"    {line}", "}",
        ]  # fmt: skip

    assert "reduction(+ : acc)" in "\n".join(vectorised(loop("acc = acc + tmp0;")))
    assert "kw_max : acc" in "\n".join(vectorised(loop("acc = max_propagate_nan(acc, tmp0);")))
    for line in ("acc = acc * tmp0;", "acc = argmax_combine(acc, tmp0, x);"):
        assert "#pragma" not in "\n".join(vectorised(loop(line)))
    assert "#pragma" not in "\n".join(vectorised(loop("acc = acc + tmp0;", kind="int64_t")))


class TestDraftsOfARun:
    def test_a_reference_that_cannot_be_compiled_has_no_draft_and_ends_no_run(self, study):
        def compiled():
            raise ProblemError("The reference cannot be compiled.")

        found = CompilerSeeds(study("softmax").problem, compiled)("cpp")
        assert found == NoSeeds(reason="The reference cannot be compiled.")

    def test_nothing_is_compiled_for_a_language_that_has_no_seeds(self, study):
        found = CompilerSeeds(study("softmax").problem, None)("cuda")
        assert "cpp and triton only, and not in cuda" in found.reason


@pytest.mark.slow
def test_the_reference_s_process_compiles_and_goes_on(tmp_path):
    with Reference.open("builtin:softmax") as reference:
        problem = reference.load()
        found = reference.compiled()
        assert [c.workload_id for c in found] == [w.id for w in workloads_to_compile(problem)]
        assert isinstance(seeds(problem, found, "cpp"), Seeds)
        assert reference.distributions()[0] == "file"
