"""The physical GPUs that this process may use, by the names that do not depend on who looks.

`CUDA_VISIBLE_DEVICES` says which. Its numbers are taken to count the machine's cards in the order
of their PCI addresses, as nvidia-smi does; where cards differ, CUDA counts them so only with
`CUDA_DEVICE_ORDER=PCI_BUS_ID`. A UUID means the same to everybody.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kernelwright.core.errors import Unavailable, UsageError
from kernelwright.core.nvml import NotTold, Nvml, nvml

VARIABLE = "CUDA_VISIBLE_DEVICES"
DEVICES = r"cpu|cuda(:\d{1,3})?"
_GPUS = Path("/proc/driver/nvidia/gpus")


@dataclass(frozen=True)
class Card:
    """One that this process may use. `name` is what the variable calls it: the card's UUID where
    that is known, or that of an instance on it (MIG). `uuid` is the physical card's, or the PCI
    address where the driver tells no more, or None."""

    name: str
    uuid: str | None

    @property
    def key(self) -> str:
        """What its lock and its peaks are kept under."""
        return self.uuid or f"gpu{self.name}"


def visible_cards(
    visible: str | None = None, gpus: Path = _GPUS, library: Nvml | None = None
) -> tuple[Card, ...]:
    """The cards that this process may use, the first of them being CUDA's device 0.

    `visible` is by default what the variable says. Where there is none, all that the driver shows
    are meant, and the first where it shows none.
    """
    said = os.environ.get(VARIABLE) if visible is None else visible
    known = _known(gpus, library or nvml())
    if said is None:
        return tuple(_numbered(at, known) for at in range(max(1, len(known))))
    found: list[Card] = []
    for name in (part.strip() for part in said.split(",")):
        if name in ("", "-1"):
            break  # as CUDA does: what is no card ends the list
        found.append(_card(name, known, library or nvml()))
    return tuple(dict.fromkeys(found))


def first_card() -> Card:
    """The card that is CUDA's device 0; what is known of it where the driver does not tell."""
    return (visible_cards() or (Card("0", None),))[0]


def kind_of(device: str) -> Literal["cpu", "cuda"]:
    """What kind of device ``cpu``, ``cuda`` or ``cuda:1`` is.

    Raises:
        UsageError: it is none of these.
    """
    if not re.fullmatch(DEVICES, device):
        raise UsageError(f"A device is cpu, cuda or cuda:N for one of several, and not {device!r}.")
    return "cpu" if device == "cpu" else "cuda"


@contextlib.contextmanager
def only_card(device: str | None) -> Iterator[None]:
    """With ``cuda:1`` this process, and what it starts, may use the second of its cards and no
    other. Any other device changes nothing. It is the process's own setting, so for one thread.

    Raises:
        Unavailable: there is no such card.
    """
    number = (device or "").partition(":")[2]
    if not number:
        yield
        return
    cards = visible_cards()
    if int(number) >= len(cards):
        names = ", ".join(card.key for card in cards) or "none"
        raise Unavailable(f"There is no {device} here. This process may use: {names}.")
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = cards[int(number)].name
    try:
        yield
    finally:
        del os.environ[VARIABLE]
        if before is not None:
            os.environ[VARIABLE] = before


def passed_on() -> dict[str, str]:
    """What a process with an environment of its own must be told to use the cards that this one
    may."""
    return {VARIABLE: os.environ[VARIABLE]} if VARIABLE in os.environ else {}


def only_minor(library: Nvml | None = None) -> int | None:
    """The number in the node's name of the one card that the variable names by its UUID; None where
    it does not, or where the driver does not tell. Which card a number means depends on who counts.
    """
    if not os.environ.get(VARIABLE, "").startswith(("GPU-", "MIG-")):
        return None
    cards = visible_cards(library=library)
    if len(cards) != 1 or cards[0].uuid is None:
        return None
    uuid = cards[0].uuid
    try:
        return (library or nvml()).ask(lambda asked: asked.minor(uuid))
    except NotTold:
        return None


def _card(name: str, known: Sequence[str], library: Nvml) -> Card:
    if name.isdecimal():
        return _numbered(int(name), known)
    if name.startswith("MIG-"):
        try:
            return Card(name, library.ask(lambda asked: asked.physical(name)))
        except NotTold:
            return Card(name, name)
    # CUDA takes the beginning of a UUID for it.
    whole = next((uuid for uuid in known if uuid.startswith(name)), name)
    return Card(whole, whole)


def _numbered(at: int, known: Sequence[str]) -> Card:
    uuid = known[at] if at < len(known) else None
    named = uuid is not None and uuid.startswith("GPU-")
    return Card(str(uuid) if named else str(at), uuid)


def _known(gpus: Path, library: Nvml) -> list[str]:
    """The machine's cards in the order of their PCI addresses: those that NVML may use, or else
    those that the driver has files of."""
    try:
        return library.ask(lambda asked: asked.cards())
    except NotTold:
        return [_uuid(folder) for folder in sorted(gpus.glob("*"))]


def _uuid(folder: Path) -> str:
    with contextlib.suppress(OSError):
        found = re.search(r"GPU UUID:\s*(\S+)", (folder / "information").read_text())
        if found:
            return found[1]
    return folder.name
