"""Runs over fakes that are killed at random moments and resumed until they end by themselves.

    python kill_and_resume.py FOLDER KILLS WIDTH

Prints one line of JSON for each run: how often it was killed, the plans that it made, the plans of
the same run left in peace, and every breach of a promise that was seen. A run is forked from a
process that has imported everything, so that the moments fall into the run and not before it.
"""

import asyncio
import json
import os
import random
import signal
import sqlite3
import sys
import time
from collections import Counter
from pathlib import Path

import kernelwright.search.refine  # noqa: F401
from kernelwright.core.errors import UsageError
from kernelwright.core.run import Budget, RunSpec
from kernelwright.run.optimize import optimize, resume
from kernelwright.store.fold import RunState, fold
from kernelwright.store.sql import FILE_NAME, SqlStore
from kernelwright.testing.equipment import FakeEquip
from kernelwright.testing.evaluators import NumberWriter, ScriptedEvaluator

# Of the time of a run in peace: how long a run is left alone before it is killed, at most.
LONGEST_SHARE = 0.4
LONGER_EACH = 1.05  # after each kill
MOST_KILLS = 200
ATTEMPTS = 11


def state_of(folder: Path) -> RunState:
    """What the log says, which is nothing when the run was killed before its first event."""
    try:
        return _read(folder)
    except UsageError:
        return RunState()


def _read(folder: Path) -> RunState:
    with SqlStore.open(folder / FILE_NAME, "", writable=False) as store:
        return fold(store.records())


class Watchful(ScriptedEvaluator):
    """Notes in a file when it is asked for a verdict that the log already has."""

    folder = Path()

    async def evaluate(self, candidate, effort):
        state = state_of(self.folder)
        judged = [s.evaluation for s in state.steps.values()]
        judged += [p.evaluation for p in state.promotions]
        if any(e and (e.candidate_id, e.effort) == (candidate.id, effort) for e in judged):
            with (self.folder / "breaches").open("a") as file:
                file.write(f"{candidate.id} was judged twice\n")
        await asyncio.sleep(0.003)
        return await super().evaluate(candidate, effort)


def carry_on(folder: Path, seed: int, width: int) -> None:
    """Start the run in `folder`, or resume it, whichever can be done."""
    evaluator = Watchful()
    evaluator.folder = folder
    writer = NumberWriter(drafts=5, broken=4, delay_s=0.002)
    equip = FakeEquip(writer=writer, evaluator=evaluator)
    spec = RunSpec(
        problem="rows.py",
        languages=("cpp",),
        seed=seed,
        width=width,
        budget=Budget(max_attempts=ATTEMPTS),
    )
    if state_of(folder).spec:
        resume(folder, equip=equip)
    else:
        for left in folder.iterdir() if folder.exists() else []:
            left.unlink()
        optimize(spec, folder=folder, equip=equip)


def forked(folder: Path, seed: int, width: int) -> int:
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            carry_on(folder, seed, width)
            status = 0
        finally:
            sys.stderr.flush()
            os._exit(status)
    return pid


def killed_until_it_ends(
    folder: Path, seed: int, width: int, chance: random.Random, longest_s: float
) -> int:
    """How often the run was killed before it ended by itself."""
    for kills in range(MOST_KILLS):
        pid = forked(folder, seed, width)
        # The machine may have become slower since the run in peace.
        deadline = time.monotonic() + chance.uniform(0, longest_s * LONGER_EACH**kills)
        done, status = 0, 0
        while not done and time.monotonic() < deadline:
            time.sleep(0.001)
            done, status = os.waitpid(pid, os.WNOHANG)
        if not done:
            os.kill(pid, signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
        if status == 0:
            return kills
        if not os.WIFSIGNALED(status):
            sys.exit(f"the run failed with status {status}")
        state_of(folder)
    sys.exit(f"the run did not end between {MOST_KILLS} kills")


def breaches(folder: Path) -> list[str]:
    """What of the log is not as promised."""
    state, found = state_of(folder), []
    if (folder / "breaches").exists():
        found += (folder / "breaches").read_text().splitlines()
    if sorted(state.steps) != list(range(1, len(state.steps) + 1)):
        found.append(f"the steps are {sorted(state.steps)}")
    if state.unfinished or state.finish is None:
        found.append("the run did not end")
    with SqlStore.open(folder / FILE_NAME, "", writable=False) as store:
        events = list(store.records())
    if [event.seq for event in events] != list(range(1, len(events) + 1)):
        found.append("the events are not numbered without a gap")
    counts = Counter((e.kind, e.data["step"]) for e in events if e.kind in ("plan", "evaluation"))
    found += [
        f"step {step} has {n} events of {kind}" for (kind, step), n in counts.items() if n > 1
    ]
    (whole,) = sqlite3.connect(folder / FILE_NAME).execute("PRAGMA integrity_check").fetchone()
    return found if whole == "ok" else [*found, f"the database is damaged: {whole}"]


def plans(folder: Path) -> list[str]:
    return [s.plan.model_dump_json() for _, s in sorted(state_of(folder).steps.items())]


def main(root: Path, wanted: int, width: int) -> None:
    chance, kills, seed = random.Random(width), 0, 0
    # The look at the compiler and the first imports are made once, before the first fork.
    carry_on(root / "warm", 0, width)
    while kills < wanted:
        seed += 1
        folder, peace = root / f"killed-{seed}", root / f"peace-{seed}"
        began = time.monotonic()
        carry_on(peace, seed, width)
        longest_s = (time.monotonic() - began) * LONGEST_SHARE
        here = killed_until_it_ends(folder, seed, width, chance, longest_s)
        kills += here
        line = {
            "kills": here,
            "plans": plans(folder),
            "in_peace": plans(peace),
            "breaches": breaches(folder),
        }
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
