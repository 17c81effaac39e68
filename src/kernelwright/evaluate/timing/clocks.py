"""The clock of a GPU beside the blocks that are timed there, as the broker sees it.

One look right before a block and one right after it, by NVML, and none within. A GPU that gets hot
or draws too much runs slower, so what is timed then is no measure of a kernel: a block below 90% of
the session's median clock is not believed. The median is that of the same subject's blocks, since a
kernel that draws more than another runs slower by itself; a candidate's are those of this candidate
alone, and when the card sags all the time that it is there, its baselines' clocks tell.
"""

from __future__ import annotations

import statistics
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from kernelwright.core.cards import Card
from kernelwright.core.evaluation import Clock
from kernelwright.core.nvml import NotTold, Nvml, Pace, Warmth, reasons
from kernelwright.core.statistics import CANDIDATE

_STEADY = 0.9
_REMEMBERED = 1024  # blocks of a subject

SUBJECT = "the GPU's clock, temperature and throttling"


@dataclass
class Clocks:
    """Looks at one card. Without `pace` nobody looks, and nothing is said of clocks.

    `why_not` says why it is not known how the card runs; empty where it is, or where there is none.
    """

    pace: Callable[[], Pace] | None = None
    warmth: Callable[[], Warmth] | None = None
    why_not: str = ""
    _session: defaultdict[str, deque[int]] = field(
        default_factory=lambda: defaultdict(lambda: deque(maxlen=_REMEMBERED)), init=False
    )
    _looks: list[Pace] = field(default_factory=list, init=False)
    _own: list[int] = field(default_factory=list, init=False)
    _reasons: int = field(default=0, init=False)
    _warmths: list[Warmth] = field(default_factory=list, init=False)

    @classmethod
    def of(cls, card: Card, library: Nvml) -> Clocks:
        """The clocks of `card`."""
        name = card.uuid or card.name
        return cls(
            lambda: library.ask(lambda asked: asked.pace(name)),
            lambda: library.ask(lambda asked: asked.warmth(name)),
        )

    def begin(self) -> None:
        """What is seen from now on belongs to another candidate, in the same session."""
        self._session.pop(CANDIDATE, None)
        self._looks.clear()
        self._own.clear()
        self._warmths.clear()
        self._reasons = 0

    def look(self) -> None:
        """See how fast the card runs now. What cannot be seen is no error: see `why_not`."""
        if self.pace is None:
            return
        try:
            seen = self.pace()
        except NotTold as error:
            self.pace, self.warmth, self.why_not = None, None, str(error)
            return
        self._looks.append(seen)
        self._reasons |= seen.reasons

    def of_block(self) -> int | None:
        """The slower of the looks since this was last asked, in MHz; None when there was none. A
        card that was idle at one of them had no reason to run fast."""
        seen, self._looks = self._looks, []
        at_work = [pace for pace in seen if not pace.idle] or seen
        return min((pace.sm_mhz for pace in at_work), default=None)

    def note(self, round_mhz: Mapping[str, int | None]) -> None:
        """Note how fast each subject's block of a round ran, and how warm the card is after it."""
        for subject, mhz in round_mhz.items():
            if mhz is not None:
                self._session[subject].append(mhz)
                self._own.append(mhz)
        if self.warmth is not None:
            try:
                self._warmths.append(self.warmth())
            except NotTold:
                self.warmth = None

    def sagged(self, round_mhz: Mapping[str, int | None]) -> bool:
        """Whether one of a round's blocks is not to be believed."""
        return any(
            mhz is not None and mhz < _STEADY * statistics.median(self._session[subject] or [mhz])
            for subject, mhz in round_mhz.items()
        )

    def record(self, discarded_blocks: int) -> Clock | None:
        """What was seen since `begin`; None when nothing was."""
        if not self._own:
            return None
        celsius = [w.celsius for w in self._warmths if w.celsius is not None]
        watts = [w.watts for w in self._warmths if w.watts is not None]
        return Clock(
            median_mhz=statistics.median(self._own),
            lowest_mhz=min(self._own),
            blocks=len(self._own),
            discarded_blocks=discarded_blocks,
            throttle_reasons=reasons(self._reasons),
            warmest_c=max(celsius, default=None),
            most_w=max(watts, default=None),
        )
