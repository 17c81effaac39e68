"""Asking at the terminal whether a candidate may be handed back: figures, diff, question."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console, Group, RenderableType
from rich.text import Text

from kernelwright.core.errors import UsageError
from kernelwright.core.problem import Source
from kernelwright.core.run import Answer
from kernelwright.report.diff import DiffLine, unified
from kernelwright.report.text import short_verdict
from kernelwright.run.approval import Question

_COLOURS = {"added": "green", "removed": "red", "place": "cyan", "file": "bold", "same": ""}
_ANSWERS: dict[str, Answer] = {
    "y": "yes", "yes": "yes", "n": "no", "no": "no", "s": "stop", "stop": "stop",
}  # fmt: skip
_PROMPT = "Hand it back? yes, no (the next best is put forward) or stop: "


def check_terminal() -> None:
    """Whether somebody can be asked here.

    Raises:
        UsageError: input or error output is no terminal.
    """
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(
            "--approve asks at a terminal before anything is handed back, and there is none here. "
            "Leave it out, or run this at a terminal."
        )


def ask_on(console: Console, question: Question, *, read: Callable[[], str] = input) -> Answer:
    """Show `question` on `console` and ask until there is an answer.

    Ctrl-C, and the end of the input, break the run off; resumed, it asks again.

    Raises:
        UsageError: the input ended.
    """
    console.print(shown(question))
    with _interruptible():
        while True:
            # `input` would write its prompt to stdout, which is for the result.
            console.print(_PROMPT, end="")
            try:
                said = read().strip().lower()
            except EOFError as error:
                raise UsageError(
                    "There was no answer. `kernelwright resume` asks again."
                ) from error
            if said in _ANSWERS:
                return _ANSWERS[said]


def shown(question: Question) -> Group:
    """What a person sees before the question."""
    before = question.before
    against = (
        "a draft, so all of it is new" if before is None else f"against attempt {before.number}"
    )
    old = None if before is None else before.candidate
    lines: list[RenderableType] = [
        Text(f"Attempt {question.step} would be handed back:", style="bold"),
        short_verdict(question.evaluation),
        *_settings(old.values if old else {}, question.candidate.values),
        Text(f"Its text, {against}:", style="bold"),
        *_diff(old.source if old else None, question.candidate.source),
    ]
    return Group(*lines)


def _settings(old: dict[str, int], new: dict[str, int]) -> list[Text]:
    changed = [
        f"{name} {old[name]} → {value}" if name in old else f"{name}={value}"
        for name, value in new.items()
        if old.get(name) != value
    ]
    return [Text(f"settings: {', '.join(changed)}")] if changed else []


def _diff(old: Source | None, new: Source) -> list[Text]:
    nothing = new.model_copy(update={"files": dict.fromkeys(new.files, "")})
    lines = unified(old or nothing, new)
    if lines is None:
        return [Text("too long to be compared here; `kernelwright show` prints it.", style="dim")]
    return [_line(line) for line in lines]


def _line(line: DiffLine) -> Text:
    return Text(line.text, style=_COLOURS[line.kind])


@contextmanager
def _interruptible() -> Iterator[None]:
    """A run takes the first Ctrl-C as a wish to end soon, which would leave the question standing.
    Here it breaks off at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
