"""`kernelwright compare` and `kernelwright pool`: what they write, and slips."""

import json

import pytest

from kernelwright.apps.cli.main import run


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_strategies_are_compared_from_pools(tmp_path, make_pool, capsys):
    make_pool(1.0, 2.0, name="one")
    make_pool(1.5, 1.0, name="two")
    words = ["compare", "--pool", "pools", "--strategies", "best_of_n,refine", "--seeds", "2"]
    assert run([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["reference"] == "best_of_n"
    assert [s["strategy"] for s in found["standings"]] == ["best_of_n", "refine"]
    assert len(found["trials"]) == 8
    assert "Standings" in (tmp_path / "compare" / "compare.html").read_text()
    first = (tmp_path / "compare" / "compare.json").read_text()
    assert run(words) == 0
    assert (tmp_path / "compare" / "compare.json").read_text() == first
    assert "2 strategies on 2 problems" in capsys.readouterr().out


def test_only_the_problems_that_were_asked_for(make_pool, capsys):
    make_pool(1.0, name="one")
    make_pool(1.0, name="two")
    words = ["compare", "--pool", "pools", "--problems", "two", "--strategies", "refine", "--json"]
    assert run([*words, "--budget", "attempts=9", "--seeds", "1"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {t["problem"] for t in found["trials"]} == {"two"}
    (trial,) = found["trials"]
    # A text with five settings, none of which is asked for twice.
    assert (len(trial["worth"]), trial["ended"]) == (5, "nothing is left to try")
    assert trial["worth"][-1] == pytest.approx(1.2, rel=0.01)
    assert (found["reference"], found["budget"]["max_attempts"]) == ("refine", 9)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "Which problems?"),
        (["--problems", "sofmax"], "There is no file sofmax"),
        (["--pool", "pools", "--strategies", "refin"], "Did you mean 'refine'?"),
        (["--pool", "pools", "--budget", "atempts=4"], "Did you mean 'attempts'?"),
        (["--pool", "pools", "--budget", "attempts=none"], "is no limit"),
        (["--pool", "pools", "--budget", "attempts=0"], "is no limit"),
        (["--pool", "pools", "--problems", "nope"], "no pool 'nope'"),
        (["--pool", "nowhere"], "There are no pools in nowhere"),
        (["--pool", "pools", "--device", "cpu"], "leave those out"),
        (["--pool", "pools", "--strategies", "beam", "--reference", "tree"], "takes part"),
    ],
)
def test_slips_are_one_sentence(make_pool, capsys, words, sentence):
    make_pool(1.0, name="one")
    assert run(["compare", *words]) == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["sofmax"], "There is no file sofmax"),
        (["softmax", "--language", "cp"], "Did you mean 'cpp'?"),
        (["softmax", "--settings", "0"], "greater than or equal to 1"),
    ],
)
def test_slips_of_a_recording_are_one_sentence(capsys, words, sentence):
    assert run(["pool", *words]) == 2
    assert sentence in capsys.readouterr().err
