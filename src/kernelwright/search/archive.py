"""An archive of unlike candidates: the best of each kind, on each of several islands.

The kinds are cells of a grid, as in MAP-Elites: what limits a candidate, how much of the memory's
speed it has, and how its text is made. A cell keeps the best that was seen in it, however slow.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from kernelwright.core.diagnosis import Bottleneck, Diagnosis
from kernelwright.core.evaluation import Passed
from kernelwright.core.run import Attempt, History
from kernelwright.core.statistics import SAME_WITHIN
from kernelwright.search.lineage import Lineage
from kernelwright.search.rewriting import improves

# Shares of the memory's speed are told apart in so many steps.
_STEPS = 4
_LOOP = re.compile(r"\bfor\b")


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A kind of candidate.

    `traffic` is the step of its share of the memory's speed, from 0 to 3; None when that is not
    known. `founder` is the writer of the draft that it descends from, and `loops` the number of
    bits of how many loops its text has, so that 2 and 3 are alike.
    """

    bottleneck: Bottleneck
    traffic: int | None
    language: str
    founder: str
    loops: int


def cell_of(attempt: Attempt, lineage: Lineage) -> Cell | None:
    """The cell of a candidate that passed and was timed; None of any other."""
    candidate = attempt.candidate
    outcome = attempt.evaluation.outcome if attempt.evaluation else None
    if candidate is None or not isinstance(outcome, Passed) or attempt.score is None:
        return None
    return Cell(
        bottleneck=outcome.profile.bottleneck if outcome.profile else "unknown",
        traffic=_traffic(outcome.profile),
        language=candidate.language,
        founder=lineage.founder(attempt).plan.writer,
        loops=len(_LOOP.findall(candidate.source.text)).bit_length(),
    )


def _traffic(profile: Diagnosis | None) -> int | None:
    """In which step its share of the memory's speed is; of the floor, where only that is known."""
    if profile is None:
        return None
    if profile.position is not None:
        share = profile.position.moving_ns / profile.position.call_ns
    elif profile.headroom is not None:
        share = 1 / profile.headroom
    else:
        return None
    return min(int(share * _STEPS), _STEPS - 1)


@dataclass(frozen=True, kw_only=True)
class Archive:
    """The elites of each island, by their cells.

    `barren` is how many improvements by writers have ended since a writer's text was the first in a
    cell, or gained on an elite.
    """

    islands: tuple[Mapping[Cell, Attempt], ...]
    barren: int

    @classmethod
    def of(cls, history: History, lineage: Lineage, count: int) -> Archive:
        """What `count` islands hold after `history`. An attempt is on the island of its step."""
        islands: tuple[dict[Cell, Attempt], ...] = tuple({} for _ in range(count))
        barren = 0
        for attempt in history.attempts:
            gained = _settle(attempt, lineage, islands[island_of(attempt.step, count)])
            if gained and attempt.plan.kind != "tune":
                barren = 0
            elif improves(attempt.plan, lineage):
                barren += 1
        return cls(islands=islands, barren=barren)


def island_of(step: int, count: int) -> int:
    """Islands are served in turn, so that a step's number says whose it is."""
    return step % count


def _settle(attempt: Attempt, lineage: Lineage, island: dict[Cell, Attempt]) -> bool:
    """Put `attempt` into its cell if it is the best there; whether that is a gain to speak of."""
    cell = cell_of(attempt, lineage)
    score = attempt.score
    if cell is None or score is None:
        return False
    elite = island.get(cell)
    before = elite.score or 0.0 if elite else 0.0
    if score > before:
        island[cell] = attempt
    return score > before * (1 + SAME_WITHIN)
