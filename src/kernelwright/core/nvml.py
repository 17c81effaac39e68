"""NVIDIA's management library (NVML), asked with a deadline.

A driver in trouble may never answer, so the library is loaded and called in a thread of its own:
whoever asks waits for a few seconds at most, and once a call was not answered nobody is made to
wait again. Names and numbers are those of NVIDIA's NVML reference.
"""

from __future__ import annotations

import ctypes
import functools
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TypeVar

LIBRARY = "libnvidia-ml.so.1"
_LIMIT_S = 10.0  # with no process that keeps the driver loaded, the first call loads it
_TEXT_BYTES = 96
_SM_CLOCK, _DIE = 1, 0
_IDLE = 0x01
# Why a clock is lower than it could be, by bit. That nothing runs is no reason to tell.
_REASONS = {
    0x02: "application clocks", 0x04: "power cap", 0x08: "hardware slowdown",
    0x10: "sync boost", 0x20: "thermal slowdown", 0x40: "hardware thermal slowdown",
    0x80: "power brake", 0x100: "display clocks",
}  # fmt: skip

T = TypeVar("T")


class NotTold(Exception):
    """The library does not say; the message is a sentence without its full stop that says why."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What does not change about a card. Watts; None where the card does not tell."""

    name: str
    uuid: str
    index: int
    driver: str
    power_limit_w: float | None
    ecc: bool | None
    mig: bool | None
    persistence: bool | None


@dataclass(frozen=True)
class Pace:
    """How fast a card runs now, in MHz, and the bits that say why it is no faster."""

    sm_mhz: int
    reasons: int

    @property
    def idle(self) -> bool:
        """Whether nothing runs there, so that the clock says nothing about work."""
        return bool(self.reasons & _IDLE)


@dataclass(frozen=True)
class Warmth:
    """How warm a card is, in °C, and what it draws, in watts; None where it does not tell."""

    celsius: int | None
    watts: float | None


def reasons(bits: int) -> tuple[str, ...]:
    """What bits of a `Pace` mean.

    >>> reasons(0x04 | 0x20)
    ('power cap', 'thermal slowdown')
    """
    return tuple(name for bit, name in _REASONS.items() if bits & bit)


class _Memory(ctypes.Structure):
    """`nvmlMemory_t`, in bytes."""

    _fields_ = (
        ("total", ctypes.c_ulonglong),
        ("free", ctypes.c_ulonglong),
        ("used", ctypes.c_ulonglong),
    )


class Library:
    """The library itself. Every call may last for ever: ask through `Nvml`.

    Raises `NotTold` where there is no library, no driver, no permission or no such card.
    """

    def __init__(self, library: str):
        try:
            self._library = ctypes.CDLL(library)
        except OSError as error:
            raise NotTold(f"{library} cannot be loaded ({error})") from error
        self._handles: dict[str, ctypes.c_void_p] = {}
        self._call("nvmlInit_v2")

    def cards(self) -> list[str]:
        """The UUIDs of the cards, in the order of their PCI addresses."""
        count = self._number("nvmlDeviceGetCount_v2")
        return [self._uuid(self._by_index(index)) for index in range(count)]

    def physical(self, uuid: str) -> str:
        """The UUID of the card that `uuid`, perhaps an instance on it (MIG), is a part of."""
        return self._uuid(self._handle(uuid))

    def minor(self, uuid: str) -> int:
        """The number in the name of the node of the card `uuid`, as in /dev/nvidia3."""
        return self._number("nvmlDeviceGetMinorNumber", self._handle(uuid))

    def facts(self, uuid: str) -> Facts:
        """What does not change about the card `uuid`."""
        card = self._handle(uuid)
        limit_mw = self._perhaps("nvmlDeviceGetEnforcedPowerLimit", card)
        return Facts(
            name=self._text("nvmlDeviceGetName", card),
            uuid=self._uuid(card),
            index=self._number("nvmlDeviceGetIndex", card),
            driver=self._text("nvmlSystemGetDriverVersion"),
            power_limit_w=None if limit_mw is None else limit_mw / 1000,
            ecc=self._switched("nvmlDeviceGetEccMode", card),
            mig=self._switched("nvmlDeviceGetMigMode", card),
            persistence=_yes(self._perhaps("nvmlDeviceGetPersistenceMode", card)),
        )

    def pace(self, uuid: str) -> Pace:
        """How fast the card `uuid` runs now."""
        card, bits = self._handle(uuid), ctypes.c_ulonglong()
        mhz = self._number("nvmlDeviceGetClockInfo", card, _SM_CLOCK)
        self._call("nvmlDeviceGetCurrentClocksThrottleReasons", card, ctypes.byref(bits))
        return Pace(mhz, bits.value)

    def warmth(self, uuid: str) -> Warmth:
        """How warm the card `uuid` is, and what it draws."""
        card = self._handle(uuid)
        drawn_mw = self._perhaps("nvmlDeviceGetPowerUsage", card)
        celsius = self._perhaps("nvmlDeviceGetTemperature", card, _DIE)
        return Warmth(celsius, None if drawn_mw is None else drawn_mw / 1000)

    def free_bytes(self, uuid: str) -> int:
        """The memory of the card `uuid` that nobody has now."""
        memory = _Memory()
        self._call("nvmlDeviceGetMemoryInfo", self._handle(uuid), ctypes.byref(memory))
        return int(memory.free)

    def _handle(self, uuid: str) -> ctypes.c_void_p:
        """The physical card that `uuid` is on: an instance of it has no clock of its own."""
        if uuid not in self._handles:
            found, parent = ctypes.c_void_p(), ctypes.c_void_p()
            self._call("nvmlDeviceGetHandleByUUID", uuid.encode(), ctypes.byref(found))
            if uuid.startswith("MIG-"):
                self._call(
                    "nvmlDeviceGetDeviceHandleFromMigDeviceHandle", found, ctypes.byref(parent)
                )
                found = parent
            self._handles[uuid] = found
        return self._handles[uuid]

    def _by_index(self, index: int) -> ctypes.c_void_p:
        found = ctypes.c_void_p()
        self._call("nvmlDeviceGetHandleByIndex_v2", ctypes.c_uint(index), ctypes.byref(found))
        return found

    def _uuid(self, card: ctypes.c_void_p) -> str:
        return self._text("nvmlDeviceGetUUID", card)

    def _switched(self, name: str, card: ctypes.c_void_p) -> bool | None:
        """Whether what has a mode now, and one after the next reset, is on now."""
        now, later = ctypes.c_uint(), ctypes.c_uint()
        try:
            self._call(name, card, ctypes.byref(now), ctypes.byref(later))
        except NotTold:
            return None
        return bool(now.value)

    def _perhaps(self, name: str, *given: object) -> int | None:
        try:
            return self._number(name, *given)
        except NotTold:
            return None

    def _number(self, name: str, *given: object) -> int:
        found = ctypes.c_uint()
        self._call(name, *given, ctypes.byref(found))
        return found.value

    def _text(self, name: str, *given: object) -> str:
        found = ctypes.create_string_buffer(_TEXT_BYTES)
        self._call(name, *given, found, ctypes.c_uint(_TEXT_BYTES))
        return found.value.decode(errors="replace")

    def _call(self, name: str, *given: object) -> None:
        try:
            code = getattr(self._library, name)(*given)
        except AttributeError as error:
            raise NotTold(f"this driver's {LIBRARY} has no {name}") from error
        if code != 0:
            raise NotTold(f"{name}: {self._error(code)}")

    def _error(self, code: int) -> str:
        said = getattr(self._library, "nvmlErrorString", None)
        if said is None:
            return f"error {code}"
        said.restype = ctypes.c_char_p
        return (said(code) or b"").decode(errors="replace") or f"error {code}"


class Nvml:
    """The library behind a deadline. Safe to use from any thread."""

    def __init__(self, library: str = LIBRARY, limit_s: float = _LIMIT_S):
        """It is loaded when first asked, and each question may take `limit_s` seconds."""
        self._name = library
        self._limit_s = limit_s
        self._library: Library | None = None
        self._stuck = ""
        self._starting = threading.Lock()
        self._asked: SimpleQueue[Callable[[], None]] | None = None

    def ask(self, question: Callable[[Library], T]) -> T:
        """What `question` finds out.

        Raises:
            NotTold: it cannot be known, or was not answered in time.
        """
        if self._stuck:
            raise NotTold(self._stuck)
        answer: Future[T] = Future()

        def work() -> None:
            try:
                answer.set_result(question(self._loaded()))
            except BaseException as error:  # it is whoever asked who gets it
                answer.set_exception(error)

        self._queue().put(work)
        try:
            return answer.result(self._limit_s)
        except TimeoutError as error:
            self._stuck = (
                f"NVML did not answer within {self._limit_s:g} s, and is not asked again; look at "
                "`nvidia-smi` and `dmesg`"
            )
            raise NotTold(self._stuck) from error

    def _queue(self) -> SimpleQueue[Callable[[], None]]:
        with self._starting:
            if self._asked is None:
                self._asked = SimpleQueue()
                threading.Thread(
                    target=_answer_all, args=(self._asked,), name="kernelwright-nvml", daemon=True
                ).start()
            return self._asked

    def _loaded(self) -> Library:
        if self._library is None:
            self._library = Library(self._name)
        return self._library


def _answer_all(asked: SimpleQueue[Callable[[], None]]) -> None:
    while True:
        asked.get()()


def _yes(value: int | None) -> bool | None:
    return None if value is None else bool(value)


@functools.cache
def nvml() -> Nvml:
    """This process's way to the library of this machine."""
    return Nvml()
