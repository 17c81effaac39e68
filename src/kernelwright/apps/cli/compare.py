"""`kernelwright compare`: strategies at equal budget, live or from recorded pools."""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from kernelwright.apps.cli.searches import budget_of, listed, origins, strategies_named
from kernelwright.apps.cli.terminal import JSON_OPTION, emit, say, show
from kernelwright.compare.comparing import Arm, in_pools, on_ground
from kernelwright.compare.ground import live
from kernelwright.compare.page import HEADINGS, cells, render, summary
from kernelwright.compare.pool import read_pools
from kernelwright.compare.standing import Comparison, compared
from kernelwright.compare.trial import Trial
from kernelwright.core.errors import StoreError, UnknownName, UsageError
from kernelwright.core.run import Budget
from kernelwright.evaluate.environment import environment
from kernelwright.knowledge.lessons.folder import SHIPPED, read_lessons
from kernelwright.report.formats import counted, times
from kernelwright.report.plain import visible
from kernelwright.run.folder import RunFolder
from kernelwright.run.spec import SKETCH, device_of, load_spec

PAGE, RESULT = "compare.html", "compare.json"
REFERENCE = "best_of_n"

_STRATEGIES = typer.Option(help="Which to compare, as a,b,c; all when left out.")
_PROBLEMS = typer.Option(
    help="Built-in problems or files, as a,b,c; all in the pools when left out."
)
_POOL = typer.Option(help="Play from the pools in this folder, instead of judging here.")
_BUDGET = typer.Option(help="What each search may spend: attempts=N, seconds=S or both.")
_SEEDS = typer.Option(min=1, help="How often each search is made, with another seed.")
_REFERENCE = typer.Option(help="The strategy that the others are measured against.")
_LESSONS = typer.Option(
    help="Make each search once more, as NAME+lessons, with the proven lessons that ship and those "
    "in this folder; not with one that was drawn from the problem itself."
)
_WRITER = typer.Option(help="Live: who drafts. May be repeated.")
_LANGUAGE = typer.Option(help="Live: what to write in. May be repeated.")
_DEVICE = typer.Option(help="Live: auto, cpu, cuda, or one of several GPUs as cuda:N.")
_OUT = typer.Option(help=f"Where {PAGE} and {RESULT} go.")


def command(
    strategies: Annotated[str | None, _STRATEGIES] = None,
    problems: Annotated[str | None, _PROBLEMS] = None,
    pool: Annotated[Path | None, _POOL] = None,
    budget: Annotated[str, _BUDGET] = "attempts=40",
    seeds: Annotated[int, _SEEDS] = 5,
    reference: Annotated[str | None, _REFERENCE] = None,
    lessons: Annotated[Path | None, _LESSONS] = None,
    writer: Annotated[list[str] | None, _WRITER] = None,
    language: Annotated[list[str] | None, _LANGUAGE] = None,
    device: Annotated[str | None, _DEVICE] = None,
    out: Annotated[Path, _OUT] = Path("compare"),
    as_json: Annotated[bool, JSON_OPTION] = False,
) -> int:
    """Compare strategies at equal budget: curves, attempts to the target, final speedup.

    With --pool the verdicts are those that `kernelwright pool` recorded, and the same command gives
    the same figures. Without, each search judges on this machine, which takes hours for many.
    """
    chosen = strategies_named(listed(strategies))
    against = _reference(reference, chosen)
    limits = budget_of(budget)
    arms = _arms(chosen, lessons)
    wanted = listed(problems)
    if pool is None and not wanted:
        raise UsageError("Which problems? Give --problems a,b,c, or --pool with recorded ones.")
    if pool is not None:
        if writer or language or device:
            raise UsageError("A pool has its writers, languages and device; leave those out.")
        pools = read_pools(pool, wanted)
        here = next(iter(pools.values())).head.environment
        where = f"from pools recorded on {here.device}"
        trials = in_pools(
            pool, list(pools), arms, range(seeds), limits, processes=os.cpu_count() or 1
        )
    else:
        given = {
            "writers": tuple(writer or [SKETCH]), "languages": language or None, "device": device,
            "problem": next(iter(origins(wanted).values())),
        }  # fmt: skip
        here, where = environment(device_of(load_spec(None, given))), "live, decontaminated"
        trials = _live(wanted, given, arms, range(seeds), limits)

    made: list[Trial] = []
    for of_one in _by_problem(trials):
        made += of_one
        found = compared(made, reference=against, budget=limits, where=where, environment=here)
        _write(found, out)  # as each ends, so that it is there if the rest is broken off
    if as_json:
        emit(found)
    else:
        show(Text(visible(summary(found))))
        show(_table(found))
    say(Text(str(out / PAGE)))
    return 0


def _reference(said: str | None, strategies: Sequence[str]) -> str:
    """The one that is asked for, else the plainest that takes part."""
    if said is None:
        return REFERENCE if REFERENCE in strategies else strategies[0]
    if said not in strategies:
        raise UnknownName.of("strategy that takes part", said, strategies)
    return said


def _arms(strategies: Sequence[str], lessons: Path | None) -> list[Arm]:
    plain = [Arm(strategy=strategy) for strategy in strategies]
    if lessons is None:
        return plain
    proven = [one for one in read_lessons([SHIPPED, lessons]) if one.status == "proven"]
    if not proven:
        raise UsageError(
            f"No lesson in {lessons} is proven; `kernelwright lessons test` tries them."
        )
    return plain + [Arm(strategy=strategy, lessons=tuple(proven)) for strategy in strategies]


def _live(
    problems: Sequence[str],
    given: Mapping[str, object],
    arms: Sequence[Arm],
    seeds: Sequence[int],
    budget: Budget,
) -> Iterator[Trial]:
    with tempfile.TemporaryDirectory(prefix="kernelwright-compare-") as folder:
        for name, origin in origins(problems).items():
            say(Text(f"Loading {visible(origin)} …"))
            spec = load_spec(None, {**given, "problem": origin})
            with live(name, spec, RunFolder(Path(folder))) as told:
                yield from on_ground(told, arms, seeds, budget)


def _by_problem(trials: Iterator[Trial]) -> Iterator[list[Trial]]:
    """The trials of each problem once it has ended, with a line for each trial as it ends."""
    for _, theirs in itertools.groupby(trials, lambda trial: trial.problem):
        made = []
        for trial in theirs:
            _say(trial)
            made.append(trial)
        yield made


def _say(trial: Trial) -> None:
    ended = times(trial.final) if trial.final else "nothing"
    made = counted(trial.attempts, "attempt")
    who = f"{visible(trial.problem)}, {trial.strategy}, seed {trial.seed}"
    say(Text(f"{who}: {ended} in {made}; {trial.ended}"))


def _table(comparison: Comparison) -> Table:
    table = Table(*HEADINGS)
    for standing in comparison.standings:
        table.add_row(*cells(standing))
    return table


def _write(comparison: Comparison, folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / PAGE).write_text(render(comparison), encoding="utf-8")
        (folder / RESULT).write_text(comparison.model_dump_json() + "\n", encoding="utf-8")
    except OSError as error:
        raise StoreError(f"The comparison could not be written to {folder}: {error}.") from error
