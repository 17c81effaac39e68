"""From a file or a text to a candidate, and a sentence for each way in which it is none."""

import time

import pytest

from kernelwright.core.errors import BuildRefused, UnknownName, UsageError
from kernelwright.languages.cpp import Cpp
from kernelwright.languages.reading import candidate_from_file, candidate_from_text
from kernelwright.languages.sources import MAX_BYTES
from kernelwright.testing.languages import PROBLEM


@pytest.mark.parametrize(
    "text",
    [
        'extern "C" void kernel(const float* x) {}',
        'extern "C" {\nvoid kernel(const float* x) {}\n}',
        'void helper() {}\nextern "C" void other() {}\nvoid kernel (int n) {}',
    ],
)
def test_the_usual_name_is_the_entry_point(text):
    assert candidate_from_text(PROBLEM, text, "cpp").source.entry_point == "kernel.cpp::kernel"


def test_the_only_exported_function_is_the_entry_point_whatever_its_name():
    text = '// extern "C" void kernel(int)\nextern "C" void rms_norm(const float* x) {}'
    assert candidate_from_text(PROBLEM, text, "cpp").source.name == "rms_norm"


def test_several_functions_and_none_with_the_usual_name_is_a_question():
    text = 'extern "C" void a() {}\nextern "C" void b() {}'
    with pytest.raises(UsageError, match="Which function is the candidate: a, b"):
        candidate_from_text(PROBLEM, text, "cpp")


@pytest.mark.parametrize(("language", "name"), [("cpp", "kernel"), ("cuda", "launch")])
def test_a_text_without_a_function_is_told_the_declaration(language, name):
    with pytest.raises(UsageError, match=rf'Define `extern "C" void {name}\(const float\* x, '):
        candidate_from_text(PROBLEM, "// void kernel() void launch()", language)


def test_a_module_without_the_class_is_told_what_to_define():
    with pytest.raises(UsageError, match="no class ModelNew"):
        candidate_from_text(PROBLEM, "class Model: ...", "triton")


def test_an_unknown_language_is_an_unknown_name():
    with pytest.raises(UnknownName, match="Did you mean 'triton'"):
        candidate_from_text(PROBLEM, "", "tritn")


@pytest.mark.parametrize(
    ("file", "text", "language"),
    [
        ("a.cpp", "void kernel() {}", "cpp"),
        ("a.cu", "void launch() {}", "cuda"),
        ("a.py", "import triton\nclass ModelNew: ...", "triton"),
        ("a.py", "from triton import language\nclass ModelNew: ...", "triton"),
        ("a.py", "# no triton here\nclass ModelNew: ...", "python"),
    ],
)
def test_the_file_says_which_language_it_is(tmp_path, file, text, language):
    (tmp_path / file).write_text(text)
    assert candidate_from_file(PROBLEM, tmp_path / file).language == language


def test_the_language_can_be_given(tmp_path):
    (tmp_path / "kernel.txt").write_text("void kernel() {}")
    assert candidate_from_file(PROBLEM, tmp_path / "kernel.txt", "cpp").language == "cpp"


def test_files_that_the_text_names_come_with_it_and_others_do_not(tmp_path):
    (tmp_path / "best_module.py").write_text('SOURCE = "best.cpp"\nclass ModelNew: ...')
    (tmp_path / "best.cpp").write_text("// the kernel")
    (tmp_path / "notes.h").write_text("// not named")
    source = candidate_from_file(PROBLEM, tmp_path / "best_module.py").source
    assert set(source.files) == {"best_module.py", "best.cpp"}
    assert source.entry_point == "best_module.py::ModelNew"


def test_the_same_text_gives_the_same_candidate_wherever_it_lies(tmp_path):
    for name in ("a.cpp", "b.cc"):
        (tmp_path / name).write_text("void kernel() {}")
    first, second = (candidate_from_file(PROBLEM, tmp_path / n) for n in ("a.cpp", "b.cc"))
    assert first.id == second.id


def write(path, content):
    if isinstance(content, bytes):
        path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("gone.cpp", None, "cannot be read: No such file"),
        ("a.cpp", b"\xff\xfe\x00", "not UTF-8"),
        ("a.cpp", b"  \n", "is empty"),
        ("a.cpp", b"x" * (MAX_BYTES + 1), "at most 262,144"),
        ("a.rs", b"fn main() {}", "does not say which language"),
    ],
)
def test_a_file_that_cannot_be_a_candidate_says_why(tmp_path, name, content, said):
    with pytest.raises(UsageError, match=said):
        candidate_from_file(PROBLEM, write(tmp_path / name, content))


def test_a_folder_is_not_a_candidate(tmp_path):
    (tmp_path / "a.cpp").mkdir()
    with pytest.raises(UsageError, match="cannot be read: Is a directory"):
        candidate_from_file(PROBLEM, tmp_path / "a.cpp")


@pytest.mark.parametrize("language", ["cpp", "triton"])
@pytest.mark.parametrize(
    "piece",
    [
        "\n",
        " ",
        "/* ",
        "a",
        "import ",
        "// tunable: ",
        "# tunable: A = ",
        'extern "C" ',
        "void ",
        "\t#",
        "a.",
    ],
)
def test_a_hostile_text_is_read_in_a_moment(tmp_path, piece, language):
    # A pattern that backs up over what it matched takes minutes for these.
    text = piece * (MAX_BYTES // len(piece) - 100) + "\nvoid kernel() {}\nclass ModelNew: ...\n"
    (tmp_path / "hostile.txt").write_text(text)
    began = time.perf_counter()
    try:
        candidate = candidate_from_file(PROBLEM, tmp_path / "hostile.txt", language)
        if language == "cpp":
            Cpp().build(candidate, PROBLEM)
    except (UsageError, BuildRefused):
        pass
    assert time.perf_counter() - began < 5
