"""Torch extensions: what is read from a file's calls, what is compiled, and what is refused."""

import json
import shutil
from pathlib import Path

import pytest

from kernelwright.core.errors import BuildRefused
from kernelwright.languages import extension_flags, extension_units, torch_extension
from kernelwright.languages.extension_calls import FIELDS, object_name
from kernelwright.languages.extension_units import Extensions, read_calls
from kernelwright.languages.reading import candidate_from_file, candidate_from_text
from kernelwright.languages.torch_extension import TorchExtension
from kernelwright.testing.languages import PROBLEM

FILE = "from torch.utils.cpp_extension import load_inline\nclass ModelNew: ...\n"
CALL = {
    "name": "ext", "cpp": ["int f();"], "cuda": ["int f() { return 1; }"], "files": [],
    "functions": {"f": 'says "hi"\n'}, "cflags": [], "cuda_cflags": [], "ldflags": [],
    "include_paths": [], "with_cuda": None, "checked": True, "python": True,
}  # fmt: skip


@pytest.fixture(autouse=True)
def with_nvcc(monkeypatch):
    monkeypatch.setattr(extension_units, "find_nvcc", lambda: "nvcc")


def planned(beside=None, **changes):
    """The plan of the one shared object that a call asks for."""
    calls = json.dumps([CALL | changes]).encode()
    plan = Extensions({"kernel.py": FILE, **(beside or {})}, "kernel.py")(calls)
    (shared,) = plan.parts.values()
    return shared


def words(plan):
    (command,) = plan.commands
    return command


def test_the_judge_and_a_life_name_an_object_alike():
    plan = Extensions({"kernel.py": FILE}, "kernel.py")(json.dumps([CALL]).encode())
    assert list(plan.parts) == [object_name(CALL)]
    assert set(CALL) == set(FIELDS) == set(extension_units.Call.model_fields)


@pytest.mark.parametrize("field", FIELDS)
def test_every_argument_decides_which_object_it_is(field):
    assert object_name(CALL | {field: ["other"]}) != object_name(CALL)


def test_an_edit_of_the_cuda_source_leaves_the_cpp_unit_as_it_was():
    before, after = planned(), planned(cuda=["int f() { return 2; }"])
    assert before.parts["cpp_sources.cpp.o"] == after.parts["cpp_sources.cpp.o"]
    assert before.parts["cuda_sources.cu.o"] != after.parts["cuda_sources.cu.o"]


def test_an_edit_of_the_cpp_source_leaves_the_cuda_unit_as_it_was():
    before, after = planned(), planned(cpp=["int f(); "])
    assert before.parts["cpp_sources.cpp.o"] != after.parts["cpp_sources.cpp.o"]
    assert before.parts["cuda_sources.cu.o"] == after.parts["cuda_sources.cu.o"]


def test_bindings_are_written_as_load_inline_writes_them():
    text = planned().parts["cpp_sources.cpp.o"].files["cpp_sources.cpp"]
    assert text.startswith('#line 1 "cpp_sources"\nint f();\n')
    assert 'm.def("f", torch::wrap_pybind_function(f), "says \\"hi\\"\\n");' in text
    bare = planned(checked=False).parts["cpp_sources.cpp.o"].files["cpp_sources.cpp"]
    assert 'm.def("f", f, ' in bare


def test_several_texts_are_one_unit_and_are_told_apart():
    unit = planned(cpp=["int f();", "int g();"]).parts["cpp_sources.cpp.o"]
    assert '#line 1 "cpp_sources[1]"\nint g();\n' in unit.files["cpp_sources.cpp"]
    assert unit.files["cpp_sources[1]"] == "int g();"


def test_a_cuda_source_is_tried_with_few_headers_and_then_with_all():
    unit = planned().parts["cuda_sources.cu.o"]
    assert "-Ikw_slim" in words(unit)
    assert "kw_slim/torch/extension.h" in unit.files
    assert unit.otherwise is not None
    assert not any("kw_slim" in word for word in (*words(unit.otherwise), *unit.otherwise.files))
    assert unit.otherwise.otherwise is None


def test_a_cuda_source_that_obviously_needs_all_headers_gets_them_at_once():
    unit = planned(cuda=["PYBIND11_MODULE(a, b) {}"]).parts["cuda_sources.cu.o"]
    assert "-Ikw_slim" not in words(unit)
    assert unit.otherwise is None


def test_cuda_sources_without_nvcc_are_refused_in_words(monkeypatch):
    monkeypatch.setattr(extension_units, "find_nvcc", lambda: None)
    with pytest.raises(BuildRefused, match="no nvcc here"):
        planned()
    assert list(planned(cuda=[]).parts) == ["cpp_sources.cpp.o"]


def test_load_builds_the_candidates_own_files_with_its_headers():
    files = {"a.cpp": "int a;", "b.cu": "int b;", "c.cuh": "int c;", "d.py": "d = 1"}
    shared = planned(files, cpp=[], cuda=[], functions=None, files=["a.cpp", "b.cu"])
    assert shared.parts["a.cpp.o"].files == {"a.cpp": "int a;", "c.cuh": "int c;"}
    assert {"b.cu", "c.cuh"} <= set(shared.parts["b.cu.o"].files)
    assert words(shared)[2:4] == ("a.cpp.o", "b.cu.o")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"files": ["/etc/passwd"]}, "'/etc/passwd', which is not among"),
        ({"files": ["kernel.py"]}, "neither C\\+\\+"),
        ({"include_paths": ["/root"]}, "'/root' in extra_include_paths"),
        ({"cpp": [], "cuda": [], "functions": None}, "has no source"),
        ({"name": "a b"}, "name"),
        ({"name": "a\n"}, "name"),
        ({"functions": {"f); evil(": ""}}, "functions"),
        ({"cflags": "-O3"}, "cflags"),
        ({"with_cuda": 1}, "with_cuda"),
        ({"more": 1}, "more"),
        ({"cflags": ["-O3 '"]}, "cannot be read"),
        ({"cflags": ["-fplugin=x.so"]}, "'-fplugin=x.so' in extra_cflags"),
        ({"cflags": ["-Wl,--wrap"]}, "extra_cflags"),
        ({"cflags": ["@file"]}, "extra_cflags"),
        ({"cuda_cflags": ["-ccbin", "x"]}, "'-ccbin' in extra_cuda_cflags"),
        ({"cuda_cflags": ["-Xcompiler", "-fplugin=x"]}, "-Xcompiler=-fplugin=x"),
        ({"cuda_cflags": ["-Xptxas"]}, "'-Xptxas' in extra_cuda_cflags"),
        ({"ldflags": ["-Wl,-rpath,/x"]}, "extra_ldflags"),
        ({"ldflags": ["other.o"]}, "extra_ldflags"),
    ],
)
def test_what_cannot_be_built_is_named(changes, said):
    with pytest.raises(BuildRefused, match=said):
        planned(**changes)


@pytest.mark.parametrize("wrote", [b"", b"\xff", b"[" * 99_999, b"{}", b"[1]", b"null"])
def test_what_is_no_list_of_calls_is_refused(wrote):
    with pytest.raises(BuildRefused):
        read_calls(wrote)


def test_more_calls_than_are_built_are_refused():
    calls = [CALL | {"name": f"n{number}"} for number in range(5)]
    with pytest.raises(BuildRefused, match="at most 4"):
        read_calls(json.dumps(calls).encode())


def test_flags_as_kernelbench_files_give_them_are_taken():
    host = extension_flags.checked(
        ["", "-O3 -march=native", "-std=c++17", "-fopenmp", "-DN=4"], extension_flags.COMPILE, "x"
    )
    assert host == ("-O3", "-march=native", "-fopenmp", "-DN=4")
    device = extension_flags.checked(
        ["-O3", "--use_fast_math", "-Xptxas", "-v", "-gencode", "arch=compute_90,code=sm_90",
         "--expt-relaxed-constexpr", "-lineinfo", "-Xcompiler", "-fopenmp", "-arch=sm_90a"],
        extension_flags.DEVICE, "x",
    )  # fmt: skip
    assert "-Xptxas=-v" in device
    assert "-gencode=arch=compute_90,code=sm_90" in device
    assert extension_flags.checked(["-lcublas"], extension_flags.LINK, "x") == ("-lcublas",)


def test_an_architecture_that_a_file_names_is_the_one():
    def architectures(**changes):
        return [w for w in words(planned(**changes).parts["cuda_sources.cu.o"]) if "arch=" in w]

    assert architectures(cuda_cflags=["-arch=sm_80"]) == ["-arch=sm_80"]
    assert len(architectures()) == 1


def test_there_is_one_header_for_all_that_do_not_change_it():
    def header(*flags):
        return planned(cflags=list(flags)).parts["cpp_sources.cpp.o"].header

    assert header("-O3", "-DN=1", "-Wall") == header() == header("-O2", "-fno-math-errno")
    assert header("-fopenmp") != header()
    assert header("-march=native", "-fopenmp") == header("-fopenmp", "-march=native")
    assert header().ours


def test_no_file_of_the_candidate_is_in_the_header_that_others_use():
    files = {"kw_torch.h": "#error mine", "x.h": "int x;"}
    unit = planned(files).parts["cpp_sources.cpp.o"]
    assert unit.header == planned().parts["cpp_sources.cpp.o"].header
    assert "#error" not in "".join(unit.header.files.values())
    assert "@HEADER@/kw_torch.h" in words(unit)


@pytest.mark.parametrize(
    "line",
    [
        "from torch.utils.cpp_extension import load_inline",
        "from torch.utils import cpp_extension",
        "built = torch.utils.cpp_extension.load_inline(",
    ],
)
def test_a_file_that_builds_extensions_is_known_by_its_text(tmp_path, line):
    (tmp_path / "k.py").write_text(f"{line}\nclass ModelNew: ...\n")
    assert candidate_from_file(PROBLEM, tmp_path / "k.py").language == "torch_extension"
    (tmp_path / "k.py").write_text(f"# {line}\nclass ModelNew: ...\n")
    assert candidate_from_file(PROBLEM, tmp_path / "k.py").language == "python"


@pytest.mark.parametrize("name", ["kw_extension.py", "kw_module.py", "kw_collected.json"])
def test_names_of_the_build_are_taken(name):
    candidate = candidate_from_text(PROBLEM, FILE, "torch_extension", beside={name: "x"})
    with pytest.raises(BuildRefused, match="build's own"):
        TorchExtension().build(candidate, PROBLEM)


def test_what_is_missing_is_told_with_the_command(monkeypatch):
    torch_extension._build_fault.cache_clear()
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert "apt-get install g++" in TorchExtension().missing("build")
    torch_extension._build_fault.cache_clear()
    monkeypatch.undo()
    home = torch_extension.torch_home()
    monkeypatch.setattr(Path, "exists", lambda path: path != home.python / "Python.h")
    assert "apt-get install python3-dev" in TorchExtension().missing("build")
    torch_extension._build_fault.cache_clear()
    assert TorchExtension().missing("run") is None


@pytest.fixture
def collected(carry_out):
    """The calls of a file, or what its build says."""

    def collected(text, **files):
        candidate = candidate_from_text(PROBLEM, text, "torch_extension", beside=files)
        outcome = carry_out(TorchExtension().build(candidate, PROBLEM))
        if outcome.status:
            return outcome.said
        return json.loads((outcome.folder / torch_extension.COLLECTED).read_text())

    return collected


CALLS = """
import os, torch
from torch.utils import cpp_extension
here = os.path.dirname(os.path.abspath(__file__))
first = cpp_extension.load_inline("a", ["x", "y"], functions="f", extra_cflags=["-O3"])
then = cpp_extension.load(name="b", sources=[os.path.join(here, "c.cpp"), "d.cu"])
f = first.f
class ModelNew(torch.nn.Module): ...
"""


def test_calls_are_collected_with_what_they_were_given(collected):
    first, then = collected(CALLS, **{"c.cpp": "", "d.cu": ""})
    assert (first["name"], first["cpp"], first["functions"]) == ("a", ["x", "y"], {"f": "f"})
    assert first["cflags"] == ["-O3"]
    assert then["files"] == ["c.cpp", "d.cu"]
    assert read_calls(json.dumps([first, then]).encode())


def test_a_file_that_needs_a_device_after_its_calls_has_said_enough(collected):
    assert len(collected(f"{CALLS}\nraise RuntimeError('no device')")) == 2
    assert "no device" in collected(f"raise RuntimeError('no device')\n{CALLS}")


def test_a_file_without_its_class_is_not_run(collected):
    assert "ModelNew" in collected("ModelNew = 1 +\n")
