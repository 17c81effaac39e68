"""`kernelwright lessons`: from pools to lessons with their effect, and slips."""

import json
import shlex

import pytest

from kernelwright.apps.cli.main import run
from kernelwright.knowledge.lessons.folder import read_lessons, write_lesson
from kernelwright.knowledge.lessons.lesson import Lesson, Setting


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def pools(make_pools):
    return make_pools(a=(2.0,), b=(3.0,), c=(1.0,), d=(0.9,), e=(1.5,))


def test_lessons_are_drawn_tried_and_listed(pools, capsys, tmp_path):
    assert run(["lessons", "mine", "pools", "--drawn-from", "a,b"]) == 0
    assert (
        "2 new lessons of 8 pairs; `kernelwright lessons test --lessons lessons` tries them."
        in capsys.readouterr().out
    )
    assert {e.problem for one in read_lessons([tmp_path / "lessons"]) for e in one.evidence} == {
        "a",
        "b",
    }
    words = ["lessons", "test", "--pool", "pools", "--budget", "attempts=6", "--seeds", "1"]
    assert run([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {one["status"] for one in found} == {"proven"}
    trial = found[0]["lesson"]["trial"]
    assert trial["problems"] == ["c", "d", "e"]

    before = (tmp_path / "lessons" / f"{found[0]['name']}.json").read_text()
    program, *again = shlex.split(trial["command"])
    assert program == "kernelwright"
    assert run(again) == 0
    assert (tmp_path / "lessons" / f"{found[0]['name']}.json").read_text() == before
    capsys.readouterr()

    assert run(["lessons", "list", "--lessons", "lessons", "--json", "--status", "proven"]) == 0
    assert len(json.loads(capsys.readouterr().out)) >= 2
    assert run(["lessons", "show", found[0]["name"], "--lessons", "lessons"]) == 0
    said = capsys.readouterr().out
    assert "It is proven. In matched searches over 3 other problems" in said
    assert "Again: kernelwright lessons test" in said


def test_drawing_again_keeps_what_was_tried(pools, capsys, tmp_path):
    assert run(["lessons", "mine", "pools"]) == 0
    (name, *_) = [lesson.name for lesson in read_lessons([tmp_path / "lessons"])]
    assert run(["lessons", "test", name, "--pool", "pools", "--seeds", "1"]) == 0
    tried = (tmp_path / "lessons" / f"{name}.json").read_text()
    capsys.readouterr()
    assert run(["lessons", "mine", "pools"]) == 0
    assert capsys.readouterr().out.startswith("0 new lessons")
    assert (tmp_path / "lessons" / f"{name}.json").read_text() == tried


def test_where_there_is_nothing_to_learn_it_says_so(make_pools, capsys):
    make_pools(a=("no number",))
    assert run(["lessons", "mine", "pools"]) == 1
    assert "0 new lessons" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["test", "--pool", "pools"], "There is no folder lessons"),
        (["mine", "nowhere"], "nowhere"),
        (["mine", "pools", "--drawn-from", "z"], "There is no pool 'z'"),
        (["list", "--status", "good"], "No status of a lesson is called 'good'"),
        (["show", "cpp-x"], "No lesson is called 'cpp-x'"),
    ],
)
def test_a_slip_is_a_sentence(pools, capsys, words, sentence):
    assert run(["lessons", *words]) == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--pool", "pools", "--device", "cpu"], "A pool has its writers"),
        (["--pool", "pools", "--budget", "seconds=5"], "needs a limit of attempts"),
        (["--pool", "pools", "--strategy", "guess"], "No strategy is called 'guess'"),
        (["other", "--pool", "pools"], "No lesson is called 'other'"),
        ([], "Which problems?"),
    ],
)
def test_a_slip_in_a_trial_is_a_sentence(pools, tmp_path, capsys, words, sentence):
    advice = Setting(sketch="s0", settings={"TILE": 4})
    write_lesson(
        tmp_path / "lessons", Lesson(language="cpp", device="d", advice=advice, evidence=())
    )
    assert run(["lessons", "test", *words]) == 2
    assert sentence in capsys.readouterr().err


def test_a_file_that_is_no_lesson_is_a_sentence(tmp_path, capsys):
    (tmp_path / "lessons").mkdir()
    (tmp_path / "lessons" / "x.json").write_text("{}")
    assert run(["lessons", "list", "--lessons", "lessons"]) == 2
    assert "x.json is no lesson" in capsys.readouterr().err


def test_a_comparison_with_lessons_leaves_out_those_from_the_problem(pools, capsys):
    assert run(["lessons", "mine", "pools", "--drawn-from", "a,b"]) == 0
    words = ["compare", "--pool", "pools", "--strategies", "refine", "--lessons", "lessons"]
    assert run(words) == 2
    assert "No lesson in lessons is proven" in capsys.readouterr().err
    assert run(["lessons", "test", "--pool", "pools", "--seeds", "1"]) == 0
    capsys.readouterr()
    assert run([*words, "--seeds", "1", "--budget", "attempts=5", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    first = {(t["strategy"], t["problem"]): t["worth"][0] for t in found["trials"]}
    ratios = {name: first["refine+lessons", name] / first["refine", name] for name in "abcde"}
    assert ratios == {
        "a": 1.0, "b": 1.0, "c": pytest.approx(1.2, rel=0.01),
        "d": pytest.approx(1.2, rel=0.01), "e": pytest.approx(1.2, rel=0.01),
    }  # fmt: skip
    assert [s["strategy"] for s in found["standings"]] == ["refine", "refine+lessons"]
