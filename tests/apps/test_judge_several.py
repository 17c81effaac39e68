"""`judge` on many files: which are taken, a line for each, and the exit code."""

import json
import os
from pathlib import Path

import pytest

from kernelwright.apps.cli.judging import Asked, candidate_files, judge_several
from kernelwright.apps.cli.main import run
from kernelwright.core.errors import UsageError
from kernelwright.evaluate.verdicts import REPEATED
from kernelwright.testing.judges import FakeJudges, worded

ASKED = Asked(
    problem="rows", language=None, effort="search", device="cpu", require_isolation="process"
)


@pytest.fixture
def folder(tmp_path):
    """A folder with one candidate of each kind, and what is none."""
    for name, word in {"a_fast.cpp": 2, "b_broken.cpp": "error", "c_fault.cpp": "fault"}.items():
        (tmp_path / name).write_text(worded(word))
    (tmp_path / "d_none.cpp").write_text("int x;\n")
    (tmp_path / "e_empty.cpp").write_text("")
    (tmp_path / "f_bytes.cpp").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "README.md").write_text("Notes.")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "deeper.cpp").write_text(worded(3))
    return tmp_path


def test_each_file_of_a_folder_gets_a_line_with_its_name(folder, capsys):
    files = candidate_files([folder], None)
    assert [f.name[0] for f in files] == list("abcdef")
    assert judge_several(ASKED, files, as_json=True, opening=FakeJudges()) == 1
    said = capsys.readouterr()
    lines = {line["file"]: line for line in map(json.loads, said.out.splitlines())}
    assert list(map(str, files)) == sorted(lines)
    found = {Path(name).name[0]: line["outcome"] for name, line in lines.items()}
    assert found == {
        "a": "passed", "b": "build_failed", "c": "not_judged", "d": "not_judged",
        "e": "not_judged", "f": "not_judged",
    }  # fmt: skip
    fast = lines[str(files[0])]
    assert (fast["vs_best"]["median"], fast["problem"]) == (2.0, "rows")
    reasons = [lines[str(file)]["reason"] for file in files[2:]]
    for reason, part in zip(
        reasons, ["The sandbox broke", "no function kernel", "is empty", "not UTF-8"], strict=True
    ):
        assert part in reason
    assert "README.md" in said.err
    assert "6 files: 1 build failed, 4 not judged, 1 passed, in" in said.err


def test_a_person_gets_one_line_for_each(folder, capsys):
    files = [folder / "a_fast.cpp", folder / "b_broken.cpp"]
    assert judge_several(ASKED, files, as_json=False, opening=FakeJudges()) == 1
    fast, broken = capsys.readouterr().out.splitlines()
    assert fast.startswith(f"{files[0]}: passed: 2.00")
    assert broken == f"{files[1]}: build failed: error"


def test_it_ends_with_0_when_all_passed(folder, capsys):
    files = [folder / "a_fast.cpp", folder / "sub" / "deeper.cpp"]
    assert judge_several(ASKED, files, as_json=True, opening=FakeJudges()) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_a_file_that_is_given_twice_is_judged_once_and_that_is_said(folder, capsys):
    one = folder / "a_fast.cpp"
    (folder / "link.cpp").symlink_to(one)
    assert candidate_files([one, one, folder / "link.cpp"], None) == [one]
    assert capsys.readouterr().err.split().count("twice") == 2


def test_the_language_chooses_among_the_files_of_a_folder(folder):
    (folder / "module.py").write_text("class ModelNew: pass")
    assert [f.name for f in candidate_files([folder], "python")] == ["module.py"]


def test_a_name_that_hides_something_is_shown(tmp_path, capsys):
    name = os.fsdecode(b"odd\xff\x1b[31m.cpp")
    (tmp_path / name).write_text(worded(2))
    files = candidate_files([tmp_path], None)
    for as_json in (True, False):
        judge_several(ASKED, files, as_json=as_json, opening=FakeJudges())
        assert "\x1b" not in capsys.readouterr().out


@pytest.mark.parametrize("given", ["gone.cpp", "empty"])
def test_what_is_not_there_is_a_sentence_before_anything_starts(folder, given, capsys):
    (folder / "empty").mkdir()
    with pytest.raises(UsageError, match="There is no"):
        candidate_files([folder / given], None)
    files = [str(folder / "a_fast.cpp"), str(folder / given)]
    assert run(["judge", "builtin:softmax", *files]) == 2
    assert capsys.readouterr().err.startswith("There is no ")


def test_without_a_candidate_there_is_nothing_to_judge(capsys):
    assert run(["judge", "builtin:softmax"]) == 2
    assert "Which problem and candidate?" in capsys.readouterr().err


@pytest.mark.slow
def test_many_real_candidates_with_a_duplicate(tmp_path, capsys):
    right = (
        'extern "C" void kernel(const float* x, float* out, int64_t rows, int64_t dim) {\n'
        "for (int64_t i = 0; i < rows; i++) { float s = 0; "
        "for (int64_t j = 0; j < dim; j++) s += x[i * dim + j] * x[i * dim + j]; out[i] = s; } }\n"
    )
    texts = {"right": right, "same": right, "wrong": right.replace("s +=", "s -="), "no": "x" * 9}
    for name, source in texts.items():
        (tmp_path / f"{name}.cpp").write_text(source)
    assert run(["judge", "builtin:row_sum", str(tmp_path), "--quick", "--json"]) == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    found = {Path(line["file"]).stem: line for line in lines}
    assert {name: line["outcome"] for name, line in found.items()} == {
        "right": "passed", "same": "passed", "wrong": "wrong_result", "no": "not_judged",
    }  # fmt: skip
    repeated = [n for n in ("right", "same") if REPEATED in found[n]["not_checked"]]
    assert len(repeated) == 1
