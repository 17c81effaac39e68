"""The door: fast, lazy, and every ending in words with the right exit code."""

import json
import resource
import subprocess
import sys
from types import ModuleType

import pytest

from kernelwright.apps.cli import main as door
from kernelwright.core.errors import StoreError, UsageError

HEAVY = ("torch", "sqlalchemy", "optuna", "pydantic_ai", "pydantic", "numpy", "rich")


@pytest.fixture
def boom(monkeypatch):
    """A command that raises whatever the test sets as ``raises``."""
    module = ModuleType("kernelwright.apps.cli.boom")

    def command() -> int:
        raise module.raises

    module.command = command
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(door.COMMANDS, "boom", "Raises something.")
    return module


def loaded_after(*words: str) -> set[str]:
    """Which of the heavy packages a process has loaded when the command line returns."""
    code = (
        "import json, sys\n"
        "from kernelwright.apps.cli.main import run\n"
        f"run({list(words)!r})\n"
        f"print(json.dumps([m for m in {HEAVY!r} if m in sys.modules]), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    return set(json.loads(done.stderr.splitlines()[-1]))


def test_help_loads_nothing_heavy():
    assert loaded_after("--help") == set()


def test_help_takes_less_than_three_tenths_of_a_second_of_processor_time():
    def used() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    code = "from kernelwright.apps.cli.main import run; run(['--help'])"
    spent = []
    for _ in range(3):
        before = used()
        subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, timeout=60)
        spent.append(used() - before)
    assert min(spent) < 0.3


def test_the_help_of_a_command_does_not_load_torch():
    # One process for all of them: what one has loaded stays, so that nobody is overlooked.
    code = (
        "import json, sys\n"
        "from kernelwright.apps.cli.main import run\n"
        "loaded_by = {}\n"
        f"for command in {list(door.COMMANDS)!r}:\n"
        "    assert run([command, '--help']) == 0\n"
        "    loaded_by[command] = 'torch' in sys.modules\n"
        "print(json.dumps(loaded_by), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    loaded_by = json.loads(done.stderr.splitlines()[-1])
    assert loaded_by == dict.fromkeys(door.COMMANDS, False)


def test_with_no_words_it_shows_its_help(capsys):
    assert door.run([]) == 0
    shown = capsys.readouterr().out
    assert all(command in shown for command in door.COMMANDS)


def test_it_knows_its_version(capsys):
    assert door.run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("kernelwright 0.")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["optmize", "x.py"], "No command is called 'optmize'. Did you mean 'optimize'?"),
        (["doctor", "--jsn"], "No such option: --jsn"),
        (["doctor", "extra"], "unexpected extra argument"),
        (["resume"], "Missing argument"),
        (["judge"], "Which problem and candidate?"),
        (["judge", "a.py", "b.cpp", "--require-isolation", "x"], "bubblewrap"),
        (["problems", "lst"], "Did you mean 'list'?"),
        (["show", "run", "one"], "valid integer"),
    ],
)
def test_what_cannot_be_parsed_is_one_sentence_and_exit_code_2(capsys, words, sentence):
    assert door.run(words) == 2
    said = capsys.readouterr()
    assert sentence in said.err
    assert said.out == ""
    assert len(said.err.strip().splitlines()) == 1
    assert "Traceback" not in said.err


@pytest.mark.parametrize("error", [UsageError("No such thing."), StoreError("The disk is full.")])
def test_an_error_of_ours_is_its_sentence_and_exit_code_2(capsys, boom, error):
    boom.raises = error
    assert door.run(["boom"]) == 2
    assert capsys.readouterr().err == f"{error}\n"


def test_a_bug_is_an_apology_and_exit_code_3(capsys, boom, monkeypatch):
    monkeypatch.delenv(door.DEBUG_VARIABLE, raising=False)
    boom.raises = ZeroDivisionError("division by zero")
    assert door.run(["boom"]) == 3
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert door.DEBUG_VARIABLE in said


def test_a_bug_shows_where_it_is_when_asked(capsys, boom, monkeypatch):
    monkeypatch.setenv(door.DEBUG_VARIABLE, "1")
    boom.raises = ZeroDivisionError("division by zero")
    assert door.run(["boom"]) == 3
    assert "Traceback" in capsys.readouterr().err


def test_an_interrupt_is_no_traceback(capsys, boom):
    boom.raises = KeyboardInterrupt()
    assert door.run(["boom"]) == 130
    assert capsys.readouterr().err == "Stopped.\n"


def test_a_reader_that_left_is_no_error():
    code = "from kernelwright.apps.cli.main import main; main()"
    done = subprocess.run(
        f'"{sys.executable}" -c "{code}" --help | head -c 1; exit ${{PIPESTATUS[0]}}',
        shell=True, executable="/bin/bash", capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.stderr == ""
