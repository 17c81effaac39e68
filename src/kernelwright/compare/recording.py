"""Recording a pool: the sketches' drafts of a problem under all their settings, judged one by one.

What is recorded already is not judged again, so a recording that was cut off goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import kernelwright
from kernelwright.compare.pool import (
    Pool,
    PooledDraft,
    PooledVerdict,
    PoolHead,
    append,
    lean,
    thinned,
)
from kernelwright.core.candidate import Candidate
from kernelwright.core.errors import UsageError
from kernelwright.core.evaluation import Environment, Fault
from kernelwright.core.problem import Problem
from kernelwright.evaluate.batch import Judging, judge_many
from kernelwright.knowledge.sketches.drafts import Covered

# Opens a judge that has said nothing yet.
Opening = Callable[[], AbstractContextManager[Judging]]


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """One candidate, judged just now; a `Fault` of ours leaves no verdict. `left` are still to come
    in this pass."""

    candidate: Candidate
    kind: Literal["seen", "again"]
    found: PooledVerdict | Fault
    left: int


def head_of(
    origin: str, problem: Problem, drafts: Iterable[Covered], environment: Environment, most: int
) -> PoolHead:
    """What a pool of `drafts` is to hold: at most `most` settings of each."""
    return PoolHead(
        origin=origin,
        problem=problem,
        environment=environment,
        version=kernelwright.__version__,
        drafts=tuple(
            PooledDraft(sketch=sketch, candidate=thinned(candidate, most))
            for covered in drafts
            for sketch, candidate in zip(covered.sketches, covered.candidates, strict=True)
        ),
    )


def record(path: Path, head: PoolHead, opening: Opening) -> Iterator[Recorded]:
    """Judge what the pool in the file `path` lacks of `head`, and write each verdict as it comes.

    First everything once, then with another judge what is near the best.

    Raises:
        UsageError: the file holds a pool of something else.
        StoreError: it could not be written.
    """
    pool = _begun(path, head)
    if pool.unseen:
        with opening() as judge:
            yield from _pass(path, judge, pool.unseen, "seen")
    pool = Pool.read(path)
    if not pool.unseen and pool.contenders:
        with opening() as judge:
            yield from _pass(path, judge, pool.contenders, "again")


def _begun(path: Path, head: PoolHead) -> Pool:
    if not path.exists():
        append(path, head)
        return Pool(head=head)
    pool = Pool.read(path)
    if (pool.head.problem, pool.head.drafts) != (head.problem, head.drafts):
        raise UsageError(
            f"{path} holds other candidates than the sketches make now. Delete it to record anew."
        )
    _mend(path)
    return pool


def _mend(path: Path) -> None:
    """Take away a last line that was cut off, so that the next one begins on its own."""
    whole, _, _cut = path.read_bytes().rpartition(b"\n")
    path.write_bytes(whole + b"\n")


def _pass(
    path: Path, judge: Judging, todo: Sequence[Candidate], kind: Literal["seen", "again"]
) -> Iterator[Recorded]:
    left = len(todo)
    for index, found in judge_many(judge, todo, "search"):
        left -= 1
        if isinstance(found, Fault):
            yield Recorded(candidate=todo[index], kind=kind, found=found, left=left)
            continue
        verdict = PooledVerdict(
            kind=kind,
            candidate_id=todo[index].id,
            outcome=lean(found.outcome),
            stage_s=found.stage_s,
        )
        append(path, verdict)
        yield Recorded(candidate=todo[index], kind=kind, found=verdict, left=left)
