"""Slips: each is one clear sentence on stderr, exit code 2, and nothing is written or started."""

import os

import pytest

from kernelwright.apps.cli.main import run
from kernelwright.apps.cli.runs import chosen_folder
from kernelwright.core.errors import UsageError

MODEL = "import torch\n"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.py").write_text(MODEL)
    (tmp_path / "folder").mkdir()
    (tmp_path / "broken.toml").write_text("problem = \n")
    (tmp_path / "odd.toml").write_text('problem = "model.py"\nstrateg = "refine"\n')
    (tmp_path / "fine.toml").write_text('problem = "model.py"\n[budget]\nmax_attempts = 2\n')
    (tmp_path / "binary.py").write_bytes(b"\xff\xfe\x00")
    return tmp_path


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "Which problem?"),
        (["nope.py"], "There is no file nope.py."),
        (["folder"], "folder is a folder."),
        (["binary.py"], "not UTF-8"),
        (["builtin:sofmax"], "Did you mean 'softmax'?"),
        (["model.py", "--language", "tritn"], "Did you mean 'triton'?"),
        (["model.py", "--strategy", "refin"], "Did you mean 'refine'?"),
        (["model.py", "--writer", "sketc"], "Did you mean 'sketch'?"),
        (["model.py", "--model", "antropic:x"], "Did you mean 'anthropic'?"),
        (["model.py", "--model", "x"], "provider:model"),
        (["model.py", "--writer", "llm"], "--model"),
        (["model.py", "--device", "tpu"], "'cpu'"),
        (["model.py", "--max-attempts", "-3"], "max_attempts"),
        (["model.py", "--max-attempts", "0"], "max_attempts"),
        (["model.py", "--max-attempts", "many"], "valid integer"),
        (["model.py", "--max-seconds", "nan"], "max_wall_s"),
        (["model.py", "--max-dollars", "-1"], "max_cost_usd"),
        (["model.py", "--max-device-seconds", "0"], "max_device_s"),
        (["model.py", "--target-speedup", "-2"], "target_speedup"),
        (["model.py", "--min-headroom", "0.9"], "min_headroom"),
        (["model.py", "--memory", "folder"], "There is no run in folder to remember"),
        (["model.py", "--memory", "nowhere"], "There is no run in nowhere to remember"),
        (["model.py", "--approve"], "there is none here"),
        (["model.py", "--width", "0"], "width"),
        (["model.py", "--require-isolation", "magic"], "bubblewrap"),
        (["model.py", "--strange"], "No such option: --strange"),
        (["model.py", "other.py"], "unexpected extra argument"),
        (["--config", "nope.toml"], "There is no file nope.toml"),
        (["--config", "broken.toml"], "not valid TOML"),
        (["--config", "odd.toml"], "Did you mean 'strategy'?"),
        (["nope.py", "--config", "fine.toml"], "There is no file nope.py."),
        (["model.py", "--name", "a/b"], "is no name for a run"),
        (["model.py", "--name", ".."], "is no name for a run"),
        (["model.py", "--name", "a", "--out", "b"], "not both"),
        (["model.py", "--out", "model.py"], "is a file"),
        (["model.py", "--out", "model.py/x"], "is a file"),
    ],
)
def test_a_slip_is_one_sentence_and_leaves_nothing(folder, capsys, words, sentence):
    before = sorted(folder.rglob("*"))
    assert run(["optimize", *words]) == 2
    said = capsys.readouterr()
    assert sentence in said.err
    assert said.out == ""
    assert len(said.err.strip().splitlines()) == 1
    assert sorted(folder.rglob("*")) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_is_refused_early(folder, capsys):
    (folder / "folder").chmod(0o500)
    assert run(["optimize", "model.py", "--out", "folder/run"]) == 2
    assert "may not be written" in capsys.readouterr().err


def test_a_run_is_named_after_its_problem_and_the_first_free_number(folder):
    assert str(chosen_folder("examples/my model.py", None, None)) == "runs/my_model-1"
    (folder / "runs" / "softmax-1").mkdir(parents=True)
    assert str(chosen_folder("builtin:softmax", None, None)) == "runs/softmax-2"


def test_a_name_and_a_path_are_taken_as_they_are(tmp_path):
    assert str(chosen_folder("x.py", "mine", None)) == "runs/mine"
    assert chosen_folder("x.py", None, tmp_path / "there") == tmp_path / "there"
    with pytest.raises(UsageError):
        chosen_folder("x.py", "", None)
