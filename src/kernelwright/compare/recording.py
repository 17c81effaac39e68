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
from kernelwright.core.evaluation import Environment, Evaluation, Fault
from kernelwright.core.problem import Problem, Source
from kernelwright.core.statistics import score
from kernelwright.evaluate.batch import Judging, judge_many
from kernelwright.knowledge.sketches.drafts import Covered

# A draft whose first guess has less than this share of the best first guess is no candidate for
# anything, and a search is as good as never led there.
FAR_BEHIND = 0.5

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

    First the first guess of each draft, then everything else of those that are not far behind, then
    with another judge what is near the best.

    Raises:
        UsageError: the file holds a pool of something else.
        StoreError: it could not be written.
    """
    pool = _begun(path, head)
    if pool is None or pool.unseen:
        with opening() as judge:
            if pool is None:
                yield from _first_guesses(path, judge, head)
            yield from _pass(path, judge, Pool.read(path).unseen, "seen")
    pool = Pool.read(path)
    if not pool.unseen and pool.contenders:
        with opening() as judge:
            yield from _pass(path, judge, pool.contenders, "again")


def _begun(path: Path, head: PoolHead) -> Pool | None:
    """What the file holds; None where there is none."""
    if not path.exists():
        return None
    _mend(path)
    pool = Pool.read(path)
    if pool.head.problem != head.problem or _texts(pool.head) != _texts(head):
        raise UsageError(
            f"{path} holds other candidates than the sketches make now. Delete it to record anew."
        )
    return pool


def _texts(head: PoolHead) -> list[Source]:
    return [draft.candidate.source for draft in head.drafts]


def _first_guesses(path: Path, judge: Judging, head: PoolHead) -> Iterator[Recorded]:
    """Judge every draft as it is, and begin the file with what is worth recording of each."""
    firsts = [draft.candidate for draft in head.drafts]
    scores = [0.0] * len(firsts)
    verdicts: dict[int, PooledVerdict] = {}
    for index, one in _judged(judge, firsts, "seen"):
        if not isinstance(one.found, Fault):
            verdicts[index] = one.found
            scores[index] = score(one.found.outcome) or 0.0
        yield one
    least = FAR_BEHIND * max(scores)
    kept = [
        _first_alone(draft) if index in verdicts and (found == 0 or found < least) else draft
        for index, (draft, found) in enumerate(zip(head.drafts, scores, strict=True))
    ]
    append(path, head.model_copy(update={"drafts": tuple(kept)}))
    for index, verdict in sorted(verdicts.items()):
        # With fewer choices it is another candidate, of the same text and settings.
        key = kept[index].candidate.id
        append(path, verdict.model_copy(update={"candidate_id": key}))


def _first_alone(draft: PooledDraft) -> PooledDraft:
    """`draft` with nothing to set."""
    return draft.model_copy(update={"candidate": thinned(draft.candidate, 1)})


def _mend(path: Path) -> None:
    """Take away a last line that was cut off, so that the next one begins on its own."""
    whole, _, _cut = path.read_bytes().rpartition(b"\n")
    path.write_bytes(whole + b"\n")


def _pass(
    path: Path, judge: Judging, todo: Sequence[Candidate], kind: Literal["seen", "again"]
) -> Iterator[Recorded]:
    """Judge `todo`, and write each verdict as it comes."""
    for _, one in _judged(judge, todo, kind):
        if not isinstance(one.found, Fault):
            append(path, one.found)
        yield one


def _judged(
    judge: Judging, todo: Sequence[Candidate], kind: Literal["seen", "again"]
) -> Iterator[tuple[int, Recorded]]:
    """What came of each of `todo`, with its place there."""
    left = len(todo)
    for index, found in judge_many(judge, todo, "search"):
        left -= 1
        verdict = found if isinstance(found, Fault) else _verdict(todo[index], kind, found)
        yield index, Recorded(candidate=todo[index], kind=kind, found=verdict, left=left)


def _verdict(
    candidate: Candidate, kind: Literal["seen", "again"], found: Evaluation
) -> PooledVerdict:
    return PooledVerdict(
        kind=kind,
        candidate_id=candidate.id,
        outcome=lean(found.outcome),
        stage_s=found.stage_s,
    )
