"""Several GPUs, one queue: whoever has a place free takes the next candidate.

A card that is lost gets nothing more until a probe of it passes, which the user is told, and what
it was judging goes to another, twice at most. Which card gave a verdict is in the evaluation's
environment.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self

from kernelwright.core.candidate import Candidate
from kernelwright.core.errors import DeviceLost, JudgeBroken, KernelwrightError
from kernelwright.core.evaluation import Effort, Evaluation
from kernelwright.core.problem import Problem
from kernelwright.evaluate.verdicts import Verdicts

_LOG = logging.getLogger(__name__)

_QUEUED_AGAIN = 2
_REST_S = 30.0  # between two questions whether a lost card is there again


class Member(Protocol):
    """A judge on one card; see `card_judge.CardJudge`."""

    @property
    def name(self) -> str:
        """What its card is called."""
        ...

    def open(self) -> tuple[Problem, int]:
        """Make it ready; the problem, and how many it can be asked about at once."""
        ...

    def judge(self, candidate: Candidate, effort: Effort) -> Evaluation:
        """The verdict on `candidate`."""
        ...

    def refuse(self, candidate: Candidate, effort: Effort, evidence: str) -> Evaluation:
        """The verdict on a text that is no candidate."""
        ...

    def require(self) -> None:
        """Make sure that its card works; raises where it does not."""
        ...

    def close(self) -> None:
        """End it."""
        ...


@dataclass
class _Seat:
    """A member, how many it is asked about now, and why it is not asked, if it is lost."""

    member: Member
    places: int
    busy: int = 0
    lost: str = ""


class Pool:
    """Judges of one problem on several cards, as one. A context manager; implements
    `core.protocols.Evaluator`. Safe to use from any thread."""

    def __init__(
        self,
        problem: Problem,
        seats: Sequence[tuple[Member, int]],
        lost: Sequence[tuple[Member, str]] = (),
        *,
        rest_s: float = _REST_S,
    ):
        """`seats` are members with their places; `lost` are those that did not come up, with why
        not. A lost one is asked every `rest_s` seconds whether it is there again."""
        self.problem = problem
        self._rest_s = rest_s
        self._changed = threading.Condition()
        self._closed = threading.Event()
        self._verdicts = Verdicts()
        most = max(places for _, places in seats)
        self._seats = [_Seat(member, places) for member, places in seats]
        for member, why in lost:
            self._seats.append(_Seat(member, most))
            self._lose(self._seats[-1], why)

    @classmethod
    def open(cls, members: Sequence[Member], *, rest_s: float = _REST_S) -> Pool:
        """The pool of `members`, which are opened side by side. Those that cannot be are lost, so
        long as one can.

        Raises:
            KernelwrightError: none can.
        """
        with ThreadPoolExecutor(len(members), "kernelwright-opening") as pool:
            opening = [pool.submit(member.open) for member in members]
        opened: list[tuple[Member, int]] = []
        lost: list[tuple[Member, str]] = []
        problems: list[Problem] = []
        for member, one in zip(members, opening, strict=True):
            error = one.exception()
            if error is None:
                problem, places = one.result()
                problems.append(problem)
                opened.append((member, places))
            elif isinstance(error, KernelwrightError) and len(lost) + 1 < len(members):
                lost.append((member, str(error)))
            else:
                for each in members:
                    each.close()
                raise error
        return cls(problems[0], opened, lost, rest_s=rest_s)

    @property
    def places(self) -> int:
        """How many candidates are worth asking about at once."""
        return sum(seat.places for seat in self._seats)

    @property
    def lost(self) -> dict[str, str]:
        """Why a card is not used, by its name."""
        with self._changed:
            return {seat.member.name: seat.lost for seat in self._seats if seat.lost}

    def ahead(self, candidate: Candidate) -> Future[Any] | None:  # noqa: ARG002
        """Builds begin where a candidate is judged, as soon as it is asked about."""
        return None

    async def evaluate(self, candidate: Candidate, effort: Effort) -> Evaluation:
        """The verdict on `candidate`; see `judge`."""
        return await asyncio.to_thread(self.judge, candidate, effort)

    def judge(self, candidate: Candidate, effort: Effort) -> Evaluation:
        """The verdict on `candidate`, of whoever has a place free. The same candidate gets the same
        verdict, whichever card it would come to.

        Raises:
            DeviceLost: no card works, or three were lost while it was judged.
            KernelwrightError: as `Judge.judge`.
        """
        with self._verdicts.asked(candidate, effort):
            known = self._verdicts.recall(candidate, effort)
            if known is None:
                known = self._judged(candidate, effort)
                self._verdicts.remember(candidate, known)
            return known

    def refuse(self, candidate: Candidate, effort: Effort, evidence: str) -> Evaluation:
        """The verdict on a text that is no candidate, which needs no place."""
        usable = [seat for seat in self._seats if not seat.lost] or self._seats
        return usable[0].member.refuse(candidate, effort, evidence)

    def _judged(self, candidate: Candidate, effort: Effort) -> Evaluation:
        for left in reversed(range(_QUEUED_AGAIN + 1)):
            with self._seat() as seat:
                try:
                    return seat.member.judge(candidate, effort)
                except JudgeBroken:
                    self._verdicts.forget()
                    raise
                except DeviceLost as lost:
                    self._lose(seat, str(lost))
                    if not left:
                        raise
        raise AssertionError("each turn of the loop returns or raises, or is not the last")

    @contextlib.contextmanager
    def _seat(self) -> Iterator[_Seat]:
        """A place with a card that works; waits for one.

        Raises:
            DeviceLost: none does.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._free() or not self._working())
            seat = self._free()
            if seat is None:
                raise DeviceLost(" ".join(dict.fromkeys(seat.lost for seat in self._seats)))
            seat.busy += 1
        try:
            yield seat
        finally:
            with self._changed:
                seat.busy -= 1
                self._changed.notify_all()

    def _working(self) -> list[_Seat]:
        return [seat for seat in self._seats if not seat.lost]

    def _free(self) -> _Seat | None:
        """The seat with the most places free."""
        free = [seat for seat in self._working() if seat.busy < seat.places]
        return min(free, key=lambda seat: seat.busy / seat.places, default=None)

    def _lose(self, seat: _Seat, why: str) -> None:
        """Leave a card alone, and ask every now and then whether it is there again."""
        with self._changed:
            already, seat.lost = bool(seat.lost), why
            self._changed.notify_all()
        if not already:
            _LOG.warning("%s The others go on without it.", why)
            threading.Thread(
                target=self._await, args=(seat,), name="kernelwright-lost", daemon=True
            ).start()

    def _await(self, seat: _Seat) -> None:
        while not self._closed.wait(self._rest_s):
            try:
                seat.member.require()
            except KernelwrightError as error:
                with self._changed:
                    seat.lost = str(error)
                continue
            with self._changed:
                seat.lost = ""
                self._changed.notify_all()
            return

    def close(self) -> None:
        """End all of them."""
        self._closed.set()
        with ThreadPoolExecutor(len(self._seats), "kernelwright-closing") as pool:
            for seat in self._seats:
                pool.submit(seat.member.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
