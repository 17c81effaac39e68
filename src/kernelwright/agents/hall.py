"""The sessions of one server: which problems there are, who works on which, and how many at once.

An agent names a problem or a run by a plain word; no path that it says is ever opened.
"""

from __future__ import annotations

import ast
import re
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from kernelwright.agents import opening
from kernelwright.agents.benches import Benches
from kernelwright.agents.limits import Rate, Refused
from kernelwright.agents.records import Listed, Problems, ProblemText
from kernelwright.agents.session import Session
from kernelwright.core.errors import UnknownName, UsageError
from kernelwright.core.evaluation import Isolation
from kernelwright.core.problem import Direction
from kernelwright.core.run import Budget
from kernelwright.problems import suite
from kernelwright.run.folder import RunFolder
from kernelwright.store.sql import FILE_NAME

_RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,119}")
_STARTS_A_MINUTE, _READS_A_MINUTE = 30, 600
_MOST_OPEN, _MOST_CALLS = 64, 128


class Hall:
    """Everybody's sessions. For one event loop; ended by `aclose`.

    `files` are problems besides the built-in ones, by name. An agent may ask for less than `budget`
    and not for more.
    """

    def __init__(
        self,
        benches: Benches,
        runs: Path,
        *,
        files: Mapping[str, Path] | None = None,
        budget: Budget | None = None,
        device: str = "auto",
        require_isolation: Isolation = "process",
        judge: str | None = None,
    ):
        self._benches = benches
        self._runs = runs
        self._files = dict(files or {})
        self._budget = budget or Budget()
        self._device = device
        self._require_isolation = require_isolation
        self._judge = judge
        self._open: OrderedDict[str, Session] = OrderedDict()
        self._busy: dict[str, int] = {}
        self._starts = Rate(_STARTS_A_MINUTE, "runs")
        self._reads = Rate(_READS_A_MINUTE, "requests")

    def problems(self) -> Problems:
        """What there is to work on."""
        self._reads.take()
        names = [*self._files, *(suite.PREFIX + name for name in suite.names())]
        return Problems(problems=tuple(Listed(problem=n, title=self._title(n)) for n in names))

    def problem(self, name: str) -> ProblemText:
        """The text of one problem.

        Raises:
            UsageError: there is none of this name.
        """
        self._reads.take()
        source, _ = suite.read_source(self._origin(name))
        return ProblemText(problem=name, title=self._title(name), reference=source.text)

    async def start(
        self,
        problem: str,
        language: str,
        agent: str,
        *,
        direction: Direction | None = None,
        max_attempts: int | None = None,
        max_dollars: float | None = None,
    ) -> str:
        """Begin a run; its name, under which it is asked for from now on.

        Raises:
            UsageError: the problem, the language or this machine does not allow it.
        """
        self._starts.take()
        spec = opening.agent_spec(
            self._origin(problem),
            agent,
            languages=[language],
            direction=direction,
            device=self._device,
            require_isolation=self._require_isolation,
            judge=self._judge,
            budget={
                "max_attempts": _least(max_attempts, self._budget.max_attempts),
                "max_cost_usd": _least(max_dollars, self._budget.max_cost_usd),
                "max_wall_s": self._budget.max_wall_s,
            },
        )
        await self._make_room()
        session = await opening.start(
            self._benches, spec, lambda made: RunFolder.create(self._runs, made.id)
        )
        self._open[session.name] = session
        return session.name

    @asynccontextmanager
    async def session(self, run: str) -> AsyncIterator[Session]:
        """The session of the run that is called so, opened again if it is not.

        Raises:
            UsageError: there is no run of an agent of this name.
        """
        if sum(self._busy.values()) >= _MOST_CALLS:
            raise Refused("Too many requests are under way. Wait a little, and ask again.")
        session = await self._found(run)
        self._busy[run] = self._busy.get(run, 0) + 1
        try:
            yield session
        finally:
            self._busy[run] -= 1
            if not self._busy[run]:
                del self._busy[run]

    async def aclose(self) -> None:
        """Let go of every run; what the judge has is waited for."""
        for session in self._open.values():
            await session.aclose()
        self._open.clear()
        await self._benches.aclose()

    async def _found(self, run: str) -> Session:
        if run in self._open:
            self._open.move_to_end(run)
            return self._open[run]
        if not _RUN.fullmatch(run) or not (self._runs / run / FILE_NAME).is_file():
            raise UnknownName.of("run", run[:120], self._known())
        await self._make_room()
        if run not in self._open:  # somebody may have opened it meanwhile
            self._open[run] = await opening.go_on(self._benches, self._runs / run)
        return self._open[run]

    def _known(self) -> list[str]:
        """The latest runs, for whoever mistyped one."""
        return list(self._open)[-5:] or ["none yet; `start` makes one"]

    async def _make_room(self) -> None:
        if len(self._open) < _MOST_OPEN:
            return
        for name, session in list(self._open.items()):
            if name not in self._busy and session.idle:
                del self._open[name]
                await session.aclose()
                return
        raise Refused("Too many runs are worked on at once. Ask again in a minute.")

    def _origin(self, name: str) -> str:
        if name in self._files:
            return str(self._files[name])
        if name.startswith(suite.PREFIX):
            suite.path(name.removeprefix(suite.PREFIX))
            return name
        raise UnknownName.of(
            "problem", name[:120], [*self._files, *(suite.PREFIX + n for n in suite.names())]
        )

    def _title(self, name: str) -> str:
        """The first line of the file's docstring."""
        with suppress(UsageError, SyntaxError, ValueError):
            source, _ = suite.read_source(self._origin(name))
            return (ast.get_docstring(ast.parse(source.text)) or "").partition("\n")[0]
        return ""


def problem_files(given: list[Path]) -> dict[str, Path]:
    """The problems in files and folders, by the file's name without its end.

    Raises:
        UsageError: one is not there, or two have the same name.
    """
    found: dict[str, Path] = {}
    for path in given:
        for file in sorted(path.glob("*.py")) if path.is_dir() else [path]:
            if not file.is_file():
                raise UsageError(f"There is no file {file} with a problem.")
            if found.setdefault(file.stem, file) != file:
                raise UsageError(f"Two problems are called {file.stem!r}. Rename one of the files.")
    return found


def _least(asked: float | None, allowed: float | None) -> float | None:
    known = [limit for limit in (asked, allowed) if limit is not None]
    return min(known) if known else None
