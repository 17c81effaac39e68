"""`kernelwright lessons`: what past searches have taught, drawn from them, tried, and listed."""

from __future__ import annotations

import os
import shlex
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from kernelwright.apps.cli.runs import find, opened
from kernelwright.apps.cli.searches import budget_of, listed, origins, strategies_named
from kernelwright.apps.cli.terminal import JSON_OPTION, emit, group, say, show
from kernelwright.compare.ground import live
from kernelwright.compare.pool import SUFFIX, read_pools
from kernelwright.core.errors import UnknownName, UsageError
from kernelwright.core.record import Record
from kernelwright.evaluate.environment import environment
from kernelwright.knowledge.lessons.folder import SHIPPED, read_lessons, write_lesson
from kernelwright.knowledge.lessons.lesson import Lesson, Status
from kernelwright.learning.mining import half, mined
from kernelwright.learning.pairs import Pair, in_pool, in_run
from kernelwright.learning.trials import Matched, Terms, concluded, in_pools, matched
from kernelwright.report.formats import counted
from kernelwright.report.plain import visible
from kernelwright.run.folder import RunFolder
from kernelwright.run.spec import SKETCH, device_of, load_spec
from kernelwright.store.fold import fold

command = group()

_SOURCES = typer.Argument(help="Folders of pools, and runs.")
_TO = typer.Option(help="The folder that the lessons go into; made if it is not there.")
_DRAWN_FROM = typer.Option(
    help="The pools to draw from, as a,b,c; half of them when left out, so that there are others "
    "to try the lessons on."
)
_NAMES = typer.Argument(help="Which lessons; all of the folder when left out.")
_NAME = typer.Argument(help="The lesson's name.")
_IN = typer.Option("--lessons", help="The folder of the lessons.")
_ALSO = typer.Option("--lessons", help="A folder of lessons beside those that ship.")
_STATUS = typer.Option(help="Only those that are proven, refuted, undecided or untested.")
_POOL = typer.Option(help="Play from the pools in this folder, instead of judging here.")
_PROBLEMS = typer.Option(help="Built-in problems or files, as a,b,c; all pools when left out.")
_STRATEGY = typer.Option(help="The strategy of all searches.")
_BUDGET = typer.Option(help="What each search may spend: attempts=N, or attempts=N,seconds=S.")
_SEEDS = typer.Option(min=1, help="How often each search is made, with another seed.")
_WRITER = typer.Option(help="Live: who drafts. May be repeated.")
_MODEL = typer.Option(help="Live: a language model, as provider:name or provider:name@url.")
_LANGUAGE = typer.Option(help="Live: what to write in. May be repeated.")
_DEVICE = typer.Option(help="Live: auto, cpu, cuda, or one of several GPUs as cuda:N.")

AlsoOption = Annotated[list[Path] | None, _ALSO]


class Listed(Record):
    """A lesson with what follows from its trial."""

    name: str
    status: Status
    lesson: Lesson


@command.command("mine")
def mine(
    sources: Annotated[list[str], _SOURCES],
    to: Annotated[Path, _TO] = Path("lessons"),
    drawn_from: Annotated[str | None, _DRAWN_FROM] = None,
    as_json: Annotated[bool, JSON_OPTION] = False,
) -> int:
    """Draw lessons from pools and runs: settings, orders and changes that made something faster,
    and what mended a failure.

    They are guesses, which no writer is told until `kernelwright lessons test` has proven them. One
    that is in the folder already is left as it is. Exits with 1 when there is nothing to learn.
    """
    pairs = [pair for source in sources for pair in _pairs(source, listed(drawn_from))]
    known = {lesson.name for lesson in read_lessons([to])} if to.is_dir() else set()
    found = [lesson for lesson in mined(pairs) if lesson.name not in known]
    for lesson in found:
        write_lesson(to, lesson)
    if as_json:
        emit(found)
    else:
        for lesson in found:
            show(Text(visible(f"{lesson.name}: {lesson.claim}")))
        new, compared = counted(len(found), "new lesson"), counted(len(pairs), "pair")
        then = f"`kernelwright lessons test --lessons {to}` tries them"
        show(Text(f"{new} of {compared}; {then if found else 'nothing was written'}."))
    return 0 if found or known else 1


@command.command("test")
def try_lessons(
    context: typer.Context,
    only: Annotated[list[str] | None, _NAMES] = None,
    lessons: Annotated[Path, _IN] = Path("lessons"),
    pool: Annotated[Path | None, _POOL] = None,
    problems: Annotated[str | None, _PROBLEMS] = None,
    strategy: Annotated[str, _STRATEGY] = "refine",
    budget: Annotated[str, _BUDGET] = "attempts=16",
    seeds: Annotated[int, _SEEDS] = 3,
    writer: Annotated[list[str] | None, _WRITER] = None,
    model: Annotated[str | None, _MODEL] = None,
    language: Annotated[list[str] | None, _LANGUAGE] = None,
    device: Annotated[str | None, _DEVICE] = None,
    as_json: Annotated[bool, JSON_OPTION] = False,
) -> None:
    """Make matched searches with each lesson and without it, on problems that it was not drawn
    from, and write down what it is worth.

    A lesson is proven when the interval of its effect lies above 1, and refuted when it lies below.
    """
    wanted = _chosen(read_lessons([lessons]), only or [])
    (chosen,) = strategies_named([strategy])
    terms = Terms(strategy=chosen, budget=budget_of(budget), seeds=seeds)
    if terms.budget.max_attempts is None:
        raise UsageError("The budget needs a limit of attempts: --budget attempts=16.")
    if pool is not None:
        if writer or model or language or device:
            raise UsageError("A pool has its writers, languages and device; leave those out.")
        pools = read_pools(pool, listed(problems))
        where = next(iter(pools.values())).head.environment.device
        where = f"from pools recorded on {where}"
        searches = in_pools(pool, list(pools), wanted, terms, processes=os.cpu_count() or 1)
    else:
        given = {
            "writers": tuple(writer) if writer else None if model else (SKETCH,),
            "models": {"writer": model}, "languages": language or None, "device": device,
        }  # fmt: skip
        where, searches = _live(listed(problems), given, wanted, terms)
    found = list(_told(searches))
    ended = [
        concluded(lesson, found, terms, where=where, command=_again(context, lesson))
        for lesson in wanted
    ]
    for lesson in ended:
        write_lesson(lessons, lesson)
    _shown(ended, as_json)


@command.command("list")
def list_lessons(
    lessons: AlsoOption = None,
    status: Annotated[str | None, _STATUS] = None,
    as_json: Annotated[bool, JSON_OPTION] = False,
) -> None:
    """List the lessons with what was measured of them, the refuted ones too."""
    found = read_lessons([SHIPPED, *(lessons or ())])
    if status is not None:
        known: tuple[Status, ...] = ("proven", "refuted", "undecided", "untested")
        if status not in known:
            raise UnknownName.of("status of a lesson", status, known)
        found = [lesson for lesson in found if lesson.status == status]
    _shown(found, as_json)


@command.command("show")
def show_lesson(
    name: Annotated[str, _NAME],
    lessons: AlsoOption = None,
    as_json: Annotated[bool, JSON_OPTION] = False,
) -> None:
    """Show one lesson: its claim, its effect, what it is drawn from, and how to test it again."""
    (lesson,) = _chosen(read_lessons([SHIPPED, *(lessons or ())]), [name])
    if as_json:
        emit(lesson)
        return
    show(Text(visible(lesson.claim)))
    show(Text(f"It is {lesson.status}. {lesson.effect}"))
    diff = getattr(lesson.advice, "diff", None)
    if diff:
        show(Text(visible(diff)))
    table = Table("drawn from", "problem", "times as fast")
    for each in lesson.evidence:
        table.add_row(each.source, each.problem, str(each.ratio) if each.ratio else "did not pass")
    show(table)
    if lesson.trial is not None:
        show(Text(f"Tried on {', '.join(lesson.trial.problems)}; {lesson.trial.where}."))
        show(Text(f"Again: {lesson.trial.command}"))


def _pairs(source: str, wanted: Sequence[str]) -> Iterator[Pair]:
    """What the folder of pools or the run `source` has."""
    folder = Path(source)
    if folder.is_dir() and any(folder.glob(f"*{SUFFIX}")):
        pools = read_pools(folder, wanted)
        for name in wanted or half(pools):
            yield from in_pool(name, pools[name])
        return
    run = find(source)
    with opened(run) as store:
        state = fold(store.records())
    if state.problem is not None:
        yield from in_run(run.name, state.problem, state.history)


def _chosen(found: Sequence[Lesson], wanted: Sequence[str]) -> list[Lesson]:
    known = {lesson.name: lesson for lesson in found}
    for name in wanted:
        if name not in known:
            raise UnknownName.of("lesson", name, known)
    if not known:
        raise UsageError("There are no lessons there; `kernelwright lessons mine` draws some.")
    return [known[name] for name in wanted or known]


def _live(
    problems: Sequence[str], given: Mapping[str, Any], lessons: Sequence[Lesson], terms: Terms
) -> tuple[str, Iterator[Matched]]:
    """Where the searches are made, and the searches of each problem in turn."""
    if not problems:
        raise UsageError("Which problems? Give --problems a,b,c, or --pool with recorded ones.")
    specs = {n: load_spec(None, {**given, "problem": o}) for n, o in origins(problems).items()}
    here = environment(device_of(next(iter(specs.values()))))

    def searches() -> Iterator[Matched]:
        with tempfile.TemporaryDirectory(prefix="kernelwright-lessons-") as folder:
            for name, spec in specs.items():
                say(Text(f"Loading {visible(spec.problem)} …"))
                with live(name, spec, RunFolder(Path(folder))) as told:
                    yield matched(name, told, lessons, terms)

    return f"live on {here.device}", searches()


def _told(searches: Iterator[Matched]) -> Iterator[Matched]:
    for found in searches:
        tried = ", ".join(found.with_each) or "no lesson changes anything here"
        say(Text(f"{visible(found.problem)}: {visible(tried)}"))
        yield found


def _again(context: typer.Context, lesson: Lesson) -> str:
    """The command that was given, for this lesson alone."""
    words = ["kernelwright", "lessons", "test", lesson.name]
    for name, value in context.params.items():
        if name in ("only", "as_json") or value is None:
            continue
        for each in value if isinstance(value, list | tuple) else [value]:
            words += [f"--{name}", str(each)]
    return shlex.join(words)


def _shown(lessons: Sequence[Lesson], as_json: bool) -> None:
    if as_json:
        emit([Listed(name=one.name, status=one.status, lesson=one) for one in lessons])
        return
    table = Table("lesson", "status", "problems", "in hand", "at the end", "claim")
    for lesson in lessons:
        trial = lesson.trial
        table.add_row(
            lesson.name,
            lesson.status,
            str(len(trial.problems)) if trial else "",
            str(trial.in_hand) if trial and trial.in_hand else "",
            str(trial.final) if trial and trial.final else "",
            visible(lesson.claim),
        )
    show(table)
    statuses = [lesson.status for lesson in lessons]
    order: tuple[Status, ...] = ("proven", "refuted", "undecided", "untested")
    show(Text(", ".join(f"{statuses.count(status)} {status}" for status in order)))
