"""What commands print with: results go to stdout, conversation to stderr.

With ``--json`` stdout holds one JSON value and nothing else, so that a program can read it; where
results come one after another, one on each line.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

import typer
from pydantic import BaseModel
from rich.console import Console, Group, RenderableType

JSON_OPTION = typer.Option("--json", help="Print the result as JSON on stdout.")

# A file has no width; a table in it is as wide as a wide terminal.
_FILE_WIDTH = 160

_out = Console(highlight=False, width=None if sys.stdout.isatty() else _FILE_WIDTH)
_err = Console(stderr=True, highlight=False)


def show(shown: RenderableType) -> None:
    """Print a part of the result for a person."""
    # In a group a text keeps its own rule for long lines; by itself the console joins it anew.
    _out.print(Group(shown), crop=False)


def say(shown: RenderableType) -> None:
    """Tell the person something that is not the result."""
    _err.print(shown)


def talk() -> Console:
    """The console of the conversation, for live displays."""
    return _err


def group() -> typer.Typer:
    """A command that has commands of its own."""
    return typer.Typer(
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        add_completion=False,
    )


def emit_line(value: BaseModel) -> None:
    """Print one of many results for a program, on a line of its own and at once."""
    sys.stdout.write(value.model_dump_json() + "\n")
    sys.stdout.flush()


def emit(value: BaseModel | Sequence[BaseModel]) -> None:
    """Print the result for a program."""
    if isinstance(value, BaseModel):
        sys.stdout.write(value.model_dump_json(indent=2) + "\n")
        return
    items = [item.model_dump(mode="json") for item in value]
    sys.stdout.write(json.dumps(items, indent=2, ensure_ascii=False) + "\n")
