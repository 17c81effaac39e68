"""At a terminal a person sees the diff and the figures, and is asked until there is an answer."""

import io
import os
import pty
import signal
from pathlib import Path

import pytest
from rich.console import Console

from kernelwright.apps.cli import approving
from kernelwright.apps.cli.approving import ask_on, check_terminal
from kernelwright.apps.cli.main import run
from kernelwright.apps.cli.progress import Progress
from kernelwright.core.candidate import Plan, Proposal
from kernelwright.core.errors import UsageError
from kernelwright.core.run import RunSpec
from kernelwright.run.approval import Question
from kernelwright.run.optimize import optimize
from kernelwright.store.fold import Step
from kernelwright.testing.equipment import FakeEquip
from kernelwright.testing.evaluators import TILE, evaluation_of, number_candidate, passed

PLAN = Plan(kind="draft", language="cpp", writer="llm")


def question(text="2.5", before="1.5", settings=None):
    candidate = number_candidate(text, tunables=(TILE,)).tuned(settings or {})
    old = before and number_candidate(before, tunables=(TILE,))
    step = old and Step(number=2, plan=PLAN, proposal=Proposal(step=2, plan=PLAN, candidate=old))
    evaluation = evaluation_of(candidate, passed(2.5), "promotion")
    return Question(step=5, candidate=candidate, evaluation=evaluation, before=step)


def asked(what, *said):
    """What is printed, the answer, and how often it was asked."""
    answers = list(said)
    console = Console(file=io.StringIO(), width=100)
    answer = ask_on(console, what, read=lambda: answers.pop(0))
    text = console.file.getvalue()
    return text, answer, text.count("Hand it back?")


def test_the_diff_the_figures_and_changed_settings_are_shown():
    text, answer, _ = asked(question(settings={"TILE": 4}), "yes")
    assert answer == "yes"
    for part in ("Attempt 5", "2.50×", "against attempt 2", "-1.5", "+2.5", "TILE 1 → 4"):
        assert part in text


def test_of_a_draft_all_text_is_new():
    text, _, _ = asked(question(before=None), "yes")
    assert "all of it is new" in text
    assert "+2.5" in text


def test_a_text_that_is_too_long_for_a_diff_is_said_to_be():
    text, _, _ = asked(question(text="x\n" * 5000), "yes")
    assert "too long to be compared" in text


def test_control_characters_of_a_candidate_do_not_reach_the_terminal():
    text, _, _ = asked(question(text="2 \x1b[2J"), "yes")
    assert "\x1b" not in text


@pytest.mark.parametrize(
    ("said", "answer"), [("Y", "yes"), (" no ", "no"), ("n", "no"), ("s", "stop"), ("stop", "stop")]
)
def test_an_answer_may_be_short(said, answer):
    assert asked(question(), said)[1] == answer


def test_it_is_asked_until_there_is_an_answer():
    assert asked(question(), "", "maybe", "no")[1:] == ("no", 3)


def test_nothing_of_it_goes_to_stdout(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO("yes\n"))
    assert ask_on(Console(stderr=True), question()) == "yes"
    said = capsys.readouterr()
    assert said.out == ""
    assert "Hand it back?" in said.err


def test_the_end_of_the_input_is_no_answer():
    def ended():
        raise EOFError

    with pytest.raises(UsageError, match="resume"):
        ask_on(Console(file=io.StringIO()), question(), read=ended)


def test_ctrl_c_at_the_question_breaks_the_run_off():
    def press():
        os.kill(os.getpid(), signal.SIGINT)
        return "yes"

    def ask(what):
        return ask_on(Console(file=io.StringIO()), what, read=press)

    with pytest.raises(KeyboardInterrupt):
        optimize(RunSpec(problem="rows.py", languages=("cpp",)), equip=FakeEquip(), ask=ask)


def test_ctrl_c_means_what_it_did_once_there_is_an_answer():
    def ours(*_):
        """What somebody else set."""

    before = signal.signal(signal.SIGINT, ours)
    try:
        asked(question(), "yes")
        assert signal.getsignal(signal.SIGINT) is ours
    finally:
        signal.signal(signal.SIGINT, before)


def test_input_and_error_output_must_be_a_terminal(monkeypatch):
    main, side = pty.openpty()
    with os.fdopen(main), os.fdopen(side) as terminal, Path(os.devnull).open() as nothing:
        monkeypatch.setattr(approving.sys, "stdin", terminal)
        monkeypatch.setattr(approving.sys, "stderr", terminal)
        check_terminal()
        monkeypatch.setattr(approving.sys, "stderr", nothing)
        with pytest.raises(UsageError):
            check_terminal()
        monkeypatch.setattr(approving.sys, "stderr", terminal)
        monkeypatch.setattr(approving.sys, "stdin", nothing)
        with pytest.raises(UsageError):
            check_terminal()


def test_nothing_is_drawn_over_the_question():
    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    with Progress(console) as progress:
        assert progress._live.is_started
        with progress.aside():
            assert not progress._live.is_started
        assert progress._live.is_started


def test_a_run_that_asks_is_not_resumed_without_a_terminal(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def leave(_question):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        optimize(RunSpec(problem="rows.py", languages=("cpp",)), equip=FakeEquip(), ask=leave)
    assert run(["resume", "runs/rows-1"]) == 2
    assert "there is none here" in capsys.readouterr().err
