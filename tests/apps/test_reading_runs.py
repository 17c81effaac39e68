"""`report` and `show`: what is made from a run's log, and what is said of a run that is none."""

import json

import pytest
from rich.text import Text

from kernelwright.apps.cli.main import run
from kernelwright.apps.cli.terminal import show
from kernelwright.core.run import Event
from kernelwright.report.attempts import AttemptDetail, Overview
from kernelwright.report.result import Result
from kernelwright.store.sql import FILE_NAME, SqlStore
from kernelwright.testing.runs import write_run


def test_report_writes_the_page_and_the_figures(run_folder, capsys):
    assert run(["report", str(run_folder)]) == 0
    result = Result.model_validate_json((run_folder / "result.json").read_text())
    assert result.best.path == "best.cpp"
    assert "times as fast" in (run_folder / "report.html").read_text()
    assert "times as fast" in capsys.readouterr().out


def test_report_prints_the_figures_for_a_program(run_folder, capsys):
    assert run(["report", str(run_folder), "--json"]) == 0
    said = capsys.readouterr()
    assert Result.model_validate_json(said.out).problem == "rmsnorm_silu"
    # A long path is broken where the line ends.
    assert "report.html" in said.err.replace("\n", "")


def test_the_same_log_gives_the_same_files(run_folder):
    run(["report", str(run_folder)])
    first = [(run_folder / name).read_bytes() for name in ("report.html", "result.json")]
    run(["report", str(run_folder)])
    assert [(run_folder / n).read_bytes() for n in ("report.html", "result.json")] == first


def test_a_delivered_file_that_is_gone_is_not_named(run_folder):
    (run_folder / "best.cpp").unlink()
    run(["report", str(run_folder)])
    assert json.loads((run_folder / "result.json").read_text())["best"]["path"] is None


def test_show_lists_every_attempt(run_folder, capsys):
    assert run(["show", str(run_folder)]) == 0
    shown = capsys.readouterr().out
    assert all(word in shown for word in ("build failed", "no candidate", "wrong result", "6*"))


def test_show_gives_one_attempt_with_its_source_unfolded(run_folder, capsys):
    assert run(["show", str(run_folder), "4"]) == 0
    shown = capsys.readouterr().out
    assert "void rmsnorm_silu(const float* x, const float* weight, float* out, int64_t n0" in shown
    assert "element 4 is 0.731" in shown


def test_a_long_line_of_a_program_is_not_folded(capsys):
    text = "x" * 500
    show(Text(text, no_wrap=True, overflow="ignore"))
    assert capsys.readouterr().out == f"{text}\n"


def test_show_speaks_json(run_folder, capsys):
    run(["show", str(run_folder), "--json"])
    overview = Overview.model_validate_json(capsys.readouterr().out)
    assert [row.outcome for row in overview.attempts] == [
        "passed", "build failed", "no candidate", "wrong result", "passed", "passed",
    ]  # fmt: skip
    assert overview.attempts[1].parents == (1,)
    assert overview.attempts[-1].speedup.median > 2
    run(["show", str(run_folder), "6", "--json"])
    detail = AttemptDetail.model_validate_json(capsys.readouterr().out)
    assert detail.settings == {"ROWS": 4}
    assert "#pragma omp" in detail.source.files["kernel.cpp"]


def test_a_run_can_be_named_from_the_folder_above_runs(run_folder, monkeypatch, capsys):
    (run_folder.parent / "runs").mkdir()
    run_folder.rename(run_folder.parent / "runs" / "demo")
    monkeypatch.chdir(run_folder.parent)
    assert run(["show", "demo"]) == 0
    assert "rmsnorm_silu" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["show", "report"])
def test_what_is_no_run_is_said_in_one_sentence(command, tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("no run")
    for path in (tmp_path, tmp_path / "notes.txt", tmp_path / "nowhere"):
        assert run([command, str(path)]) == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert len(said.err.splitlines()) == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["notes.txt"]


def test_a_file_that_is_no_log_is_said_to_be_none(tmp_path, capsys):
    (tmp_path / FILE_NAME).write_text("not a database, although it is called one")
    assert run(["show", str(tmp_path)]) == 2
    assert "not the log" in capsys.readouterr().err


def test_an_attempt_that_is_not_there_is_said_so(run_folder, capsys):
    assert run(["show", str(run_folder), "99"]) == 2
    assert "no attempt 99; it has 1 to 6" in capsys.readouterr().err


def test_a_run_that_was_cut_off_can_be_read(tmp_path, capsys):
    with SqlStore.open(tmp_path / FILE_NAME, tmp_path.name) as store:
        write_run(store, finished=False)
    assert run(["report", str(tmp_path)]) == 0
    assert "kernelwright resume" in capsys.readouterr().out


def test_ablate_refuses_what_is_no_run_that_ended(run_folder, tmp_path, capsys):
    assert run(["ablate", str(tmp_path / "gone")]) == 2
    assert "does not exist" in capsys.readouterr().err
    with SqlStore.open(run_folder / FILE_NAME, "demo") as store:
        store.append(Event(at=2e6, kind="resumed", data={"version": "0"}))
    assert run(["ablate", str(run_folder)]) == 2
    assert "has not ended" in capsys.readouterr().err
    assert run(["ablate", str(run_folder), "--most", "0"]) == 2
