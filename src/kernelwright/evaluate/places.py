"""The places that a judge has for candidates: many are verified side by side, one alone is timed.

Whether outputs are right does not depend on who else computes; how long they take does. Judges that
are other processes are kept away from a GPU by its lock (`core.device_lock`), which is held while
something runs there, and not while one thread waits for another.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from kernelwright.core.cards import first_card
from kernelwright.core.device_lock import DeviceLock, Meanwhile, lock_of
from kernelwright.evaluate.building.gate import MACHINE, Gate
from kernelwright.problems.reference import Device

# A life on a GPU has a context there, and mostly waits for the device and for compilers. With ten
# places an H100 with 16 processors gave fewer verdicts than with six: 115 a minute instead of 138.
_MOST_PLACES, _PROCESSORS_EACH = 6, 2


class Places:
    """The places of one judge. Do not ask for one while holding one."""

    def __init__(self, count: int, card: DeviceLock | None = None):
        self.count = count
        self._gate = Gate(count, gather=count)
        self._card = card

    @classmethod
    def of(cls, device: Device) -> Places:
        """As many places as `device` has use for: a CPU has it for one."""
        if device == "cpu":
            return cls(1)
        count = max(1, min(_MOST_PLACES, MACHINE.places // _PROCESSORS_EACH))
        return cls(count, lock_of(first_card().key))

    @contextlib.contextmanager
    def beside_others(self) -> Iterator[None]:
        """Hold one of the places, and not yet the card."""
        with self._gate.working():
            yield

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Hold all the places, while other judges may use the card."""
        with self._gate.quiet(), self.card():
            yield

    @contextlib.contextmanager
    def quiet(self) -> Iterator[None]:
        """Hold all the places and the card, for a measurement."""
        with self._gate.quiet(), self._card.alone() if self._card else contextlib.nullcontext():
            yield

    def card(self) -> contextlib.AbstractContextManager[None]:
        """Hold the card in common with others, and no place."""
        return self._card.shared() if self._card else contextlib.nullcontext()

    def give_way(self, meanwhile: Meanwhile = contextlib.nullcontext) -> None:
        """Let another judge measure, if one waits for the card that is held in common. Nothing may
        be running on it for who asks, or `meanwhile` has it stand still."""
        if self._card is not None:
            self._card.give_way(meanwhile)
