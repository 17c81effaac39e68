"""The command line: which commands there are, and what each way of ending means.

Only the module of the command that was asked for is imported, so ``--help`` stays fast and loads
neither torch nor pydantic. What a command does lives in its own file.
"""

from __future__ import annotations

import importlib
import keyword
import os
import sys
import traceback
from collections.abc import Sequence

import typer

import kernelwright
from kernelwright.core.errors import KernelwrightError, UnknownName

COMMANDS: dict[str, str] = {
    "optimize": "Search for a faster kernel for a PyTorch program, and prove it.",
    "judge": "Say whether candidates are right and how fast they are.",
    "bench": "Optimize every problem of a suite, and write a table of what came out.",
    "compare": "Compare strategies at equal budget, live or from recorded pools.",
    "pool": "Judge all that the sketches have for some problems, to compare strategies on.",
    "profile": "Say what limits a candidate, and how far from the roofline it is.",
    "serve": "Judge what trainers and agents submit, over HTTP.",
    "mcp": "Serve the judge to coding agents, over MCP.",
    "agent": "Give a coding agent a task, a judge and a budget.",
    "import": "Take the verdicts of a batch, judged elsewhere, into a run's log.",
    "resume": "Go on with a run that was stopped, from its log.",
    "ablate": "Undo each edit of a run's best candidate alone, and say what it was worth.",
    "report": "Write report.html and result.json of a run again, from its log.",
    "show": "Print a run, or one of its attempts with its source.",
    "library": "List, show, judge again and add verified kernels.",
    "lessons": "Draw lessons from past searches, try what they are worth, and list them.",
    "regions": "Show what a program would be cut into, and what would stay torch.",
    "problems": "List, show and admit problems.",
    "doctor": "Say what this machine can do, and what is missing.",
}

OK, NOTHING_BETTER, USAGE, BUG, INTERRUPTED = 0, 1, 2, 3, 130

DEBUG_VARIABLE = "KERNELWRIGHT_DEBUG"

_EPILOG = (
    "Exit codes: 0 done; 1 the verdict failed or nothing better was found; "
    "2 it could not be done, and one sentence says why; 3 a bug in Kernelwright."
)


def main() -> None:
    """The console script."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Carry out `arguments`, say on stderr what went wrong, and return the exit code."""
    try:
        return _dispatch(arguments or ["--help"])
    except typer.TyperException as error:
        return _complain(_usage(error.format_message(), arguments))
    except KernelwrightError as error:
        return _complain(str(error))
    except typer.Abort:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone (`| head`); nothing is left to say, or to flush.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    # The last boundary: whatever else happens, a user gets words and not a stack.
    except Exception as error:
        return _apologise(error)


def application(command: str | None) -> typer.Typer:
    """The commands, of which `command` has its options and the others only their sentence.

    Raises:
        UnknownName: there is no such command.
    """
    if command is not None and command not in COMMANDS:
        raise UnknownName.of("command", command, COMMANDS)
    app = typer.Typer(
        add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None, epilog=_EPILOG
    )
    app.callback(help=kernelwright.__doc__)(_options)
    for name, sentence in COMMANDS.items():
        if name == command:
            _add(app, name, sentence)
        else:
            app.command(name, help=sentence)(_elsewhere)
    return app


def _dispatch(arguments: Sequence[str]) -> int:
    click_command = typer.main.get_command(application(_asked_for(arguments)))
    # A keyboard interrupt comes back as the exit code that shells use for it.
    returned = click_command.main(
        args=list(arguments), prog_name="kernelwright", standalone_mode=False
    )
    if returned == INTERRUPTED:
        sys.stderr.write("Stopped.\n")
    return returned if isinstance(returned, int) else OK


def _asked_for(arguments: Sequence[str]) -> str | None:
    return next((word for word in arguments if not word.startswith("-")), None)


def _usage(said: str, arguments: Sequence[str]) -> str:
    """What the parser said, in one sentence, and where to look; a group's help is left whole."""
    if "\n" in said:
        return said
    command = _asked_for(arguments)
    known = f"kernelwright {command}" if command in COMMANDS else "kernelwright"
    stop = "" if said.endswith((".", "?", "!")) else "."
    return f"{said}{stop} `{known} --help` lists what there is."


def _add(app: typer.Typer, name: str, sentence: str) -> None:
    """Register the real command. A module holds a function, or a group of subcommands."""
    module = f"{name}_" if keyword.iskeyword(name) else name
    command = importlib.import_module(f"kernelwright.apps.cli.{module}").command
    if isinstance(command, typer.Typer):
        app.add_typer(command, name=name, help=sentence)
    else:
        app.command(name)(command)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"kernelwright {kernelwright.__version__}")
        raise typer.Exit


def _options(
    version: bool = typer.Option(
        False, "--version", is_eager=True, callback=_version, help="Print the version."
    ),
) -> None:
    """Options of the program itself; each is carried out by its callback."""


def _elsewhere() -> None:
    """Stands for a command that was not asked for; only its sentence is shown."""


def _complain(message: str) -> int:
    sys.stderr.write(f"{message}\n")
    return USAGE


def _apologise(error: Exception) -> int:
    if os.environ.get(DEBUG_VARIABLE):
        traceback.print_exception(error)
    sys.stderr.write(
        f"Sorry: something in Kernelwright broke ({type(error).__name__}: {error}). "
        f"Set {DEBUG_VARIABLE}=1 to see where, and please report it.\n"
    )
    return BUG
