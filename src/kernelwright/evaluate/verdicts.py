"""What a judge has said already: an exact duplicate gets the same answer, and is told so.

It saves the time, and it ends a lottery: a candidate that is right now and then cannot be handed in
until it happens to pass.
"""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Iterator

from kernelwright.core.candidate import Candidate
from kernelwright.core.evaluation import Effort, Evaluation
from kernelwright.evaluate.building.compile_cache import full_hash

REMEMBERED = 1024
REPEATED = (
    "anything, this time: this judge gave this verdict before on exactly the same candidate, "
    "and repeats it"
)


class Verdicts:
    """The latest verdicts of one judge, by candidate and effort. Safe to use from any thread."""

    def __init__(self, remembered: int = REMEMBERED):
        self._remembered = remembered
        self._given: OrderedDict[str, Evaluation] = OrderedDict()
        self._lock = threading.Condition()
        self._asked: set[str] = set()

    @contextlib.contextmanager
    def asked(self, candidate: Candidate, effort: Effort) -> Iterator[None]:
        """Hold what is asked, so that nobody finds out the same at the same time."""
        key = _key(candidate, effort)
        with self._lock:
            self._lock.wait_for(lambda: key not in self._asked)
            self._asked.add(key)
        try:
            yield
        finally:
            with self._lock:
                self._asked.discard(key)
                self._lock.notify_all()

    def recall(self, candidate: Candidate, effort: Effort) -> Evaluation | None:
        """The verdict given before, saying that it is repeated; None when there is none."""
        key = _key(candidate, effort)
        with self._lock:
            found = self._given.get(key)
            if found is None:
                return None
            self._given.move_to_end(key)
        return found.model_copy(update={"not_checked": (REPEATED, *found.not_checked)})

    def remember(self, candidate: Candidate, evaluation: Evaluation) -> None:
        """Keep `evaluation`, and let go of the one that was not asked for for longest."""
        with self._lock:
            self._given[_key(candidate, evaluation.effort)] = evaluation
            while len(self._given) > self._remembered:
                self._given.popitem(last=False)

    def forget(self) -> None:
        """Let go of all, when something showed that they cannot be relied on."""
        with self._lock:
            self._given.clear()


def _key(candidate: Candidate, effort: Effort) -> str:
    """The whole hash of all that the candidate's id is made of."""
    return full_hash(candidate.model_dump(mode="json"), candidate.values, effort)
