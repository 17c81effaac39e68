"""`kernelwright agent`: a workspace, and what its commands say to an agent in a shell."""

import json
import os
import subprocess
import threading
import time

import pytest

from kernelwright.agents import workspace
from kernelwright.apps.cli import agent
from kernelwright.apps.cli.main import run
from kernelwright.run.folder import RunFolder
from kernelwright.testing.agents import SECRETS, AgentEquip, text


@pytest.fixture
def equip(monkeypatch):
    made = AgentEquip()
    monkeypatch.setattr(agent, "EQUIP", made)
    return made


@pytest.fixture
def place(tmp_path, equip, capsys):
    folder = tmp_path / "work"
    given = ["--problem", "builtin:row_sum", "--language", "cpp", "--max-attempts", "3"]
    assert run(["agent", "init", str(folder), *given, "--device", "cpu"]) == 0
    assert str(folder / "AGENTS.md") in capsys.readouterr().out.splitlines()
    return folder


@pytest.fixture
def ask(place, capsys):
    """A command in the workspace: its exit code, and what it printed."""

    def asked(name, *words):
        code = run(["agent", name, *map(str, words), "--workspace", str(place)])
        said = capsys.readouterr()
        return code, said.out if code < 2 else said.err

    return asked


def written(place, word, name="kernel.cpp", **given):
    (place / name).write_text(text(word, **given))
    return place / name


def test_a_workspace_has_the_task_and_how_to_work_and_no_secret(place):
    said = {p.name: p.read_text() for p in place.iterdir() if p.is_file()}
    assert set(said) == {"problem.py", "guide.md", "AGENTS.md", *workspace.COMMANDS}
    assert "one attempt of 3" in said["AGENTS.md"]
    assert 'extern "C" void kernel(' in said["guide.md"]
    assert "rows = 4" in said["problem.py"]
    assert not any(secret in text for secret in SECRETS for text in said.values())
    for name in workspace.COMMANDS:
        assert f"`./{name}" in said["AGENTS.md"]
        assert os.access(place / name, os.X_OK)
        assert len(said[name].splitlines()) == 2


def test_a_folder_with_anything_in_it_is_left_alone(tmp_path, equip, capsys):
    (tmp_path / "mine").write_text("")
    given = ["--problem", "builtin:row_sum", "--language", "cpp"]
    assert run(["agent", "init", str(tmp_path), *given]) == 2
    assert "is not empty" in capsys.readouterr().err
    assert equip.opened == []


def test_from_a_draft_to_a_promotion(place, ask):
    code, said = ask("build", written(place, "error: no such thing"))
    assert (code, "It did not build" in said) == (1, True)
    code, said = ask("judge", written(place, "hidden"))
    assert code == 1
    assert "inputs that are not shown" in said
    assert "left: 2 attempts" in said
    code, said = ask("judge", written(place, 2.0, tunable=True), "--idea", "Two at once.")
    assert code == 0
    assert "2 times as fast as eager" in said
    code, said = ask("tune", 2, "--trials", "5")
    assert "ended: the budget of 3 attempts is used up" in said
    code, said = ask("attempts")
    assert [line.split()[0] for line in said.splitlines()[:3]] == ["1", "2", "3"]
    assert "[Two at once.]" in said
    code, said = ask("promote")
    assert code == 0
    assert "holds: It is right" in said
    assert (place / "run" / "best.cpp").is_file()
    code, said = ask("report")
    assert (code, (place / "run" / "report.html").is_file()) == (0, True)
    code, said = ask("judge", written(place, 9.0))
    assert (code, "No more attempts" in said) == (2, True)


@pytest.mark.parametrize("word", ["wrong", "hidden", "crash", "prints", "reject", 2.0])
def test_no_command_tells_a_secret(place, ask, word):
    said = [ask("judge", written(place, word), *more)[1] for more in ([], ["--json"])]
    for command in (["attempts"], ["attempts", 1], ["profile", 1], ["lookup", "hidden"]):
        said += [ask(*command)[1], ask(*command, "--json")[1]]
    if word == 2.0:
        said += [ask("promote")[1], ask("promote", "--json")[1]]
    said += [ask("report")[1], ask("report", "--json")[1]]
    assert not any(secret in "".join(said) for secret in SECRETS)


def test_json_is_the_record(place, ask):
    told = json.loads(ask("judge", written(place, 2.0), "--json", "--cost-usd", "0.5")[1])
    assert told["attempt"]["cost_usd"] == 0.5
    assert told["verdict"]["outcome"] == "passed"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["judge", "nothing.cpp"], "cannot be read"),
        (["judge", "/dev/null"], "is empty"),
        (["profile", "1"], "There is no attempt 1"),
        (["attempts", "7"], "There is no attempt 7"),
        (["attempts", "--diff", "7"], "attempts N --diff M"),
        (["promote"], "No attempt has passed yet"),
    ],
)
def test_what_cannot_be_done_is_a_sentence(ask, words, said):
    code, told = ask(*words)
    assert (code, said in told) == (2, True), told
    assert len(told.strip().splitlines()) == 1


def test_an_idea_that_is_a_book_is_refused(place, ask):
    code, said = ask("judge", written(place, 2.0), "--idea", "x" * 501)
    assert (code, "idea cannot be that" in said) == (2, True)


def test_elsewhere_there_is_no_workspace(tmp_path, capsys):
    assert run(["agent", "attempts", "--workspace", str(tmp_path)]) == 2
    assert "agent init" in capsys.readouterr().err


def test_a_command_waits_for_another(place, ask):
    freed = threading.Event()

    def hold():
        with RunFolder(place / "run").locked():
            holding.set()
            freed.wait(10)

    holding = threading.Event()
    thread = threading.Thread(target=hold)
    thread.start()
    holding.wait(10)
    threading.Timer(0.3, freed.set).start()
    started = time.monotonic()
    assert ask("judge", written(place, 2.0))[0] == 0
    assert time.monotonic() - started > 0.25
    thread.join()


def test_a_file_of_the_agent_does_not_get_into_the_judges_process(place):
    """Its name could be that of a module."""
    for name in ("typer", "torch", "json"):
        (place / f"{name}.py").write_text("raise SystemExit('taken over')\n")
    done = subprocess.run(
        [str(place / "attempts")], cwd=place, capture_output=True, text=True, check=False
    )
    assert (done.returncode, "no attempts yet" in done.stdout) == (0, True), done.stderr


def test_the_skill_ships(capsys):
    assert run(["agent", "skill"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("---\nname: kernelwright\ndescription: ")
    assert "kernelwright agent init" in said
