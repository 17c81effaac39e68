"""`kernelwright mcp`: the judge as tools for coding agents, over the Model Context Protocol."""

from __future__ import annotations

import importlib
import importlib.util
import os
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from kernelwright.agents.benches import Benches
from kernelwright.agents.elsewhere import equip
from kernelwright.agents.hall import Hall, problem_files
from kernelwright.agents.limits import Turns
from kernelwright.apps.cli.serve import check_isolation
from kernelwright.apps.cli.terminal import say
from kernelwright.core.cards import kind_of, only_card
from kernelwright.core.errors import Unavailable, UsageError
from kernelwright.core.evaluation import Isolation
from kernelwright.core.run import Budget
from kernelwright.run.equipment import Equip
from kernelwright.run.folder import RUNS
from kernelwright.run.spec import BATCH
from kernelwright.serve.listening import listen, url
from kernelwright.serve.settings import Settings, check_exposure, read_token

# What the parts of a run are made with; a test puts fakes here.
EQUIP: Equip = equip

_PROBLEM = typer.Option(
    help="A KernelBench file, or a folder of them, besides the built-in problems. Its code runs "
    "outside the sandbox. May be repeated."
)
_HTTP = typer.Option("--http", help="Serve over HTTP instead of stdio.")
_HOST = typer.Option(help="The address to listen on.")
_PORT = typer.Option(min=0, max=65535, help="The port to listen on; 0 takes a free one.")
_TOKEN = typer.Option(help="A file with the token that clients send, before KERNELWRIGHT_TOKEN.")
_RUNS = typer.Option(help="The folder that runs are kept in.")
_ATTEMPTS = typer.Option(min=1, help="How many attempts a run has at most.")
_SECONDS = typer.Option(help="How many seconds a run has at most.")
_DOLLARS = typer.Option(help="How many dollars a run has at most, as its agent counts them.")
_OPEN = typer.Option(min=1, help="How many problems are kept ready; each takes 1 to 2 GB.")
_DEVICE = typer.Option(
    help="Where candidates run: auto, cpu, cuda, or one of several GPUs as cuda:N."
)
_ISOLATION = typer.Option(help="Refuse to run with less isolation than this.")
_JUDGE = typer.Option(
    "--judge",
    help="A `kernelwright serve` that judges, as http://HOST:PORT; its token is in "
    "KERNELWRIGHT_JUDGE_TOKEN.",
)


def command(
    problem: Annotated[list[Path] | None, _PROBLEM] = None,
    http: Annotated[bool, _HTTP] = False,
    host: Annotated[str, _HOST] = "127.0.0.1",
    port: Annotated[int, _PORT] = 8766,
    token_file: Annotated[Path | None, _TOKEN] = None,
    runs: Annotated[Path, _RUNS] = RUNS,
    max_attempts: Annotated[int, _ATTEMPTS] = 24,
    max_seconds: Annotated[float | None, _SECONDS] = None,
    max_dollars: Annotated[float | None, _DOLLARS] = None,
    open_problems: Annotated[int, _OPEN] = 2,
    device: Annotated[str, _DEVICE] = "auto",
    require_isolation: Annotated[Isolation, _ISOLATION] = "process",
    judge_url: Annotated[str | None, _JUDGE] = None,
) -> None:
    """Serve the judge to coding agents over MCP: on stdin and stdout, or over HTTP.

    Every attempt is in the log of an ordinary run in --runs. Over HTTP only this machine can reach
    it, unless --host says otherwise, and then a token is required; clients send it as
    `Authorization: Bearer TOKEN` to http://HOST:PORT/mcp.
    """
    if judge_url == BATCH:
        raise UsageError(
            "A client over MCP cannot carry files to a judge. Use --judge batch with "
            "`kernelwright agent init`."
        )
    # Read before anything else is started, so that no process of ours inherits it.
    token = read_token(token_file, os.environ)
    files = problem_files(problem or [])
    # Runs beside each other share the process, and so the one card.
    kind = device if device == "auto" else kind_of(device)
    budget = Budget(max_attempts=max_attempts, max_wall_s=max_seconds, max_cost_usd=max_dollars)
    serving = _serving()

    def hall() -> Hall:
        return Hall(
            Benches(EQUIP, Turns(), open_problems),
            runs,
            files=files,
            budget=budget,
            device=kind,
            require_isolation=require_isolation,
            judge=judge_url,
        )

    if not http:
        with only_card(device):
            serving.over_stdio(hall)
        return
    settings = Settings(host=host, port=port, token=token, body_bytes=serving.BODY_BYTES)
    check_exposure(settings)
    check_isolation(settings)
    with only_card(device), closing(listen(settings)) as listening:
        told = Text(f"Serving on {url(listening)}{serving.PATH}. Runs are kept in {runs}.")
        serving.over_http(hall, settings, listening, ready=lambda: say(told))
    say("Stopped.")


def _serving() -> Any:
    """The module that needs the SDK, which is an extra."""
    if importlib.util.find_spec("mcp") is None:
        raise Unavailable(
            "Serving over MCP needs its SDK. Install it with `pip install 'kernelwright[mcp]'`."
        )
    try:
        return importlib.import_module("kernelwright.apps.mcp.serving")
    except ImportError as error:
        raise UsageError(
            f"The MCP SDK that is installed is not one that we know ({error}). Install "
            "`kernelwright[mcp]`."
        ) from error
