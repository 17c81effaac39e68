"""`kernelwright serve`: the judge behind HTTP, for trainers and agents."""

from __future__ import annotations

import importlib
import importlib.util
import os
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from kernelwright.apps.cli.terminal import say
from kernelwright.core.cards import kind_of, only_card, visible_cards
from kernelwright.core.errors import Unavailable
from kernelwright.core.evaluation import Isolation
from kernelwright.evaluate.isolation.levels import isolation_level
from kernelwright.evaluate.opening import open_judges
from kernelwright.languages.machine import cuda_devices
from kernelwright.serve.ledger import Ledger
from kernelwright.serve.service import Service
from kernelwright.serve.settings import Settings, check_exposure, read_token

_NEEDED = ("fastapi", "uvicorn")
_DAY_S = 86_400.0


_HOST = typer.Option(help="The address to listen on.")
_PORT = typer.Option(min=0, max=65535, help="The port to listen on; 0 takes a free one.")
_TOKEN = typer.Option(help="A file with the token that clients send, before KERNELWRIGHT_TOKEN.")
_FOLDER = typer.Option(help="Where submissions and answers are kept.")
_QUEUE = typer.Option(min=1, help="How many submissions may wait; more are answered with 429.")
_OPEN = typer.Option(min=1, help="How many problems are kept ready; each takes 1 to 2 GB.")
_ALLOW = typer.Option(
    "--allow-problems",
    help="Take the text of problems too. It runs outside the sandbox: trust who may ask.",
)
_KEEP = typer.Option(min=0, help="Answers older than this are forgotten at the start.")
_DEVICE = typer.Option(
    metavar="auto|cpu|cuda|cuda:N", help="Where candidates run: on every GPU, or on one of them."
)
_ISOLATION = typer.Option(help="Refuse to run with less isolation than this.")


def command(
    host: Annotated[str, _HOST] = "127.0.0.1",
    port: Annotated[int, _PORT] = 8765,
    token_file: Annotated[Path | None, _TOKEN] = None,
    folder: Annotated[Path, _FOLDER] = Path("kernelwright-serve"),
    queue: Annotated[int, _QUEUE] = 256,
    open_problems: Annotated[int, _OPEN] = 2,
    allow_problems: Annotated[bool, _ALLOW] = False,
    keep_days: Annotated[float, _KEEP] = 30.0,
    device: Annotated[str, _DEVICE] = "cpu",
    require_isolation: Annotated[Isolation, _ISOLATION] = "process",
) -> None:
    """Judge what others submit, over HTTP, until it is told to stop.

    Only this machine can reach it, unless --host says otherwise, and then a token is required.
    /openapi.json describes the API. SIGTERM stops it in order: the candidate under way gets its
    verdict, and those that wait are handed back as not judged.
    """
    settings = Settings(host=host, port=port, token=read_token(token_file, os.environ))
    check_exposure(settings)
    _check_isolation(settings)
    server = _server()
    where = kind_of(("cuda" if cuda_devices() else "cpu") if device == "auto" else device)
    opened = partial(open_judges, device=where, require_isolation=require_isolation)
    with (
        only_card(device),
        Ledger.open(folder) as ledger,
        closing(server.listen(settings)) as listening,
    ):
        ledger.forget(keep_days * _DAY_S)
        service = Service(
            ledger,
            opened,
            queue=queue,
            open_problems=open_problems,
            allow_problems=allow_problems,
            cards=len(visible_cards()) if where == "cuda" else 1,
        )
        told = Text(f"Serving on {server.url(listening)}. Submissions are kept in {folder}.")
        server.serve(service, settings, listening, ready=lambda: say(told))
    say("Stopped.")


def _check_isolation(settings: Settings) -> None:
    level, why = isolation_level()
    if not settings.loopback and level == "process":
        raise Unavailable(
            f"{settings.host} can be reached from other machines, and candidates cannot be "
            f"sandboxed here: {why} Run `kernelwright doctor` to see what is missing."
        )


def _server() -> Any:
    """The module that needs the web framework, which is an extra."""
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise Unavailable(
            f"Serving needs {' and '.join(missing)}. Install them with "
            "`pip install 'kernelwright[serve]'`."
        )
    return importlib.import_module("kernelwright.serve.server")
