"""The tools of the MCP server: each asks the hall for one thing, and returns a record of ours.

What is allowed is decided in `agents`; here is how it is said in MCP: names, descriptions, bounds
on what is taken, progress, and errors that a model can read.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Annotated, Any

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import ToolAnnotations
from pydantic import Field, ValidationError

import kernelwright
from kernelwright.agents.hall import Hall
from kernelwright.agents.judging import Progress
from kernelwright.agents.limits import LONGEST_IDEA
from kernelwright.agents.records import (
    Attempts,
    BuildResult,
    Description,
    Diff,
    Problems,
    ProblemText,
    Profile,
    Promoted,
    Shown,
    Submitted,
    Tuned,
)
from kernelwright.agents.session import Session
from kernelwright.agents.submission import Submission
from kernelwright.apps.cli.runs import write_reports
from kernelwright.core.errors import KernelwrightError
from kernelwright.core.problem import Direction
from kernelwright.generate.looking_up import Found
from kernelwright.languages.sources import MAX_BYTES, MAX_FILES
from kernelwright.report.result import Result

INSTRUCTIONS = (
    "Kernelwright judges kernels: whether they are right, on inputs and sizes that you are not "
    "shown, and how fast they are against eager PyTorch and torch.compile. You write them. "
    "`list_problems`, then `start` one and read its guide to the end. `submit` one idea at a time, "
    "with the attempt that it builds on as parent, and do what `next` says. `build` and `look_up` "
    "cost no attempt. `promote` before the budget is spent, then `report`. Say what the promotion "
    "measured, and not the best figure of the search."
)

_READS = ToolAnnotations(read_only_hint=True, open_world_hint=False)
_WRITES = ToolAnnotations(read_only_hint=False, destructive_hint=False, open_world_hint=False)

Run = Annotated[str, Field(description="The run, as `start` named it.", max_length=120)]
Step = Annotated[int, Field(description="The number of an attempt.", ge=1, le=1_000_000)]
Name = Annotated[str, Field(description="A problem, as `list_problems` names it.", max_length=200)]
SourceText = Annotated[
    str, Field(description="The whole text of the candidate's main file.", max_length=MAX_BYTES)
]
Files = Annotated[
    dict[str, str] | None,
    Field(description="Further files that it uses, by name.", max_length=MAX_FILES),
]
Language = Annotated[
    str | None, Field(description="Another of the run's languages.", max_length=100)
]


def server(hall: Hall) -> MCPServer[Any]:
    """An MCP server over `hall`."""
    made: MCPServer[Any] = MCPServer(
        name="kernelwright",
        version=kernelwright.__version__,
        instructions=INSTRUCTIONS,
        log_level="WARNING",
    )
    _add_tasks(made, hall)
    _add_trying(made, hall)
    _add_reading(made, hall)
    _add_ending(made, hall)
    return made


def _add_tasks(made: MCPServer[Any], hall: Hall) -> None:
    @made.tool(annotations=_READS)
    async def list_problems() -> Problems:
        """List the problems that there are, with what each computes."""
        with _told():
            return hall.problems()

    @made.tool(annotations=_READS)
    async def read_problem(problem: Name) -> ProblemText:
        """Read the PyTorch program of a problem, before anything is started."""
        with _told():
            return hall.problem(problem)

    @made.tool(annotations=_WRITES)
    async def start(
        problem: Name,
        language: Annotated[
            str, Field(description="cpp, triton, cuda or another.", max_length=100)
        ],
        agent: Annotated[
            str, Field(description="What you are called in the log.", max_length=40)
        ] = "agent",
        direction: Annotated[
            Direction | None, Field(description="What to compute, if not what the file says.")
        ] = None,
        max_attempts: Annotated[
            int | None, Field(description="Fewer attempts than the server allows.", ge=1)
        ] = None,
        max_dollars: Annotated[
            float | None,
            Field(description="A budget in dollars; then say what each attempt cost.", ge=0),
        ] = None,
    ) -> Description:
        """Begin a run on a problem, in one language. Returns the task: the guide with the exact
        entry point, tensors, sizes, tolerances, the machine, and the budget."""
        with _told():
            run = await hall.start(
                problem,
                language,
                agent,
                direction=direction,
                max_attempts=max_attempts,
                max_dollars=max_dollars,
            )
        async with _session(hall, run) as session:
            return session.describe()

    @made.tool(annotations=_READS)
    async def describe(run: Run) -> Description:
        """Read the task of a run again, and what is left of its budget."""
        async with _session(hall, run) as session:
            return session.describe()

    @made.tool(annotations=_READS)
    async def look_up(
        run: Run,
        query: Annotated[str, Field(description="Words; 'sketch' shows programs to begin from.")],
    ) -> Found:
        """Look up what is known: the guide, what usually lies behind a verdict or a bottleneck, and
        programs for this very problem that need no model."""
        async with _session(hall, run) as session:
            return await session.look_up(query)


def _add_trying(made: MCPServer[Any], hall: Hall) -> None:
    @made.tool(annotations=_READS)
    async def build(
        run: Run, source: SourceText, files: Files = None, language: Language = None
    ) -> BuildResult:
        """Only compile a candidate. No attempt is spent, and nothing of it is run."""
        async with _session(hall, run) as session:
            given = _submission(source=source, files=files or {}, language=language)
            return await session.build(given)

    @made.tool(annotations=_WRITES)
    async def submit(
        run: Run,
        source: SourceText,
        ctx: Context,
        parent: Annotated[
            int | None, Field(description="The attempt that it builds on, if it does.", ge=1)
        ] = None,
        idea: Annotated[
            str,
            Field(
                description="What was changed and why, in one sentence.", max_length=LONGEST_IDEA
            ),
        ] = "",
        files: Files = None,
        language: Language = None,
        input_tokens: Annotated[int | None, Field(description="What it cost you.", ge=0)] = None,
        output_tokens: Annotated[int | None, Field(description="What it cost you.", ge=0)] = None,
        cost_usd: Annotated[float | None, Field(description="What it cost you.", ge=0)] = None,
    ) -> Submitted:
        """Have a candidate judged: one attempt, whatever comes of it; the same one again costs
        nothing. Takes from seconds to a minute. A call that is cancelled while it waits for the
        judge is withdrawn; one that the judge has is finished, and its verdict kept."""
        async with _session(hall, run) as session:
            given = _submission(
                source=source,
                files=files or {},
                language=language,
                parent=parent,
                idea=idea,
                input_tokens=input_tokens,
                output_tokens=output_tokens,
                cost_usd=cost_usd,
            )
            return await session.submit(given, _progress(ctx))

    @made.tool(annotations=_WRITES)
    async def tune(
        run: Run,
        attempt: Step,
        ctx: Context,
        trials: Annotated[
            int, Field(description="How many settings to try; each is an attempt.", ge=1, le=64)
        ] = 8,
    ) -> Tuned:
        """Let the tuner try the numbers that an attempt declares (`// tunable: TILE = 64 in {16,
        64, 256}`). It must have passed."""
        async with _session(hall, run) as session:
            return await session.tune(attempt, trials, _progress(ctx))


def _add_reading(made: MCPServer[Any], hall: Hall) -> None:
    @made.tool(annotations=_READS)
    async def profile(run: Run, attempt: Step) -> Profile:
        """Say what limits an attempt: the bottleneck, the figures that show it, what may help, and
        what the compiler made of it."""
        async with _session(hall, run) as session:
            return await session.profile(attempt)

    @made.tool(annotations=_READS)
    async def attempts(run: Run) -> Attempts:
        """List every attempt of a run, the best one, and what is left of the budget."""
        async with _session(hall, run) as session:
            return session.attempts()

    @made.tool(annotations=_READS)
    async def attempt(run: Run, attempt: Step) -> Shown:
        """Show one attempt in full: its files and its verdict."""
        async with _session(hall, run) as session:
            return session.show(attempt)

    @made.tool(annotations=_READS)
    async def diff(run: Run, old: Step, new: Step) -> Diff:
        """Show what one attempt has otherwise than another."""
        async with _session(hall, run) as session:
            return session.diff(old, new)


def _add_ending(made: MCPServer[Any], hall: Hall) -> None:
    @made.tool(annotations=_WRITES)
    async def promote(run: Run, ctx: Context) -> Promoted:
        """Judge the best attempts again, on fresh samples and with sanitizers, and hand back the
        first that holds. Takes a minute or more. Nothing counts before it held here."""
        async with _session(hall, run) as session:
            return await session.promote(_progress(ctx))

    @made.tool(annotations=_WRITES)
    async def report(run: Run) -> Result:
        """Write the run's report, with the evidence, and return its figures."""
        async with _session(hall, run) as session:
            return session.shareable(write_reports(session.folder, session.log.store))


@asynccontextmanager
async def _session(hall: Hall, run: str) -> AsyncIterator[Session]:
    with _told():
        async with hall.session(run) as session:
            yield session


@contextmanager
def _told() -> Iterator[None]:
    """Turn errors of ours into what a model can read, here and nowhere else."""
    try:
        yield
    except KernelwrightError as error:
        raise ToolError(str(error)) from error


def _submission(**given: object) -> Submission:
    try:
        return Submission.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ToolError(f"{where} cannot be that: {first['msg']}.") from error


def _progress(ctx: Context) -> Progress:
    async def said(seconds: float, what: str) -> None:
        await ctx.report_progress(seconds, None, what)

    return said
