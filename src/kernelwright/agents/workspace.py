"""A folder for a coding agent that has a shell: the task, how to work, and commands for the judge.

The run is in the folder ``run`` of it, a run like any other.
"""

from __future__ import annotations

import os
import shlex
import sys
from importlib.resources import files
from pathlib import Path

import jinja2

from kernelwright.agents.session import Session
from kernelwright.core.errors import StoreError, UsageError
from kernelwright.store.sql import FILE_NAME

RUN = "run"
COMMANDS = ("judge", "build", "profile", "tune", "attempts", "lookup", "promote", "report")
# Not the folder's own files: one called torch.py must not get into the judge's process.
_PROGRAM = "-P -c 'from kernelwright.apps.cli.main import main; main()'"


def check_free(folder: Path) -> None:
    """Refuse a folder that has anything in it.

    Raises:
        UsageError: it has, or is a file.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is not empty. Choose a folder for this work alone.")


def furnish(folder: Path, session: Session) -> tuple[Path, ...]:
    """Write the task and the commands into `folder`; the paths of what was written.

    Raises:
        StoreError: a file could not be written.
    """
    task = session.describe()
    texts = {
        "problem.py": session.problem.reference.text,
        "guide.md": task.guide,
        "AGENTS.md": _how_to_work(session),
        **{name: _command(folder, name) for name in COMMANDS},
    }
    written = [folder / name for name in texts]
    try:
        for path, text in zip(written, texts.values(), strict=True):
            path.write_text(text, encoding="utf-8", newline="\n")
            if path.name in COMMANDS:
                path.chmod(0o755)
    except OSError as error:
        raise StoreError(f"{folder} cannot be written: {error.strerror}.") from error
    return tuple(written)


def run_in(folder: Path) -> Path:
    """The folder of the run in a workspace.

    Raises:
        UsageError: `folder` is no workspace.
    """
    if (folder / RUN / FILE_NAME).is_file():
        return folder / RUN
    raise UsageError(
        f"{folder} is no workspace. Make one with `kernelwright agent init DIR --problem P "
        "--language L`, and call its commands from there."
    )


def skill() -> str:
    """The text of ``SKILL.md``, for agents that read such files."""
    return files(__package__).joinpath("SKILL.md").read_text(encoding="utf-8")


def _how_to_work(session: Session) -> str:
    template = files(__package__).joinpath("templates", "AGENTS.md.j2").read_text(encoding="utf-8")
    made = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    return made.from_string(template).render(
        problem=session.problem,
        language=", ".join(session.spec.languages),
        attempts=session.spec.budget.max_attempts,
    )


def _command(folder: Path, name: str) -> str:
    python, where = shlex.quote(sys.executable), shlex.quote(os.path.abspath(folder))  # noqa: PTH100
    return f'#!/bin/sh\nexec {python} {_PROGRAM} agent {name} --workspace {where} "$@"\n'
