"""`kernelwright optimize`: from a PyTorch file to a verified kernel in a folder.

The flags say what the TOML file and the Python call say, in the same words; `run.spec` checks them
all before anything is started.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from kernelwright.agents.elsewhere import equip
from kernelwright.apps.cli.approving import check_terminal
from kernelwright.apps.cli.running import carry_out
from kernelwright.apps.cli.runs import chosen_folder
from kernelwright.apps.cli.terminal import JSON_OPTION, say
from kernelwright.core.errors import UsageError
from kernelwright.problems.suite import read_source
from kernelwright.report.plain import visible
from kernelwright.run.memory import runs_in
from kernelwright.run.optimize import optimize
from kernelwright.run.regions.whole import optimize_regions
from kernelwright.run.spec import load_spec

_PROBLEM = typer.Argument(help="A KernelBench file, or builtin:<name>.")
_CONFIG = typer.Option(help="A TOML file with settings; flags go before it.")
_DIRECTION = typer.Option(help="forward, backward or forward_backward, instead of the file's own.")
_STRATEGY = typer.Option(help="What to try next: refine, best_of_n, beam, evolve, tree or bandit.")
_WRITER = typer.Option(help="Who drafts: library, sketch, compiler or llm. May be repeated.")
_LIBRARY = typer.Option(help="A folder of verified kernels to look in as well. May be repeated.")
_LESSONS = typer.Option(help="A folder of lessons to use as well. May be repeated.")
_NO_LESSONS = typer.Option("--no-lessons", help="Make no use of what earlier searches taught.")
_MEMORY = typer.Option(
    help="A run's folder, or one of such, whose attempts a model is told of. May be repeated."
)
_DECONTAMINATE = typer.Option(
    "--decontaminate",
    help="Show nothing of other runs and of the library that is for this very problem, or nearly.",
)
_MODEL = typer.Option(help="A language model, as provider:name or provider:name@url.")
_LANGUAGE = typer.Option(help="What to write in: cpp, triton or cuda. May be repeated.")
_ATTEMPTS = typer.Option(help="Stop after so many attempts.")
_SECONDS = typer.Option(help="Stop after so many seconds.")
_DEVICE_SECONDS = typer.Option(help="Stop after the judge spent so many seconds on the device.")
_DOLLARS = typer.Option(help="Stop after so much is spent on models.")
_TARGET = typer.Option(help="Stop when an attempt is surely so many times as fast as the baseline.")
_HEADROOM = typer.Option(
    help="Stop when, by the roofline, at most so many times the best speed is possible, as 1.1."
)
_WIDTH = typer.Option(help="How many attempts go on at once.")
_SEED = typer.Option(help="The same seed and history give the same plans.")
_DEVICE = typer.Option(help="auto, cpu, cuda, or one of several GPUs as cuda:N.")
_ISOLATION = typer.Option(help="Refuse to run with less isolation; `doctor` names this machine's.")
_JUDGE = typer.Option(
    "--judge",
    help="A `kernelwright serve` that judges, as http://HOST:PORT; its token is in "
    "KERNELWRIGHT_JUDGE_TOKEN.",
)
_APPROVE = typer.Option(
    "--approve", help="Show what would be handed back as a diff, and ask first."
)
_REGIONS = typer.Option(
    "--regions",
    help="Cut the program into regions, search a kernel for each, and put the whole together.",
)
_NAME = typer.Option(help="The run's name: its folder in runs/.")
_OUT = typer.Option(help="The run's folder, instead of runs/NAME.")
_QUIET = typer.Option("--quiet", help="Show no progress.")


def command(
    problem: Annotated[str | None, _PROBLEM] = None,
    config: Annotated[Path | None, _CONFIG] = None,
    direction: Annotated[str | None, _DIRECTION] = None,
    strategy: Annotated[str | None, _STRATEGY] = None,
    writer: Annotated[list[str] | None, _WRITER] = None,
    library: Annotated[list[Path] | None, _LIBRARY] = None,
    lessons: Annotated[list[Path] | None, _LESSONS] = None,
    no_lessons: Annotated[bool, _NO_LESSONS] = False,
    memory: Annotated[list[Path] | None, _MEMORY] = None,
    decontaminate: Annotated[bool, _DECONTAMINATE] = False,
    model: Annotated[str | None, _MODEL] = None,
    language: Annotated[list[str] | None, _LANGUAGE] = None,
    max_attempts: Annotated[int | None, _ATTEMPTS] = None,
    max_seconds: Annotated[float | None, _SECONDS] = None,
    max_device_seconds: Annotated[float | None, _DEVICE_SECONDS] = None,
    max_dollars: Annotated[float | None, _DOLLARS] = None,
    target_speedup: Annotated[float | None, _TARGET] = None,
    min_headroom: Annotated[float | None, _HEADROOM] = None,
    width: Annotated[int | None, _WIDTH] = None,
    seed: Annotated[int | None, _SEED] = None,
    device: Annotated[str | None, _DEVICE] = None,
    require_isolation: Annotated[str | None, _ISOLATION] = None,
    judge_url: Annotated[str | None, _JUDGE] = None,
    approve: Annotated[bool, _APPROVE] = False,
    regions: Annotated[bool, _REGIONS] = False,
    name: Annotated[str | None, _NAME] = None,
    out: Annotated[Path | None, _OUT] = None,
    quiet: Annotated[bool, _QUIET] = False,
    as_json: Annotated[bool, JSON_OPTION] = False,
) -> int:
    """Search for a faster kernel for a PyTorch program, and prove it.

    Writes report.html, result.json, the kernel and a module that drops in for yours. Exits with 0
    when something faster than the best baseline was found, and with 1 when nothing was.
    """
    if problem is None and config is None:
        raise UsageError("Which problem? Give a KernelBench file, builtin:<name> or --config FILE.")
    given = {
        "problem": problem,
        "direction": direction,
        "strategy": strategy,
        "writers": writer or None,
        "library": [str(folder) for folder in library] if library else None,
        "lessons": [str(folder) for folder in lessons] if lessons else None,
        "use_lessons": False if no_lessons else None,
        "memory": [str(folder) for folder in memory] if memory else None,
        "decontaminate": decontaminate or None,
        "models": {"writer": model},
        "languages": language or None,
        "budget": {
            "max_attempts": max_attempts,
            "max_wall_s": max_seconds,
            "max_device_s": max_device_seconds,
            "max_cost_usd": max_dollars,
            "target_speedup": target_speedup,
            "min_headroom": min_headroom,
        },
        "width": width,
        "seed": seed,
        "device": device,
        "require_isolation": require_isolation,
        "judge": judge_url,
        "approve": approve or None,
        "regions": regions or None,
    }
    spec = load_spec(config, given)
    if spec.approve:
        check_terminal()
    # Read here too, before a folder is chosen or a process started: a slip should cost nothing.
    read_source(spec.problem)
    runs_in(spec.memory)
    folder = chosen_folder(spec.problem, name, out)
    if not quiet:
        say(Text(f"Loading {visible(spec.problem)} … the run is in {folder}"))
    search = optimize_regions if spec.regions else optimize
    return carry_out(
        lambda watch, ask: search(
            spec, folder=folder, observer=watch, equip=equip, ask=ask if spec.approve else None
        ),
        quiet=quiet,
        as_json=as_json,
    )
