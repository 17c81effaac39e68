"""A pool: all that the sketches have for one problem, judged, so that a search is played from the
verdicts in milliseconds and comes out the same each time.

A pool is closed: a tunable has only those choices of which every combination was judged, so that
whatever a strategy asks for is there. A draft that is far behind with its first guess has that
alone. On disk it is one file of JSON lines, a head and then a verdict on each line, written as they
come.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from kernelwright.core.candidate import Candidate, Tunable
from kernelwright.core.errors import StoreError, UsageError
from kernelwright.core.evaluation import Environment, Outcome, Passed
from kernelwright.core.problem import Problem
from kernelwright.core.record import Record
from kernelwright.core.statistics import score

SUFFIX = ".jsonl"
# A candidate this near the best that was seen may be what a search ends with.
CONTENDER = 0.9


class PooledDraft(Record):
    """A text with all of its settings that are in the pool. `sketch` names what made it."""

    sketch: str
    candidate: Candidate

    @property
    def settings(self) -> Iterator[Candidate]:
        """The text under every combination of its settings, its first guess before all others."""
        names = [tunable.name for tunable in self.candidate.tunables]
        choices = [tunable.choices for tunable in self.candidate.tunables]
        yield self.candidate
        for values in itertools.product(*choices):
            tuned = self.candidate.tuned(dict(zip(names, values, strict=True)))
            if tuned.id != self.candidate.id:
                yield tuned


class PoolHead(Record):
    """What a pool is of. `origin` is where the problem was read; `version` is Kernelwright's."""

    format: Literal[1] = 1
    origin: str
    problem: Problem
    environment: Environment
    version: str
    drafts: tuple[PooledDraft, ...]


class PooledVerdict(Record):
    """What the judge said of one candidate, less what agreed. `stage_s` are seconds by stage.

    Of the two verdicts of a candidate a search sees `seen`; `again` is by another judge, later, and
    says what a search's choice is worth: what is chosen for its figure has a lucky one.
    """

    kind: Literal["seen", "again"]
    candidate_id: str
    outcome: Outcome
    stage_s: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Pool:
    """One problem's pool, as far as it is recorded."""

    head: PoolHead
    verdicts: tuple[PooledVerdict, ...] = ()

    @classmethod
    def read(cls, path: Path) -> Pool:
        """The pool in the file `path`. A last line that was cut off is left out.

        Raises:
            UsageError: it is none, or of another version.
        """
        try:
            lines = path.read_text(encoding="utf-8").split("\n")
            head = PoolHead.model_validate_json(lines[0])
            verdicts = [PooledVerdict.model_validate_json(line) for line in lines[1:-1]]
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"The pool {path} cannot be read: {error}.") from error
        except ValidationError as error:
            raise UsageError(
                f"{path} is no pool of this version; `kernelwright pool` records one."
            ) from error
        return cls(head=head, verdicts=tuple(verdicts))

    @cached_property
    def candidates(self) -> Mapping[str, Candidate]:
        """Everything that a search may ask for, by id."""
        found = (c for draft in self.head.drafts for c in draft.settings)
        return {candidate.id: candidate for candidate in found}

    @cached_property
    def seen(self) -> Mapping[str, PooledVerdict]:
        """The verdicts that a search sees, by candidate."""
        return {v.candidate_id: v for v in self.verdicts if v.kind == "seen"}

    @cached_property
    def again(self) -> Mapping[str, PooledVerdict]:
        """The second verdicts, by candidate."""
        return {v.candidate_id: v for v in self.verdicts if v.kind == "again"}

    @property
    def unseen(self) -> Sequence[Candidate]:
        """The candidates that have no verdict yet; a pool with none is whole."""
        return [c for key, c in self.candidates.items() if key not in self.seen]

    @property
    def contenders(self) -> Sequence[Candidate]:
        """Those near the best that were not judged a second time."""
        scores = {key: score(verdict.outcome) or 0.0 for key, verdict in self.seen.items()}
        least = CONTENDER * max(scores.values(), default=0.0)
        near = [key for key, found in scores.items() if found >= least and found > 0]
        return [self.candidates[key] for key in near if key not in self.again]

    def worth(self, candidate: Candidate) -> float | None:
        """What a search that chose `candidate` has found: its speedup by the second verdict, where
        there is one; None when it is wrong."""
        verdict = self.again.get(candidate.id) or self.seen.get(candidate.id)
        return score(verdict.outcome) if verdict else None


def read_pools(folder: Path, names: Sequence[str] = ()) -> Mapping[str, Pool]:
    """The whole pools in `folder`, by name; only `names` when there are any.

    Raises:
        UsageError: there is none, or one of `names` is not there, or is not whole.
    """
    files = {path.stem: path for path in sorted(folder.glob(f"*{SUFFIX}"))}
    if not files:
        raise UsageError(f"There are no pools in {folder}; `kernelwright pool` records them.")
    for name in names:
        if name not in files:
            raise UsageError(f"There is no pool {name!r} in {folder}; it has {', '.join(files)}.")
    pools = {name: Pool.read(files[name]) for name in names or files}
    for name, pool in pools.items():
        if pool.unseen:
            raise UsageError(
                f"The pool {name!r} is not whole: {len(pool.unseen)} candidates have no verdict. "
                "Record it again and it goes on from there."
            )
    return pools


def append(path: Path, record: Record) -> None:
    """Write one line at the end of the file `path`.

    Raises:
        StoreError: it could not be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(record.model_dump_json() + "\n")
    except OSError as error:
        raise StoreError(f"The pool {path} could not be written: {error}.") from error


def lean(outcome: Outcome) -> Outcome:
    """`outcome` without what a search does not read, which is most of it."""
    if not isinstance(outcome, Passed):
        return outcome
    timed = tuple(m for m in outcome.measurements if m.regime == "returned")
    return outcome.model_copy(update={"agreements": (), "measurements": timed})


def thinned(candidate: Candidate, most: int) -> Candidate:
    """`candidate` with fewer choices for its tunables, of which at most `most` combinations are
    left: the first guess and those about it.

    Where the first guesses alone are as many as two choices each, one choice is left of some.
    """
    sizes = [len(tunable.choices) for tunable in candidate.tunables]
    while math.prod(sizes) > most:
        largest = max(range(len(sizes)), key=lambda index: sizes[index])
        sizes[largest] -= 1
    kept = [_about(t, size) for t, size in zip(candidate.tunables, sizes, strict=True)]
    return candidate.model_copy(update={"tunables": tuple(kept)})


def _about(tunable: Tunable, count: int) -> Tunable:
    """`tunable` with `count` choices in a row, the first guess in their middle or, where that ends
    before they do, among them. Of an even number one more lies above it."""
    choices = tunable.choices
    start = choices.index(tunable.default) - (count - 1) // 2
    start = min(max(start, 0), len(choices) - count)
    return tunable.model_copy(update={"choices": choices[start : start + count]})
