"""Folders of kernels: what is added reads back, and what is broken is named and left out."""

import json
from dataclasses import replace

import pytest

from kernelwright.core.errors import UsageError
from kernelwright.core.evaluation import BuildFailed
from kernelwright.library.adding import add
from kernelwright.library.records import FORMAT
from kernelwright.library.shelf import SHIPPED, folders_of, read_kernel, read_library
from kernelwright.testing.evaluators import ENVIRONMENT, evaluation_of, passed
from kernelwright.testing.library import NORM_KERNEL, norm, promoted


@pytest.fixture
def library(tmp_path):
    add(tmp_path / "mine", "norm-cpp", promoted())
    return tmp_path / "mine"


def test_what_is_added_reads_back(library):
    kernel = read_kernel(library / "norm-cpp")
    assert kernel.source.text == NORM_KERNEL
    assert kernel.form == promoted().form
    assert kernel.about.computes.inputs == norm()[0].inputs
    assert [(c.name, c.at) for c in kernel.about.constants] == [("EPS", (0,))]
    (judgement,) = kernel.certificate.judgements
    assert judgement.evaluation.outcome.measurements == passed(1.5).measurements
    assert kernel.settings("none, 1 threads") == {"TILE": 2}


def test_a_candidate_of_it_has_what_was_tuned_elsewhere_where_nothing_is_known(library):
    kernel = read_kernel(library / "norm-cpp")
    assert kernel.candidate(norm()[0], "another device").values == {"TILE": 2}


@pytest.mark.parametrize("name", ["kernel.cpp", "problem.py", "graph.txt", "entry.json"])
def test_an_edited_file_is_named(name, library):
    file = library / "norm-cpp" / name
    file.write_text(file.read_text() + "\n")
    kernels, (broken,) = read_library([library])
    assert kernels == ()
    assert f"{name} is not what was certified" in broken.reason
    assert "norm-cpp is left out" in broken.reason


@pytest.mark.parametrize(
    "name", ["kernel.cpp", "problem.py", "graph.txt", "entry.json", "certificate.json"]
)
def test_a_missing_file_is_named(name, library):
    (library / "norm-cpp" / name).unlink()
    _, (broken,) = read_library([library])
    assert f"it has no {name}" in broken.reason


@pytest.mark.parametrize("name", ["entry.json", "certificate.json"])
@pytest.mark.parametrize("text", ["", "[]", "{", '{"format": 9}', "\udcff"])
def test_a_malformed_record_is_named(name, text, library):
    (library / "norm-cpp" / name).write_bytes(text.encode(errors="surrogateescape"))
    _, (broken,) = read_library([library])
    assert broken.reason.startswith("The library's kernel norm-cpp is left out: ")
    assert name in broken.reason


def test_a_later_format_is_named(library):
    file = library / "norm-cpp" / "certificate.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"format": FORMAT + 1}))
    _, (broken,) = read_library([library])
    assert "certificate.json is malformed (format:" in broken.reason


def test_a_renamed_folder_is_named(library):
    (library / "norm-cpp").rename(library / "other")
    _, (broken,) = read_library([library])
    assert "entry.json calls it norm-cpp, its folder other" in broken.reason


def test_a_file_outside_of_the_folder_is_refused(library):
    file = library / "norm-cpp" / "entry.json"
    file.write_text(file.read_text().replace('"kernel.cpp"\n', '"../kernel.cpp"\n'))
    _, (broken,) = read_library([library])
    assert "'../kernel.cpp' is no plain file name" in broken.reason


def test_of_one_name_the_first_library_counts(library, tmp_path):
    add(tmp_path / "other", "norm-cpp", promoted(text=NORM_KERNEL + "// another\n"))
    (kernel,), broken = read_library([tmp_path / "other", library])
    assert (kernel.folder.parent, broken) == (tmp_path / "other", ())


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"There is no library in .*nowhere"):
        folders_of([tmp_path / "nowhere"])


def test_what_did_not_pass_on_promotion_is_refused(tmp_path):
    made = promoted()
    failed = evaluation_of(made.candidate, BuildFailed(diagnostics="no"), "promotion")
    quick = evaluation_of(made.candidate, passed(2.0), "search")
    for evaluation in (failed, quick):
        with pytest.raises(UsageError, match="Only a kernel that the judge passed on promotion"):
            add(tmp_path, "norm", replace(made, evaluation=evaluation))
    assert list(tmp_path.iterdir()) == []


def test_a_module_needs_a_function_to_call(tmp_path):
    made = promoted()
    module = made.candidate.model_copy(update={"lane": "module", "language": "triton"})
    with pytest.raises(UsageError, match="The kernel has no function run"):
        add(tmp_path, "norm", replace(made, candidate=module))


@pytest.mark.parametrize("name", ["", "../x", "A", ".hidden", "a b"])
def test_a_name_that_is_no_folder_is_refused(name, tmp_path):
    with pytest.raises(UsageError, match="is no name for a kernel"):
        add(tmp_path / "library", name, promoted())


def test_another_kernel_of_the_same_name_is_refused(library):
    with pytest.raises(UsageError, match="There is another kernel called norm-cpp"):
        add(library, "norm-cpp", promoted(text=NORM_KERNEL + "// another\n"))


def test_the_same_kernel_from_another_device_is_added_to_it(library):
    made = promoted(speedup=3.0)
    there = ENVIRONMENT.model_copy(update={"device": "NVIDIA Q1, 999.1"})
    elsewhere = made.evaluation.model_copy(update={"environment": there})
    settings = made.candidate.tuned({"TILE": 1})
    add(library, "norm-cpp", replace(made, evaluation=elsewhere, candidate=settings))
    kernel = read_kernel(library / "norm-cpp")
    assert [j.device for j in kernel.certificate.judgements] == ["none, 1 threads", "NVIDIA Q1"]
    assert kernel.settings("NVIDIA Q1") == {"TILE": 1}
    assert kernel.settings("none, 1 threads") == {"TILE": 2}
    # Judged again on a device that is known, the new verdict takes the place of the old.
    add(library, "norm-cpp", promoted(speedup=4.0))
    again = read_kernel(library / "norm-cpp").certificate.judgements
    assert [j.device for j in again] == ["NVIDIA Q1", "none, 1 threads"]
    assert again[1].evaluation.outcome == passed(4.0)


def test_two_names_for_one_value_name_nothing(tmp_path):
    text = NORM_KERNEL.replace("#define EPS", "#define TINY 1e-06f\n#define EPS")
    add(tmp_path, "norm", promoted(text=text))
    assert read_kernel(tmp_path / "norm").about.constants == ()


def test_every_kernel_that_ships_reads():
    kernels, broken = read_library([SHIPPED])
    assert broken == ()
    assert len(kernels) >= 1
