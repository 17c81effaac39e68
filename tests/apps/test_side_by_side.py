"""Runs that are made side by side, each in a process of its own on a card that it is dealt."""

import os
import time
from functools import partial
from pathlib import Path

import pytest

from kernelwright.apps.cli import bench
from kernelwright.apps.cli.main import run
from kernelwright.apps.cli.side_by_side import SideBySide, check_jobs
from kernelwright.core.cards import VARIABLE, Card
from kernelwright.core.errors import UsageError
from kernelwright.core.run import RunSpec
from kernelwright.report.table import Table
from kernelwright.run.optimize import optimize
from kernelwright.testing.equipment import FakeEquip
from kernelwright.testing.evaluators import NumberWriter

CARDS = (Card("GPU-one", "GPU-one"), Card("GPU-two", "GPU-two"))
SPEC = RunSpec(problem="builtin:softmax", writers=("sketch",), device="cuda:1")


# What the processes make: each does what the name of its folder says.


def act(spec, folder):
    try:
        began = folder.parent / f"{folder.name}.began"
        began.write_text(f"{os.environ[VARIABLE]} {os.getpid()} {spec.device}")
        as_named(folder)
    except KeyboardInterrupt:
        (folder.parent / f"{folder.name}.ended").write_text("with what it had")


def as_named(folder):
    match folder.name:
        case "refuses":
            raise UsageError("It needs 300 GB.")
        case "dies":
            os._exit(3)
        case "meets_one" | "meets_two":
            until(lambda: len(list(folder.parent.glob("meets_*.began"))) == 2)
        case "waits":
            time.sleep(60)


def fake_run(spec, folder):
    optimize(spec, folder=folder, equip=FakeEquip(writer=NumberWriter()))


def until(true):
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def tasks(runs, folder, *names):
    return [partial(runs.make, act, SPEC, folder / name) for name in names]


def test_runs_at_once_have_processes_and_cards_of_their_own(tmp_path):
    runs = SideBySide(2, CARDS)
    runs.carry_out(tasks(runs, tmp_path, "meets_one", "meets_two"))
    one, two = (f.read_text().split() for f in tmp_path.glob("meets_*.began"))
    assert {one[0], two[0]} == {"GPU-one", "GPU-two"}
    assert len({one[1], two[1], str(os.getpid())}) == 3
    assert one[2] == two[2] == "cuda"  # the only one that it has


@pytest.mark.parametrize(("name", "said"), [("refuses", "300 GB"), ("dies", "ended with 3")])
def test_what_a_run_could_not_do_is_told(tmp_path, name, said):
    runs = SideBySide(1, CARDS)
    with pytest.raises(UsageError, match=said):
        runs.make(act, SPEC, tmp_path / name)
    runs.make(act, SPEC, tmp_path / "next")  # and there is room again


def test_when_one_fails_the_others_end_with_what_they_have_and_none_begins(tmp_path):
    runs = SideBySide(2, CARDS)

    def fails():
        until(lambda: (tmp_path / "waits.began").exists())
        raise ZeroDivisionError

    waiting = tasks(runs, tmp_path, "waits", "never")
    with pytest.raises(ZeroDivisionError):
        runs.carry_out([waiting[0], fails, *waiting[1:] * 5])
    assert (tmp_path / "waits.ended").exists()


@pytest.mark.parametrize(
    ("jobs", "device", "said"), [(0, "cuda", "At least one"), (2, "cpu", "slow each other")]
)
def test_so_many_runs_are_not_made(jobs, device, said):
    with pytest.raises(UsageError, match=said):
        check_jobs(jobs, device)
    check_jobs(1, device)


def test_a_bench_on_a_cpu_makes_one_run_at_a_time(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(["bench", "builtin", "softmax", "--device", "cpu", "--jobs", "2"]) == 2
    assert "Leave --jobs out" in capsys.readouterr().err
    assert not Path("bench").exists()


def test_a_bench_of_runs_side_by_side_has_the_table_of_one_after_another(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(bench, "check_jobs", lambda jobs, device: None)
    monkeypatch.setattr(bench, "make_run", fake_run)
    command = ["bench", "builtin", "row_sum", "row_max", "--device", "cpu"]
    assert run([*command, "--jobs", "3"]) == 0
    table = Table.model_validate_json(Path("bench/builtin-cpu.json").read_text())
    assert [entry.id for entry in table.problems] == ["row_sum", "row_max"]
    assert {entry.outcome for entry in table.problems} == {"passed"}
