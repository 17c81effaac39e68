"""A bench over fakes: which problems, the table in its three forms, and how it goes on."""

import json
from pathlib import Path

import pytest

from kernelwright.apps.cli import bench
from kernelwright.apps.cli.main import run
from kernelwright.core.errors import UsageError
from kernelwright.core.run import RunSpec
from kernelwright.report.table import Table
from kernelwright.run.optimize import optimize, resume
from kernelwright.store.fold import fold
from kernelwright.store.sql import FILE_NAME, SqlStore
from kernelwright.testing.equipment import FakeEquip
from kernelwright.testing.evaluators import NumberWriter


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A checkout in KernelBench's layout, with files of our own."""
    monkeypatch.chdir(tmp_path)
    level = tmp_path / "checkout" / "KernelBench" / "level1"
    level.mkdir(parents=True)
    for name in ("10_rows", "2_columns", "1_cells"):
        (level / f"{name}.py").write_text("")
    return tmp_path / "checkout"


@pytest.fixture
def runs(monkeypatch):
    """The problems that were run, by fakes."""
    seen = []

    def made(spec, *, folder):
        seen.append(Path(spec.problem).stem)
        return optimize(spec, folder=folder, equip=FakeEquip(writer=NumberWriter()))

    def again(folder):
        seen.append(f"resumed {folder.name}")
        return resume(folder, equip=FakeEquip(writer=NumberWriter()))

    monkeypatch.setattr(bench, "optimize", made)
    monkeypatch.setattr(bench, "resume", again)
    return seen


def go(root, *more):
    return run(["bench", "kernelbench", "--root", str(root), "--device", "cpu",
                "--language", "cpp", "--max-attempts", "3", *more])  # fmt: skip


def test_problems_are_run_in_the_order_of_their_numbers(root, runs, capsys):
    assert go(root) == 0
    assert runs == ["1_cells", "2_columns", "10_rows"]
    assert "3 of 3 problems passed" in capsys.readouterr().out


def test_the_table_has_three_forms_that_say_the_same(root, runs):
    go(root)
    table = Table.model_validate_json(Path("bench/kernelbench-level1-cpu.json").read_text())
    assert [entry.id for entry in table.problems] == ["1_cells", "2_columns", "10_rows"]
    first = table.problems[0]
    assert first.outcome == "passed"
    assert first.language == "cpp"
    assert len(first.samples_ns["candidate"]) == len(first.samples_ns["eager"]) > 1
    assert table.fast("eager", 0) == 1.0
    speedup = first.speedup["eager"].median
    assert table.fast("eager", speedup - 1e-6) == 1.0
    assert table.fast("eager", speedup) == 0.0
    for suffix in (".md", ".html"):
        page = Path(f"bench/kernelbench-level1-cpu{suffix}").read_text()
        assert "10_rows" in page
        assert "geometric mean" in page
        assert "<script" not in page


@pytest.mark.parametrize(
    ("words", "kept", "said"),
    [
        ([], True, "Decontaminated: no writer was shown"),
        (["--no-decontaminate"], False, "Not decontaminated: for 1 of 1 problems"),
    ],
)
def test_the_table_says_whether_writers_could_see_the_problem_itself(root, runs, words, kept, said):
    go(root, "2", *words)
    table = Table.model_validate_json(Path("bench/kernelbench-level1-cpu.json").read_text())
    assert [entry.decontaminated for entry in table.problems] == [kept]
    for suffix in (".md", ".html"):
        assert said in Path(f"bench/kernelbench-level1-cpu{suffix}").read_text()


def test_what_was_run_before_is_said_as_it_was(root, runs):
    go(root, "2", "--no-decontaminate")
    go(root, "2", "1_")
    table = Table.model_validate_json(Path("bench/kernelbench-level1-cpu.json").read_text())
    assert {e.id: e.decontaminated for e in table.problems} == {
        "2_columns": False, "1_cells": True,
    }  # fmt: skip


def test_settings_may_come_from_a_file(root, runs):
    Path("bench.toml").write_text("seed = 7\nwriters = ['library', 'sketch']\n")
    go(root, "2", "--config", "bench.toml")
    with SqlStore.open(Path("bench/runs/2_columns") / FILE_NAME, "x", writable=False) as store:
        spec = fold(store.records()).spec
    assert (spec.seed, spec.writers, spec.decontaminate) == (7, ("library", "sketch"), True)


def test_what_is_finished_is_not_run_again(root, runs):
    go(root, "2")
    go(root)
    assert runs == ["2_columns", "1_cells", "10_rows"]


def test_what_was_stopped_goes_on(root, runs, monkeypatch):
    go(root, "2")
    monkeypatch.setattr(
        bench, "INTERRUPTED", bench._read(Path("bench/runs/2_columns")).state.finish.reason
    )
    assert go(root) == 130
    assert runs == ["2_columns", "1_cells"]
    assert go(root, "2") == 130
    assert runs[-1] == "resumed 2_columns"


def test_what_cannot_be_run_is_a_line_of_the_table(root, runs, monkeypatch, capsys):
    def refuse(spec, *, folder):
        raise UsageError("It needs 300 GB.")

    monkeypatch.setattr(bench, "optimize", refuse)
    assert go(root, "1_cells") == 1
    entry = json.loads(Path("bench/kernelbench-level1-cpu.json").read_text())["problems"][0]
    assert (entry["outcome"], entry["reason"]) == ("not_run", "It needs 300 GB.")
    assert "0 of 1 problems passed." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["marble"], "There is no suite 'marble'"),
        (["kernelbench"], "--root"),
        (["kernelbench", "--root", "nowhere"], "does nowhere hold KernelBench?"),
        (["builtin", "nothing_like_it"], "No problem of the suite is called 'nothing_like_it'"),
    ],
)
def test_a_slip_costs_nothing(arguments, said, runs, capsys):
    assert run(["bench", *arguments]) == 2
    assert said in capsys.readouterr().err
    assert not runs


def test_some_problems_are_meant_by_how_they_begin():
    problems = {"softmax": "a", "softmax_backward": "b", "topk": "c"}
    assert bench._chosen(problems, ["softmax"]) == {"softmax": "a"}
    assert bench._chosen(problems, ["softm"]) == {"softmax": "a", "softmax_backward": "b"}
    assert bench._chosen(problems, []) == problems


def test_a_kernel_of_the_library_for_a_reported_problem_never_leaks_in(root, monkeypatch):
    """It would be the problem's own result, reported a second time. One is planted here."""
    planted = FakeEquip(writer=NumberWriter(), library=1)
    monkeypatch.setattr(
        bench, "optimize", lambda spec, *, folder: optimize(spec, folder=folder, equip=planted)
    )
    go(root, "2")
    with SqlStore.open(Path("bench/runs/2_columns") / FILE_NAME, "r", writable=False) as store:
        state = fold(store.records())
    assert state.spec.writers == ("sketch",)
    assert {step.plan.writer for step in state.steps.values()} <= {"sketch", "tuner"}
    # Where nobody reports, it is the first draft.
    other = optimize(
        RunSpec(problem="rows.py", languages=("cpp",)), folder=Path("run"), equip=planted
    )
    assert other.state.steps[1].plan.writer == "library"
