"""The keeper, seen from the broker: who owns the device memory that calls are timed in.

A candidate's outputs lie on the device, where no other process can read them at the moment that the
clock stops but one that shares the memory. The keeper (`native/keeper.c`) holds all cases on the
device, brings those of a block to where a runner finds them, notes a few secret words of every
output before the clock is read, and takes outputs away later: what was finished behind the clock
differs in a word that was noted before.

A block has more calls than there are cases. Most of them get a case *turned*: each of its tensors
of free floating-point numbers rolled by a secret distance. What such a call must give is not known
beforehand, but nobody can tell it from the others; `witness` asks a baseline about some of them.
"""

from __future__ import annotations

import random
import secrets
import socket
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kernelwright.core.errors import SandboxError
from kernelwright.core.evaluation import Rejected
from kernelwright.evaluate.correctness.cases import Written
from kernelwright.evaluate.isolation import sandbox
from kernelwright.evaluate.native.programs import keeper
from kernelwright.evaluate.running.arena import GUARD, PAGE, POISONS, Slot
from kernelwright.evaluate.running.life import Life, LifeEnded, Operation
from kernelwright.evaluate.timing.device_layout import SLOTS_BYTES, Layout, Window
from kernelwright.evaluate.timing.script import (
    FILLED,
    INPUTS,
    OPENED,
    OUTPUTS,
    POOL,
    SAMPLES,
    SCRATCH,
    WINDOW,
    Script,
    Words,
)
from kernelwright.evaluate.timing.staging import TURNED_BY, TimedCases, turnable

_START_S = 60.0
_LIMIT_S = 60.0
_HANDLES = 2 * 2 * 64  # two IPC handles of 64 bytes, in hexadecimal
_WORD = 4
_RIVALS = 3072  # where the names of a baseline's outputs begin
# How much of a card that is shared with others is asked for, until there is that much; and no more
# than this part of what is free, since references and baselines of all who judge there need some.
_SHARES = (SLOTS_BYTES, SLOTS_BYTES // 4, SLOTS_BYTES // 16, 1)
_PART = 6
_CHOOSE, _FLUSH, _CHOOSE_NONE = 1, 2, 4


@dataclass(frozen=True)
class Shown:
    """What the call in a slot is given: a case, with its tensors turned by these bytes."""

    case: int
    turned: Mapping[str, int]

    @property
    def known(self) -> bool:
        """Whether it is known what must come out."""
        return not self.turned


class Keeper:
    """A process with device memory for the calls of one block. `handles` lend it to a runner."""

    def __init__(self, cases: TimedCases, folder: Path, most_bytes: int = SLOTS_BYTES):
        """Start the process; it writes what goes wrong to a log in `folder`. It takes at most
        `most_bytes` for the calls of a block.

        Raises:
            SandboxError: there is no driver, or not as much memory as the cases need.
        """
        self._cases = cases
        self._specs = {spec.name: spec for spec in cases.problem.inputs}
        self.turnable = turnable(cases.problem, cases.workload)
        self.layout = Layout(cases.problem, cases.workload, most_bytes)
        self.window = Window(cases.problem, cases.workload)
        self._place_pool()
        self._script = Script()
        self._draw = np.random.default_rng(secrets.randbits(128))
        self._log = folder / "keeper.log"
        self._running = self._start()
        try:
            self.handles = self._read_handles()
        except SandboxError:
            self.close()
            raise

    def _place_pool(self) -> None:
        """Where on the device the weights and the inputs of all cases are kept."""
        sizes = {name: _whole(slot.nbytes) for name, slot in self.window.inputs.items()}
        weights = [name for name in sizes if self._specs[name].role == "weight"]
        at = 0
        self._pool: dict[str, int] = {}
        for name in (*weights, *(name for name in sizes if name not in weights)):
            self._pool[name] = at
            at += sizes[name]
        self._per_case = sum(size for name, size in sizes.items() if name not in weights)
        self._pool_bytes = at + (len(self._cases) - 1) * self._per_case

    def _pooled(self, name: str, case: int) -> int:
        shared = self._specs[name].role == "weight"
        return self._pool[name] + (0 if shared else case * self._per_case)

    def _start(self) -> Life:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        descriptors = [theirs.fileno(), self._script.fd, self.window.memory.fd]
        sizes = [self.layout.inputs.nbytes, self.layout.outputs.nbytes, self._pool_bytes]
        with theirs, self._log.open("wb") as log:
            process = subprocess.Popen(
                [str(keeper()), *map(str, descriptors), *map(str, sizes)], pass_fds=descriptors,
                stdout=log, stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip
        return Life(sandbox.Child(process, self._log, alone=True, program=process.pid), ours)

    def _read_handles(self) -> str:
        self._ask("ping", limit_s=_START_S)
        handles = self._log.read_text().split("\n", 1)[0]
        if len(handles) != _HANDLES:
            raise SandboxError(
                f"The keeper of device memory did not come up: {handles!r}\n"
                "Run `kernelwright doctor` to see what works here."
            )
        return handles

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._running.pid

    def __len__(self) -> int:
        """How many calls a block can have."""
        return len(self.layout)

    def take_over(self) -> None:
        """Bring the cases, as they are now, to the device."""
        for index, case in enumerate(self._cases.cases):
            for name, slot in self.window.inputs.items():
                if index == 0 or self._specs[name].role != "weight":
                    self.window.memory.data(slot)[:] = case.inputs[name].view(np.uint8)
                    to = self._pooled(name, index)
                    self._script.queue(POOL, to, WINDOW, slot.offset, slot.nbytes)
            self._stage()

    def stage_all(self) -> None:
        """Show a case in every slot."""
        block = [Shown(slot % len(self._cases), {}) for slot in range(len(self))]
        self.put_numbers(0, block)
        self.stage(0, block)

    def forget(self) -> None:
        """Let go of the outputs of a life that ends."""
        self._ask("load")

    def wipe(self) -> None:
        """Leave nothing of an earlier life."""
        for space, arena in ((INPUTS, self.layout.inputs), (OUTPUTS, self.layout.outputs)):
            self._script.queue(space, 0, FILLED, GUARD, arena.nbytes)
        self._stage()

    def turn(self, source: random.Random) -> Shown:
        """One of the cases that are drawn as the file draws them, turned at random. Of another it
        would be seen that it is no case as it is."""
        drawn = [n for n, c in enumerate(self._cases.cases) if c.distribution == "file"]
        case = source.choice(drawn)
        turned = {}
        for spec in self.turnable:
            nbytes = spec.nbytes(self._cases.workload.axes)
            turned[spec.name] = TURNED_BY * source.randrange(1, nbytes // TURNED_BY)
        return Shown(case, turned)

    def put_numbers(self, first: int, block: Sequence[Shown]) -> None:
        """Show the numbers of the calls of a block, which a runner reads before the tensors."""
        for call, shown in zip(self.layout.calls[first:], block, strict=False):
            for place, spec in zip(call.inputs, self._cases.problem.inputs, strict=True):
                if spec.role == "scalar":
                    value = self._cases.cases[shown.case].inputs[spec.name]
                    self.layout.numbers.data(place)[:] = value.view(np.uint8)

    def stage(self, first: int, block: Sequence[Shown]) -> None:
        """Show the tensors of the calls of a block, and poison their outputs."""
        self.lay(first, block)
        self._stage()

    def lay(self, first: int, block: Sequence[Shown]) -> None:
        """As `stage`, but done no sooner than words are chosen. Where others wait at a gate each
        thing that is asked of the device costs a slice of its time."""
        for slot, shown in enumerate(block, first):
            for place, spec in zip(
                self.layout.calls[slot].inputs, self._cases.problem.inputs, strict=True
            ):
                if spec.role == "input" or (spec.role == "weight" and slot == first):
                    self._show(place, spec.name, shown)
            for place in self.layout.calls[slot].outputs:
                self._script.queue(OUTPUTS, place.offset, FILLED, _poison(slot), place.nbytes)

    def _show(self, place: Slot, name: str, shown: Shown) -> None:
        start, by = self._pooled(name, shown.case), shown.turned.get(name, 0)
        self._script.queue(INPUTS, place.offset, POOL, start + by, place.nbytes - by)
        if by:
            self._script.queue(INPUTS, place.offset + place.nbytes - by, POOL, start, by)

    def flush(self) -> None:
        """Leave nothing in the device's cache, from which a user's inputs may not come either, and
        note nobody's outputs from now on."""
        self._ask("stage", subject=_FLUSH | _CHOOSE_NONE)

    def open(self, slots: Sequence[int]) -> bool:
        """Take in the outputs that a runner says the calls in `slots` returned; whether they are
        there."""
        return self._open(self.layout.named(slots), slots, 0)

    def open_rival(self, said: bytes, slot: int) -> bool:
        """Take in the outputs of a baseline's call in `slot`, by the names that it `said`."""
        return self._open(said, (slot,), _RIVALS)

    def _open(self, said: bytes, slots: Sequence[int], at: int) -> bool:
        sizes = [place.nbytes for slot in slots for place in self.layout.calls[slot].outputs]
        if (np.frombuffer(said, np.int64).reshape(len(sizes), -1)[:, -1] < sizes).any():
            return False
        self._script.put_names(at, said)
        try:
            self._running.ask("open", stage="timing", limit_s=_LIMIT_S, first=at, count=len(sizes))
        except LifeEnded as ended:
            if isinstance(ended.outcome, Rejected):
                return False
            raise self._broken("open", ended) from ended
        return True

    def words(self, first: int, slot: int, number: int, *, opened: bool) -> tuple[Words, Words]:
        """Words at the same places of output `number` of a candidate's call in `slot`, of a block
        that began at `first`, and of a baseline's call on the same inputs."""
        place = self.layout.calls[slot].outputs[number]
        ours = (OPENED + (slot - first) * self._outputs + number, 0)
        if not opened:
            ours = (OUTPUTS, place.offset)
        half = SAMPLES // 2
        offsets = _WORD * self._draw.integers(place.nbytes // _WORD, size=half)
        self._script.places[:half, 0], self._script.places[half:, 0] = (
            ours[0],
            OPENED + _RIVALS + number,
        )
        self._script.places[:half, 1], self._script.places[half:, 1] = ours[1] + offsets, offsets
        self._ask("stage", subject=_CHOOSE)
        self.sample()
        found = self._script.words.copy()
        return found[:half], found[half:]

    @property
    def _outputs(self) -> int:
        return len(self._cases.problem.outputs)

    def choose(self, first: int, calls: int, *, opened: bool) -> None:
        """Choose the words that will be noted of the outputs of a block, lay out what waits for
        it, and flush the cache."""
        outputs = [p for call in self.layout.calls[first : first + calls] for p in call.outputs]
        spans = np.array(
            [
                (OPENED + at, 0, place.nbytes) if opened else (OUTPUTS, place.offset, place.nbytes)
                for at, place in enumerate(outputs)
                if place.nbytes >= _WORD
            ]
            or [(SCRATCH, 0, _WORD)]
        )
        chosen = spans[np.arange(SAMPLES) % len(spans)]
        self._script.places[:, 0] = chosen[:, 0]
        self._script.places[:, 1] = chosen[:, 1] + _WORD * self._draw.integers(
            chosen[:, 2] // _WORD
        )
        self._stage(_CHOOSE | _FLUSH)

    def sample(self) -> None:
        """Note the chosen words of the outputs as they are now."""
        self._ask("sample")

    def collect(self, first: int, slot: int, *, opened: bool) -> tuple[list[Written], bool]:
        """Take the outputs of the call in `slot` of a block that began at `first`, and say whether
        what was noted of them is still there. The outputs change with the next call."""
        whole = []
        places = self.layout.calls[slot].outputs
        for number, (place, to) in enumerate(zip(places, self.window.outputs, strict=True)):
            if opened:
                space = OPENED + (slot - first) * self._outputs + number
                span = _Span(space, 0, place.nbytes, 0)
            else:
                span = _Span(
                    OUTPUTS,
                    place.start,
                    place.end + PAGE - place.start,
                    place.offset - place.start,
                )
            self._script.queue(WINDOW, to.offset, span.space, span.begin, span.nbytes)
            whole.append((span, self.window.memory.memory[to.offset : to.offset + span.nbytes]))
        self._stage()
        same = all(self._unchanged(span, data) for span, data in whole)
        written = [
            Written(
                data[span.lead : span.lead + place.nbytes], _intact(data, span.lead, place.nbytes),
                _poison(slot),
            )
            for (span, data), place in zip(whole, places, strict=True)
        ]  # fmt: skip
        return written, same

    def _unchanged(self, span: _Span, data: np.ndarray) -> bool:
        spaces, at = self._script.places[:, 0], self._script.places[:, 1]
        within = (spaces == span.space) & (at >= span.begin) & (at < span.begin + span.nbytes)
        words = (at[within] - span.begin) // _WORD
        usable = data[: data.size // _WORD * _WORD].view(np.uint32)
        return bool((usable[words] == self._script.words[within]).all())

    def _stage(self, subject: int = 0) -> None:
        """Have the queued steps done, and with the last of them what `subject` says."""
        for count, last in self._script.told():
            self._ask("stage", count=count, subject=subject if last else 0)

    def _ask(
        self, operation: Operation, *, count: int = 0, subject: int = 0, limit_s: float = _LIMIT_S
    ) -> None:
        try:
            self._running.ask(
                operation, stage="timing", limit_s=limit_s, count=count, subject=subject
            )
        except LifeEnded as ended:
            raise self._broken(operation, ended) from ended

    def _broken(self, operation: Operation, ended: LifeEnded) -> SandboxError:
        return SandboxError(
            f"The keeper of device memory broke during {operation!r}: {ended.outcome}\n"
            f"{self._running.log}"
        )

    def close(self) -> None:
        """End the process."""
        self._running.end()
        self.layout.close()
        self.window.memory.close()
        self._script.close()


@dataclass(frozen=True)
class _Span:
    """Bytes on the device, of which the first `lead` lie before a tensor."""

    space: int
    begin: int
    nbytes: int
    lead: int


def _intact(data: np.ndarray, lead: int, nbytes: int) -> bool:
    return bool((data[:lead] == GUARD).all() and (data[lead + nbytes :] == GUARD).all())


def _poison(slot: int) -> int:
    return POISONS[slot % len(POISONS)]


def _whole(nbytes: int) -> int:
    return (nbytes + TURNED_BY - 1) // TURNED_BY * TURNED_BY


def fitting(cases: TimedCases, folder: Path, free_bytes: int | None = None) -> Keeper:
    """A keeper with room for as many calls as the device has memory for now. `free_bytes` are what
    nobody has of it, where that is known.

    Raises:
        SandboxError: there is no driver, or no memory for two calls.
    """
    most = SLOTS_BYTES if free_bytes is None else free_bytes // _PART
    for most_bytes in _SHARES[:-1]:
        try:
            return Keeper(cases, folder, min(most, most_bytes))
        except SandboxError as error:
            if "OUT_OF_MEMORY" not in str(error):
                raise
    return Keeper(cases, folder, _SHARES[-1])
