"""`agent run`: a scripted stand-in for an agent, which works, hangs, hides and floods."""

import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from kernelwright.agents import opening, supervising
from kernelwright.agents.supervising import Limits, supervise
from kernelwright.apps.cli import agent
from kernelwright.apps.cli.main import run as command
from kernelwright.testing.agents import AgentEquip, text

QUICK = Limits(seconds=20, grace_s=0.3, term_s=0.5)


@pytest.fixture
def place(tmp_path, monkeypatch, capsys):
    """A workspace whose `./judge` is told the verdict by a judge of paper."""
    monkeypatch.setattr(agent, "EQUIP", AgentEquip())
    folder = tmp_path / "work"
    given = ["--problem", "builtin:row_sum", "--language", "cpp", "--device", "cpu"]
    assert command(["agent", "init", str(folder), *given, "--max-attempts", "2"]) == 0
    words = (folder / "judge").read_text()
    program = "from kernelwright.apps.cli.main import main; main()"
    fake = (
        "from kernelwright.apps.cli import agent; from kernelwright.testing.agents import "
        f"AgentEquip; agent.EQUIP = AgentEquip(); {program}"
    )
    assert program in words
    (folder / "judge").write_text(words.replace(program, fake))
    for number in (2, 3, 4):
        (folder / f"k{number}.cpp").write_text(text(float(number)))
    monkeypatch.setattr(supervising, "_READ_EVERY_S", 0.2)
    capsys.readouterr()
    return folder


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"


def test_an_agent_works_in_its_folder_and_what_it_did_is_kept(place):
    done = supervise(place, "./judge k2.cpp --idea One; echo $KERNELWRIGHT_PROMPT; cat", QUICK)
    assert (done.ended_by, done.status, done.attempts, done.promoted) == ("itself", 0, 1, False)
    assert done.best.step == 1
    said = (place / "run" / done.output).read_text()
    assert "attempt 1: It is right" in said
    assert "Read AGENTS.md" in said
    kept = json.loads((place / "run" / "agent-1.json").read_text())
    assert kept["command"].startswith("./judge")
    assert opening.read(place / "run").attempts().attempts[0].idea == "One"


def test_when_its_time_is_over_it_ends_with_all_that_it_started(place):
    script = (
        "trap '' TERM; sleep 60 & echo $! > pids; setsid sh -c 'sleep 61 & echo $! >> pids; wait'"
        " & while true; do sleep 1; done"
    )
    done = supervise(place, script, Limits(seconds=0.6, term_s=0.3))
    assert done.ended_by == "time"
    assert done.status == -signal.SIGKILL
    pids = [int(line) for line in (place / "pids").read_text().split()]
    assert len(pids) == 2
    assert not any(map(alive, pids))


def test_when_its_budget_is_used_up_it_has_some_time_to_promote_and_then_ends(place):
    script = "./judge k2.cpp; ./judge k3.cpp; ./judge k4.cpp; sleep 60"
    done = supervise(place, script, Limits(seconds=60, grace_s=4.0, term_s=0.5))
    assert (done.ended_by, done.attempts) == ("budget", 2)
    assert done.seconds < 50
    assert "No more attempts" in (place / "run" / done.output).read_text()


def test_one_that_prints_without_end_is_ended(place, monkeypatch):
    monkeypatch.setattr(supervising, "_MOST_OUTPUT", 1 << 20)
    assert supervise(place, "yes", QUICK).ended_by == "output"


def test_an_interrupt_ends_it_too(place):
    threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    started = time.monotonic()
    assert supervise(place, "sleep 60", QUICK).ended_by == "interrupt"
    assert time.monotonic() - started < 10


def test_what_it_left_undone_is_done_and_reported(place, capsys):
    words = ["agent", "run", str(place), "--command", "./judge k3.cpp", "--json"]
    assert command(words) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["attempts"], told["promoted"]) == (1, False)
    assert (place / "run" / "best.cpp").is_file()
    assert (place / "run" / "report.html").is_file()


def test_one_that_does_nothing_leaves_nothing(place, capsys):
    assert command(["agent", "run", str(place), "--command", "exit 7"]) == 1
    assert "ended by itself, with status 7" in capsys.readouterr().out


def test_where_there_is_no_workspace_nothing_is_started(tmp_path, capsys):
    words = ["agent", "run", str(tmp_path), "--command", f"touch {tmp_path}/made"]
    assert command(words) == 2
    assert not (tmp_path / "made").exists()
