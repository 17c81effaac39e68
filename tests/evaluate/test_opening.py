"""Where a problem is judged: by one judge, or by one on each GPU."""

import contextlib
import os

import pytest

from kernelwright.core.cards import Card
from kernelwright.evaluate import opening
from kernelwright.evaluate.opening import open_judges
from kernelwright.evaluate.pool import Pool
from kernelwright.testing.evaluators import row_problem

CARDS = tuple(Card(f"GPU-{letter}", f"GPU-{letter}") for letter in "abc")


@pytest.fixture
def opened(monkeypatch):
    """What `open_judges` opens on a machine with three cards: "one", or a pool's members."""

    @contextlib.contextmanager
    def one(origin, **given):
        yield "one", given

    class Paper(Pool):
        def close(self):
            self.closed = True

    def pool(members):
        made = Paper(row_problem(), [(member, 1) for member in members])
        made.members = members
        return made

    monkeypatch.setattr(opening, "visible_cards", lambda: CARDS)
    monkeypatch.setattr(opening, "open_judge", one)
    monkeypatch.setattr(opening.Pool, "open", staticmethod(pool))
    return lambda **given: open_judges("builtin:row_sum", **given)


def test_every_card_has_a_judge_with_a_share_of_the_processors(opened, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)))
    with opened(device="cuda", direction="backward", require_isolation="process") as pool:
        assert [member.card for member in pool.members] == list(CARDS)
        assert [member._processors for member in pool.members] == [(0, 1), (2, 3), (4, 5)]
        order = pool.members[0]._order
        assert all(member._order == order for member in pool.members)
        assert (order.origin, order.direction) == ("builtin:row_sum", "backward")
        assert (order.device, order.require_isolation) == ("cuda", "process")
    assert pool.closed


def test_no_more_cards_are_used_than_there_is_work_for(opened):
    with opened(device="cuda", most=2) as pool:
        assert [member.card for member in pool.members] == list(CARDS[:2])
    with opened(device="cuda", most=1) as (one, _):
        assert one == "one"


def test_a_cpu_has_one_judge_and_so_has_a_machine_with_one_card(opened, monkeypatch):
    with opened(device="cpu", direction="backward") as (one, given):
        assert one == "one"
        assert given["direction"] == "backward"
    monkeypatch.setattr(opening, "visible_cards", lambda: CARDS[:1])
    with opened(device="cuda") as (one, given):
        assert (one, given["device"]) == ("one", "cuda")
