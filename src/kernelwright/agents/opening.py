"""Beginning an agent's work on a problem, and going on with it in the same folder."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import kernelwright
from kernelwright.agents.benches import Benches
from kernelwright.agents.reading import Reading, begun
from kernelwright.agents.session import Session
from kernelwright.core.errors import SpecError
from kernelwright.core.problem import Problem
from kernelwright.core.run import RunSpec
from kernelwright.run.folder import InUse, RunFolder
from kernelwright.run.log import RunLog
from kernelwright.run.optimize import SPEC
from kernelwright.run.spec import AGENT, FROM_OUTSIDE, load_spec, to_toml
from kernelwright.store.fold import fold
from kernelwright.store.sql import SqlStore

_LOOK_EVERY_S = 0.2
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")


def agent_spec(problem: str, agent: str, **given: object) -> RunSpec:
    """The settings of a run that the agent called `agent` leads; `given` are fields of `RunSpec`.

    Raises:
        UsageError: they do not hold together, or this machine lacks what a language needs.
    """
    if not _NAME.fullmatch(agent):
        raise SpecError(
            f"{agent[:60]!r} is no name for an agent: letters, digits, '.', '_' and '-', at most "
            "40 of them."
        )
    leads = {"writers": (AGENT + agent,), "strategy": FROM_OUTSIDE}
    return load_spec(given={**given, "problem": problem, **leads})


async def start(benches: Benches, spec: RunSpec, claim: Callable[[Problem], RunFolder]) -> Session:
    """Begin, in the folder that `claim` gives for the problem once that is known to be one.

    Raises:
        UsageError: the problem, or this machine, does not allow it.
        StoreError: the log could not be written.
    """
    async with benches.lent(spec, spec.problem) as equipment:
        problem = equipment.problem
    made = claim(problem)
    with ExitStack() as held:
        log = _opened(made, held)
        started = {"spec": spec.model_dump(mode="json"), "name": made.name}
        log.record("started", {**started, "version": kernelwright.__version__})
        made.write(SPEC, to_toml(spec))
        log.record("problem", problem)
        return Session(folder=made, log=log, benches=benches, held=held.pop_all(), new=True)


async def go_on(benches: Benches, folder: Path, *, patience_s: float = 0.0) -> Session:
    """Go on in `folder`: what was left without a verdict is judged.

    Raises:
        UsageError: there is no run of an agent, or another process is at it for `patience_s`.
        StoreError: the log is damaged or cannot be written.
    """
    known, deadline = RunFolder.existing(folder), time.monotonic() + patience_s
    while True:
        try:
            return _session(known, benches)
        except InUse:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(_LOOK_EVERY_S)


def _session(known: RunFolder, benches: Benches) -> Session:
    with ExitStack() as held:
        log = _opened(known, held)
        begun(log.state, known.name)
        return Session(folder=known, log=log, benches=benches, held=held.pop_all(), new=False)


def read(folder: Path) -> Reading:
    """What is in the run of `folder`, whoever works on it.

    Raises:
        UsageError: there is no run of an agent.
        StoreError: the log is damaged.
    """
    known = RunFolder.existing(folder)
    with SqlStore.open(known.log_path, known.name, writable=False) as store:
        return Reading(fold(store.records()), known.name)


def _opened(folder: RunFolder, held: ExitStack) -> RunLog:
    held.enter_context(folder.locked())
    return RunLog(held.enter_context(SqlStore.open(folder.log_path, folder.name)))
