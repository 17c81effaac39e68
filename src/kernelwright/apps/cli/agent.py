"""`kernelwright agent`: a workspace for a coding agent that has a shell, and its commands."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from pydantic import ValidationError
from rich.text import Text

from kernelwright.agents import opening, workspace
from kernelwright.agents.benches import Benches
from kernelwright.agents.elsewhere import equip
from kernelwright.agents.limits import Refused, Turns
from kernelwright.agents.records import Submitted
from kernelwright.agents.session import Session
from kernelwright.agents.submission import Submission
from kernelwright.agents.supervising import Limits, supervise
from kernelwright.apps.cli import agent_text
from kernelwright.apps.cli.runs import REPORT, opened, write_reports
from kernelwright.apps.cli.terminal import JSON_OPTION, emit, group, say, show
from kernelwright.core.evaluation import Isolation
from kernelwright.core.problem import Direction
from kernelwright.core.record import Record
from kernelwright.languages.reading import texts_in
from kernelwright.problems.suite import read_source
from kernelwright.report import text
from kernelwright.report.plain import visible
from kernelwright.run.equipment import Equip
from kernelwright.run.folder import RunFolder

T = TypeVar("T")

# What the parts of a run are made with; a test puts fakes here.
EQUIP: Equip = equip
_PATIENCE_S = 900.0  # for another command in the same workspace

command = group()

_FOLDER = typer.Argument(metavar="DIR", help="A new or empty folder for the agent to work in.")
_PROBLEM = typer.Option(help="A KernelBench file, or builtin:<name>.")
_LANGUAGE = typer.Option(help="What to write in: cpp, triton or cuda. May be repeated.")
_AGENT = typer.Option(help="What the agent is called in the log, behind agent:.")
_DIRECTION = typer.Option(help="What to compute, instead of what the file says.")
_ATTEMPTS = typer.Option(help="How many attempts it has.")
_SECONDS = typer.Option(help="How many seconds the judge may spend on it.")
_DOLLARS = typer.Option(help="How many dollars; the agent says what each attempt cost.")
_DEVICE = typer.Option(help="auto, cpu, cuda, or one of several GPUs as cuda:N.")
_ISOLATION = typer.Option(help="Refuse to run with less isolation than this.")
_JUDGE = typer.Option(
    "--judge",
    help="A `kernelwright serve` that judges, as http://HOST:PORT; its token is in "
    "KERNELWRIGHT_JUDGE_TOKEN. Or `batch`: attempts wait in DIR/run/batch until "
    "`kernelwright import` brings their verdicts.",
)
_WORKSPACE = typer.Option("--workspace", help="The folder that `agent init` made.")
_FILE = typer.Argument(help="A candidate's file (.cpp, .cu or .py).")
_STEP = typer.Argument(metavar="ATTEMPT", help="The number of an attempt.")
Workspace = Annotated[Path, _WORKSPACE]


@command.command()
def init(
    folder: Annotated[Path, _FOLDER],
    problem: Annotated[str, _PROBLEM],
    language: Annotated[list[str] | None, _LANGUAGE] = None,
    agent: Annotated[str, _AGENT] = "agent",
    direction: Annotated[Direction | None, _DIRECTION] = None,
    max_attempts: Annotated[int, _ATTEMPTS] = 24,
    max_seconds: Annotated[float | None, _SECONDS] = None,
    max_dollars: Annotated[float | None, _DOLLARS] = None,
    device: Annotated[str, _DEVICE] = "auto",
    require_isolation: Annotated[Isolation, _ISOLATION] = "process",
    judge_url: Annotated[str | None, _JUDGE] = None,
) -> None:
    """Make a workspace: the problem, the guide, how to work, and commands for the judge."""
    spec = opening.agent_spec(
        problem,
        agent,
        direction=direction,
        languages=language or None,
        budget={
            "max_attempts": max_attempts,
            "max_wall_s": max_seconds,
            "max_cost_usd": max_dollars,
        },
        device=device,
        require_isolation=require_isolation,
        judge=judge_url,
    )
    workspace.check_free(folder)
    read_source(spec.problem)
    say(Text(f"Loading {visible(problem)} …"))

    async def begin(benches: Benches) -> None:
        session = await opening.start(
            benches, spec, lambda _: RunFolder.claim(folder / workspace.RUN)
        )
        try:
            written = workspace.furnish(folder, session)
        finally:
            await session.aclose()
        show(Text("\n".join(str(path) for path in written)))

    _on_benches(begin)


@command.command("run")
def run_agent(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A workspace of `agent init`.")],
    command_line: Annotated[
        str, typer.Option("--command", help="The agent's command line, which asks nobody.")
    ],
    minutes: Annotated[float, typer.Option(help="How long it may take.", min=0)] = 60.0,
    grace_seconds: Annotated[
        float, typer.Option(help="How long it may go on with its budget used up.", min=0)
    ] = 180.0,
    as_json: Annotated[bool, JSON_OPTION] = False,
) -> int:
    """Run an agent's command line in a workspace, within its budget and its time.

    It is started by /bin/sh with no input, and finds what to do in $KERNELWRIGHT_PROMPT. All that
    it starts ends with it. What it prints, and what became of it, is kept in DIR/run. Where it did
    not promote its best attempt that is done then. Exits with 0 when something faster was found.
    """
    limits = Limits(seconds=60 * minutes, grace_s=grace_seconds)
    done = supervise(folder, command_line, limits, say=lambda words: say(Text(words)))
    if not done.promoted and done.best is not None:
        say("It did not promote its best attempt; doing so.")
        in_workspace(folder, lambda session: session.promote(_say_progress))
    run = RunFolder.existing(workspace.run_in(folder))
    with opened(run) as store:
        result = write_reports(run, store)
    if as_json:
        emit(done)
    else:
        show(Text(agent_text.ended(done)))
        show(text.summary(result))
    return 0 if result.faster else 1


@command.command()
def judge(
    file: Annotated[Path, _FILE],
    parent: Annotated[
        int | None, typer.Option(help="The attempt that it builds on, by its number.")
    ] = None,
    idea: Annotated[str, typer.Option(help="What was changed and why, in one sentence.")] = "",
    input_tokens: Annotated[int | None, typer.Option(help="What it cost you, in tokens.")] = None,
    output_tokens: Annotated[int | None, typer.Option(help="What it cost you, in tokens.")] = None,
    cost_usd: Annotated[float | None, typer.Option(help="What it cost you, in dollars.")] = None,
    where: Workspace = Path(),
    as_json: Annotated[bool, JSON_OPTION] = False,
) -> int:
    """Have a candidate judged: one attempt. Exits with 1 when it does not pass."""
    given = submission(
        file,
        parent=parent,
        idea=idea,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cost_usd=cost_usd,
    )
    told = in_workspace(where, lambda session: session.submit(given, _say_progress))
    _tell(told, agent_text.submitted(told), as_json)
    return _code(told)


@command.command()
def build(
    file: Annotated[Path, _FILE],
    where: Workspace = Path(),
    as_json: Annotated[bool, JSON_OPTION] = False,
) -> int:
    """Only compile a candidate: no attempt is spent. Exits with 1 when it does not build."""
    given = submission(file)
    told = in_workspace(where, lambda session: session.build(given))
    _tell(told, agent_text.built(told), as_json)
    return 0 if told.builds else 1


@command.command()
def profile(
    step: Annotated[int, _STEP],
    where: Workspace = Path(),
    as_json: Annotated[bool, JSON_OPTION] = False,
) -> None:
    """Say what limits an attempt."""
    told = in_workspace(where, lambda session: session.profile(step))
    _tell(told, agent_text.profile(told), as_json)


@command.command()
def tune(
    step: Annotated[int, _STEP],
    trials: Annotated[int, typer.Option(help="How many settings to try; each is an attempt.")] = 8,
    where: Workspace = Path(),
    as_json: Annotated[bool, JSON_OPTION] = False,
) -> None:
    """Let the tuner try the numbers that an attempt declares."""
    told = in_workspace(where, lambda session: session.tune(step, trials, _say_progress))
    _tell(told, agent_text.tuned(told), as_json)


@command.command()
def attempts(
    step: Annotated[int | None, _STEP] = None,
    diff: Annotated[
        int | None, typer.Option(help="Show what changed since this attempt instead.")
    ] = None,
    where: Workspace = Path(),
    as_json: Annotated[bool, JSON_OPTION] = False,
) -> None:
    """List all attempts, or show one of them, or what it changed."""
    reading = opening.read(workspace.run_in(where))
    if step is None and diff is not None:
        raise Refused("Since which attempt is clear, and to which is not: `attempts N --diff M`.")
    if step is None:
        told = reading.attempts()
        _tell(told, agent_text.attempts(told), as_json)
    elif diff is not None:
        changed = reading.diff(diff, step)
        _tell(changed, changed.text, as_json)
    else:
        one = reading.show(step)
        _tell(one, agent_text.shown(one), as_json)


@command.command()
def lookup(
    words: Annotated[list[str], typer.Argument(help="What you want to know about.")],
    where: Workspace = Path(),
    as_json: Annotated[bool, JSON_OPTION] = False,
) -> None:
    """Look up guides, notes, and programs for this very problem."""
    told = in_workspace(where, lambda session: session.look_up(" ".join(words)))
    _tell(told, agent_text.found(told), as_json)


@command.command()
def promote(where: Workspace = Path(), as_json: Annotated[bool, JSON_OPTION] = False) -> int:
    """Judge the best attempts again, on fresh samples, and hand back the first that holds."""
    told = in_workspace(where, lambda session: session.promote(_say_progress))
    _tell(told, agent_text.promoted(told), as_json)
    return 0 if told.step is not None else 1


@command.command()
def report(where: Workspace = Path(), as_json: Annotated[bool, JSON_OPTION] = False) -> int:
    """Write the report, and say what was found. Exits with 1 when nothing is faster."""
    folder = RunFolder.existing(workspace.run_in(where))
    with opened(folder) as store:
        result = opening.read(folder.path).shareable(write_reports(folder, store))
    say(Text(f"wrote {folder.path / REPORT}"))
    if as_json:
        emit(result)
    else:
        show(text.summary(result))
    return 0 if result.faster else 1


@command.command()
def skill() -> None:
    """Print SKILL.md, for agents that read such files."""
    show(Text(workspace.skill().rstrip(), no_wrap=True, overflow="ignore"))


def submission(file: Path, **given: object) -> Submission:
    """What is in `file`, with the files beside it that it names.

    Raises:
        UsageError: it cannot be read, or is too large.
    """
    source, beside, language = texts_in(file)
    try:
        return Submission.model_validate(
            {"source": source, "files": beside, "language": language, **given}
        )
    except ValidationError as error:
        first = error.errors()[0]
        raise Refused(f"{first['loc'][0]} cannot be that: {first['msg']}.") from error


def in_workspace(where: Path, work: Callable[[Session], Awaitable[T]]) -> T:
    """What `work` returns for the session in the workspace `where`."""

    async def go_on(benches: Benches) -> T:
        run = workspace.run_in(where)
        session = await opening.go_on(benches, run, patience_s=_PATIENCE_S)
        try:
            return await work(session)
        finally:
            await session.aclose()

    return _on_benches(go_on)


def _on_benches(work: Callable[[Benches], Awaitable[T]]) -> T:
    async def whole() -> T:
        benches = Benches(EQUIP, Turns())
        try:
            return await work(benches)
        finally:
            await benches.aclose()

    return asyncio.run(whole())


async def _say_progress(seconds: float, what: str) -> None:
    if round(seconds) % 10 < 2:
        say(Text(f"{what} …"))


def _tell(told: Record, words: str, as_json: bool) -> None:
    if as_json:
        emit(told)
    else:
        show(Text(words, no_wrap=True, overflow="ignore"))


def _code(told: Submitted) -> int:
    return 0 if told.verdict is not None and told.verdict.outcome == "passed" else 1
