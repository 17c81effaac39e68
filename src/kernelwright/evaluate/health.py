"""Whether a GPU still works after a candidate ended badly on it, and what becomes of one that does
not.

A fresh process of ours makes a context, takes memory, runs two kernels and reads back what they
wrote. Nearly all of that is the context (0.1 to 0.5 s), so it is paid for only where something went
wrong: a candidate that ends well has just shown more than the probe could. When the probe fails
twice, the second time with nobody else on the card, the device is to blame and not the candidate:
nothing is judged on it until a probe passes. But where all it lacks is memory, others have that,
and give it back: it is waited for.

The probe also tells how much memory is free by then. A candidate that ran out of it while others
had nearly all of it is not to blame either.
"""

from __future__ import annotations

import contextlib
import re
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeGuard

from kernelwright.core.cards import first_card
from kernelwright.core.errors import DeviceFull, DeviceLost, FaultError
from kernelwright.core.evaluation import Crashed, Outcome, Rejected, TimedOut
from kernelwright.evaluate.native.programs import probe as probe_program
from kernelwright.evaluate.places import Places
from kernelwright.evaluate.running.life import OUT_OF_MEMORY

_LIMIT_S = 15.0
_ENDING_S = 2.0  # a process that waits for a lost device may not even be killed
_PAUSE_S = 1.0
_REST_S = 30.0  # so long a lost device is left alone between two probes
_PATIENCE_S = 120.0  # so long others have to give memory back; a search has several tries
_MOVED = "not_standing_still"
_KILLED = ("does_not_stop", _MOVED)
_MAX_SAID = 300
_FULL = "CUDA_ERROR_OUT_OF_MEMORY"  # as the driver calls it
_FREE_SHARE = 1 / 8  # with less, a device counts as filled by others

# A crowded GPU refuses a context as "busy or unavailable", when it has memory left for none.
_NO_ROOM = re.compile(
    r"out.of.memory|MemoryError|SIGKILL|cannot allocate|busy or unavailable|DEVICE_UNAVAILABLE",
    re.IGNORECASE,
)

CHECKED = "probes of the device, since it ended badly"
STAGE = "health"


@dataclass(frozen=True)
class Well:
    """The device works. Milliseconds for the context, and for the work in it; of the device's
    bytes of memory, those that are free."""

    context_ms: float
    work_ms: float
    free_bytes: int
    total_bytes: int


@dataclass(frozen=True)
class Ill:
    """It does not, or nobody can say; `why` is a clause."""

    why: str


Probed = Well | Ill


def probe(limit_s: float = _LIMIT_S) -> Probed:
    """Probe the first GPU that this process may use, in a fresh process.

    Raises:
        Unavailable, WorkerError: the probe cannot be built.
    """
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            [str(probe_program())], stdin=subprocess.DEVNULL, stdout=output,
            stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            code = process.wait(limit_s)
        except subprocess.TimeoutExpired:
            process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_ENDING_S)
            return Ill(f"a probe of it did not end within {limit_s:g} s")
        output.seek(0)
        said = output.read().decode(errors="replace").strip()
    found = re.fullmatch(r"well ([\d.]+) ([\d.]+) (\d+) (\d+)", said)
    if code == 0 and found:
        return Well(float(found[1]), float(found[2]), int(found[3]), int(found[4]))
    return Ill(f"a probe of it failed ({said[:_MAX_SAID] or f'status {code}'})")


def is_suspicious(outcome: Outcome) -> bool:
    """Whether a GPU may have suffered from how a candidate ended: by a signal or an error of the
    device, out of time, or since it had to be ended. An exception that does not speak of the
    device came from Python."""
    match outcome:
        case Crashed(signal=None, detail=detail):
            return "CUDA" in detail
        case Crashed():
            return True
        case TimedOut(stage=stage):
            return stage != "build"
        case Rejected(rule=rule):
            return rule in _KILLED
        case _:
            return False


def _nothing() -> None:
    """What there is to renew where nothing outlives a candidate."""


def ran_out(outcome: Outcome) -> bool:
    """Whether a candidate, by its own words or by the device's, found no memory."""
    if not isinstance(outcome, Crashed):
        return False
    return OUT_OF_MEMORY.search(f"{outcome.signal} {outcome.detail}") is not None


def others_may_be_to_blame(outcome: Outcome) -> bool:
    """Whether it may have come about since others used the device and the memory at that time."""
    if isinstance(outcome, Crashed):
        return bool(_NO_ROOM.search(f"{outcome.signal} {outcome.detail}"))
    return isinstance(outcome, TimedOut)


def neighbours_may_have_moved(outcome: object) -> bool:
    """Whether a device was busy that should have been idle: the candidate's doing, or that of a
    process which knows nothing of the card's lock. Who did it on purpose does it every time."""
    return isinstance(outcome, Rejected) and outcome.rule == _MOVED


class Health:
    """Whether the GPU of one judge can be relied on. Safe to use from any thread."""

    def __init__(
        self,
        places: Places,
        run: Callable[[], Probed] = probe,
        *,
        renew: Callable[[], None] = _nothing,
        pause_s: float = _PAUSE_S,
        rest_s: float = _REST_S,
        patience_s: float = _PATIENCE_S,
    ):
        """Each probe holds one of `places`, since it uses the device. `pause_s` lies between two; a
        lost device is left alone for `rest_s` after each, and one without memory has `patience_s`
        to have some. When a lost one is there again, `renew` ends what had contexts on it."""
        self._places = places
        self._run = run
        self._renew = renew
        self._pause_s, self._rest_s, self._patience_s = pause_s, rest_s, patience_s
        self._lock = threading.Lock()
        self._last_good = float("-inf")  # when the last probe that passed began
        self._last: Well | None = None  # and what it found
        self._lost = ""
        self._asked_again = 0.0

    def require(self) -> None:
        """Make sure that the device is not lost; one that is may have come back.

        Raises:
            DeviceLost: it does not work.
        """
        with self._lock:
            if not self._lost:
                return
            if time.monotonic() < self._asked_again:
                raise DeviceLost(self._lost)
            with self._places.beside_others(), self._places.card():
                self._judge(self._run())

    def after(self, outcome: Outcome) -> float | None:
        """Make sure that a candidate's end was its own doing, where that can be doubted; the
        seconds that the probe took, None where there was none.

        Raises:
            DeviceLost: the device does not work, so the outcome says nothing about the candidate.
            DeviceFull: it ran out of memory that others had, or they have all of it even now.
        """
        if not is_suspicious(outcome):
            return None
        started = time.monotonic()
        self._probe_since(started)
        found = self._last
        # The candidate is gone by now, so what is not free is not its own.
        if ran_out(outcome) and found and found.free_bytes < _FREE_SHARE * found.total_bytes:
            raise DeviceFull(_crowded(first_card().key, found))
        return time.monotonic() - started

    def after_fault(self, fault: FaultError) -> None:
        """Find out whether a failure of ours came from the device.

        Raises:
            DeviceLost: it does not work.
            DeviceFull: others have its memory.
        """
        try:
            self._probe_since(time.monotonic())
        except (DeviceLost, DeviceFull) as found:
            raise found from fault

    def _probe_since(self, ended: float) -> None:
        """Probe, unless a probe that began later than `ended` has passed meanwhile."""
        with self._lock:
            if self._last_good > ended:
                return
            began = time.monotonic()
            with self._places.beside_others(), self._places.card():
                found = self._run()
            if isinstance(found, Ill):
                # A neighbour may have had all the memory, or the device may need a moment.
                time.sleep(self._pause_s)
                with self._places.alone():
                    found = self._run()
            while _is_full(found) and time.monotonic() < began + self._patience_s:
                time.sleep(self._pause_s)
                with self._places.beside_others(), self._places.card():
                    found = self._run()
            self._judge(found)
            self._last_good = began
            self._last = found if isinstance(found, Well) else None

    def _judge(self, found: Probed) -> None:
        if isinstance(found, Well):
            if self._lost:
                self._renew()
            self._lost = ""
            return
        if _is_full(found):
            raise DeviceFull(_full(first_card().key, found.why))
        self._asked_again = time.monotonic() + self._rest_s
        self._lost = _sentence(first_card().key, found.why)
        raise DeviceLost(self._lost)


def _is_full(found: Probed) -> TypeGuard[Ill]:
    """Whether a probe found no memory."""
    return isinstance(found, Ill) and _FULL in found.why


def _crowded(card: str, found: Well) -> str:
    """That others have the memory of the GPU `card`, and what to do about it."""
    return (
        f"A candidate found no memory on the GPU {card}, and with it gone {found.free_bytes >> 20} "
        f"of {found.total_bytes >> 20} MiB are free: others have the rest, so it may not be to "
        "blame. See in `nvidia-smi` who has it, and judge with fewer processes at once."
    )


def _full(card: str, why: str) -> str:
    """That nobody finds memory on the GPU `card`, and what to do about it."""
    return (
        f"The GPU {card} has no memory left, not even for a probe: {why}. See in `nvidia-smi` who "
        "has it, and judge with fewer processes at once."
    )


def _sentence(card: str, why: str) -> str:
    """What is wrong with the GPU `card`, and what to do about it."""
    return (
        f"The GPU {card} does not work any more: {why}. Nothing is judged on it until a probe "
        "passes; look at `nvidia-smi` and for Xid lines in `dmesg`, end what hangs on it, and "
        "reset it (`nvidia-smi --gpu-reset`) or restart the machine."
    )
