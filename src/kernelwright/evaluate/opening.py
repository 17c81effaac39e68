"""From a problem's name or file to a judge that is ready, or to one on each GPU, and down again."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from kernelwright.core.cards import visible_cards
from kernelwright.core.evaluation import Isolation
from kernelwright.core.problem import Direction, Problem, Source
from kernelwright.evaluate.card_judge import CardJudge, Order, shares
from kernelwright.evaluate.judge import Judge
from kernelwright.evaluate.pool import Pool
from kernelwright.problems.reference import Device, Reference


@contextlib.contextmanager
def open_judge(
    origin: str | Path | Source,
    *,
    direction: Direction | None = None,
    device: Device = "cpu",
    require_isolation: Isolation = "process",
    known: Problem | None = None,
) -> Iterator[Judge]:
    """The judge of the problem in a KernelBench file, or of ``builtin:<name>``.

    `direction` goes before what the file says. With `known` that is the problem, which the same
    file made. The file runs in a process of its own that is
    trusted: open no file that you would not run.

    Raises:
        UsageError: it can be no problem, or the isolation that is required cannot be reached.
        WorkerError: our own process broke.
    """
    with (
        Reference.open(origin, device=device, direction=direction, known=known) as reference,
        Judge(
            reference.load(), reference, device=device, require_isolation=require_isolation
        ) as judge,
    ):
        yield judge


@contextlib.contextmanager
def open_judges(
    origin: str | Path | Source,
    *,
    direction: Direction | None = None,
    device: Device = "cpu",
    require_isolation: Isolation = "process",
    known: Problem | None = None,
    most: int | None = None,
) -> Iterator[Judge | Pool]:
    """As `open_judge`; where this process may use several GPUs a judge on each of them, `most` at
    most, who take from one queue.

    Raises:
        UsageError, WorkerError: as `open_judge`, when none of them can be opened.
    """
    cards = visible_cards()[:most] if device == "cuda" else ()
    if len(cards) < 2:
        with open_judge(
            origin, direction=direction, device=device, require_isolation=require_isolation,
            known=known,
        ) as judge:  # fmt: skip
            yield judge
        return
    order = Order(
        origin=origin if isinstance(origin, Source) else str(origin), direction=direction,
        require_isolation=require_isolation, known=known,
    )  # fmt: skip
    with Pool.open([CardJudge(card, order, share) for card, share in shares(cards)]) as pool:
        yield pool
