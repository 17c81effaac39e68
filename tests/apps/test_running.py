"""A whole run over fakes, as a person sees it: progress, files, the sentence, the exit code."""

import json
from pathlib import Path

import pytest

from kernelwright.apps.cli.main import run
from kernelwright.apps.cli.running import carry_out
from kernelwright.core.errors import StoreError
from kernelwright.core.run import Budget, RunSpec
from kernelwright.report.result import Result
from kernelwright.run.optimize import optimize, resume
from kernelwright.testing.equipment import FakeEquip
from kernelwright.testing.evaluators import NumberWriter

SPEC = RunSpec(problem="rows.py", languages=("cpp",), budget=Budget(max_attempts=4))
HERE = Path("runs/first")


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def go(writer=None, *, quiet=False, as_json=False) -> int:
    equip = FakeEquip(writer=writer or NumberWriter())
    return carry_out(
        lambda observer, ask: optimize(SPEC, folder=HERE, observer=observer, equip=equip),
        quiet=quiet,
        as_json=as_json,
    )


def test_it_ends_with_the_sentence_and_the_files(capsys):
    assert go() == 0
    said = capsys.readouterr()
    assert "times as fast as with eager, the fastest baseline (95% interval" in said.out
    for name in ("best.cpp", "report.html", "result.json"):
        assert f"runs/first/{name}" in said.err
        assert (HERE / name).is_file()


def test_progress_is_conversation_and_the_result_is_not(capsys):
    go()
    said = capsys.readouterr()
    assert "  1  draft" in said.err
    assert "draft" not in said.out


def test_json_is_the_result_and_nothing_else(capsys):
    assert go(as_json=True) == 0
    printed = Result.model_validate_json(capsys.readouterr().out)
    assert printed == Result.model_validate_json((HERE / "result.json").read_text())
    assert printed.best.path == "best.cpp"
    assert printed.faster


def test_quiet_leaves_only_the_sentence(capsys):
    assert go(quiet=True) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert "times as fast" in said.out


def test_nothing_better_is_exit_code_1_with_all_the_files(capsys):
    assert go(NumberWriter(broken=1)) == 1
    assert "the reference stays as it is" in capsys.readouterr().out
    assert json.loads((HERE / "result.json").read_text())["best"] is None
    assert "build failed" in (HERE / "report.html").read_text()


def test_a_resumed_run_tells_only_what_is_new(capsys):
    seen = []

    def observer(event):
        seen.append(event)
        if len(seen) == 9:
            raise StoreError("The disk is full.")

    with pytest.raises(StoreError):
        optimize(SPEC, folder=HERE, observer=observer, equip=FakeEquip())
    capsys.readouterr()
    code = carry_out(
        lambda watch, ask: resume(HERE, observer=watch, equip=FakeEquip()),
        past=seen,
        quiet=False,
        as_json=False,
    )
    assert code == 0
    said = capsys.readouterr()
    assert "  1  draft" not in said.err
    assert "  4  " in said.err
    assert "resumed" in (HERE / "report.html").read_text()


def test_resume_of_what_is_no_run_is_one_sentence(capsys):
    assert run(["resume", "nowhere"]) == 2
    said = capsys.readouterr()
    assert said.err == "nowhere does not exist. A run's folder holds a file run.sqlite.\n"
