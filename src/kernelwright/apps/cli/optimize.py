"""`kernelwright optimize`: from a PyTorch file to a verified kernel in a folder.

The flags say what the TOML file and the Python call say, in the same words; `run.spec` checks them
all before anything is started.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from kernelwright.apps.cli.running import carry_out
from kernelwright.apps.cli.runs import chosen_folder
from kernelwright.apps.cli.terminal import JSON_OPTION, say
from kernelwright.core.errors import UsageError
from kernelwright.problems.suite import read_source
from kernelwright.report.plain import visible
from kernelwright.run.optimize import optimize
from kernelwright.run.spec import load_spec


def command(
    problem: Annotated[
        str | None, typer.Argument(help="A KernelBench file, or builtin:<name>.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="A TOML file with settings; flags go before it.")
    ] = None,
    strategy: Annotated[
        str | None, typer.Option(help="What to try next: refine, best_of_n.")
    ] = None,
    writer: Annotated[
        list[str] | None, typer.Option(help="Who drafts: sketch, llm. May be given again.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="A language model, as provider:name or provider:name@url.")
    ] = None,
    language: Annotated[
        list[str] | None, typer.Option(help="What to write in: cpp, triton, cuda. May be repeated.")
    ] = None,
    max_attempts: Annotated[int | None, typer.Option(help="Stop after so many attempts.")] = None,
    max_seconds: Annotated[float | None, typer.Option(help="Stop after so many seconds.")] = None,
    max_dollars: Annotated[
        float | None, typer.Option(help="Stop after so much is spent on models.")
    ] = None,
    width: Annotated[int | None, typer.Option(help="How many attempts go on at once.")] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed gives the same plans.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda.")] = None,
    require_isolation: Annotated[
        str | None, typer.Option(help="Refuse to run with less: bubblewrap or process.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="The run's name: its folder in runs/.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="The run's folder, instead of runs/NAME.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress.")] = False,
    as_json: Annotated[bool, JSON_OPTION] = False,
) -> int:
    """Search for a faster kernel for a PyTorch program, and prove it.

    Writes report.html, result.json, the kernel and a module that drops in for yours. Exits with 0
    when something faster than the best baseline was found, and with 1 when nothing was.
    """
    given: dict[str, Any] = {
        "problem": problem,
        "strategy": strategy,
        "writers": writer or None,
        "models": {"writer": model},
        "languages": language or None,
        "budget": {
            "max_attempts": max_attempts,
            "max_wall_s": max_seconds,
            "max_cost_usd": max_dollars,
        },
        "width": width,
        "seed": seed,
        "device": device,
        "require_isolation": require_isolation,
    }
    if problem is None and config is None:
        raise UsageError("Which problem? Give a KernelBench file, builtin:<name> or --config FILE.")
    spec = load_spec(config, given)
    # The file is read before a folder is chosen and any process started, so that a slip costs
    # nothing.
    read_source(spec.problem)
    folder = chosen_folder(spec.problem, name, out)
    say(Text(f"Loading {visible(spec.problem)} … the run is in {folder}"))
    return carry_out(
        lambda observer: optimize(spec, folder=folder, observer=observer),
        quiet=quiet,
        as_json=as_json,
    )
