"""The problems that are open, who has the judge, and what is too much."""

import asyncio

import pytest

from kernelwright.agents.benches import Benches
from kernelwright.agents.limits import Rate, Refused, Turns, plain
from kernelwright.agents.opening import agent_spec
from kernelwright.core.errors import StoreError, UsageError
from kernelwright.testing.agents import AgentEquip

from .conftest import handed


def spec(problem):
    return agent_spec(f"builtin:{problem}", "me", device="cpu", languages=["cpp"])


def run(work, limit=2, equip=None):
    equip = equip or AgentEquip()

    async def whole():
        benches = Benches(equip, Turns(), limit)
        try:
            return await work(benches)
        finally:
            await benches.aclose()

    found = asyncio.run(whole())
    return found, equip


async def used(benches, problem):
    asked = spec(problem)
    async with benches.lent(asked, asked.problem) as equipment:
        return equipment


def test_a_problem_is_opened_once_for_all_who_work_on_it():
    async def work(benches):
        return await asyncio.gather(*(used(benches, "row_sum") for _ in range(20)))

    found, equip = run(work)
    assert len({id(one) for one in found}) == 1
    assert (len(equip.opened), equip.closed) == (1, 1)


def test_the_one_unused_for_longest_is_closed_when_another_is_wanted():
    async def work(benches):
        for problem in ("row_sum", "softmax", "row_sum", "row_max", "row_sum"):
            await used(benches, problem)

    _, equip = run(work)
    assert [str(o).removeprefix("builtin:") for o in equip.opened] == [
        "row_sum", "softmax", "row_max",
    ]  # fmt: skip
    assert equip.closed == 3


def test_what_is_in_use_is_not_closed_and_the_next_one_waits():
    async def work(benches):
        asked = spec("row_sum")
        async with benches.lent(asked, asked.problem):
            waiting = asyncio.create_task(used(benches, "softmax"))
            await asyncio.sleep(0.05)
            assert not waiting.done()
        await waiting

    _, equip = run(work, limit=1)
    assert len(equip.opened) == 2


def test_one_that_cannot_be_opened_is_tried_again_by_the_next():
    class Broken(AgentEquip):
        def __call__(self, spec, origin, known):
            self.opened.append(origin)
            raise UsageError("It is broken.")

    async def work(benches):
        for _ in range(3):
            with pytest.raises(UsageError, match="broken"):
                await used(benches, "row_sum")

    _, equip = run(work, limit=1, equip=Broken())
    assert len(equip.opened) == 3


def test_turns_come_in_order_and_some_are_too_many():
    async def work():
        turns, order = Turns(1, most_waiting=2), []

        async def take(number):
            async with turns.taken():
                order.append(number)
                await asyncio.sleep(0.01)

        taken = [asyncio.create_task(take(n)) for n in range(4)]
        done = await asyncio.gather(*taken, return_exceptions=True)
        return order, [type(d) for d in done]

    order, kinds = asyncio.run(work())
    assert order == [0, 1, 2][: len(order)]
    assert kinds[-1] is Refused


def test_a_rate_is_of_any_minute():
    now = [0.0]
    rate = Rate(2, "builds", clock=lambda: now[0])
    rate.take()
    now[0] = 30.0
    rate.take()
    with pytest.raises(Refused, match=r"At most 2 builds .* Wait 30 s"):
        rate.take()
    now[0] = 60.5
    rate.take()


def test_what_is_written_down_is_one_line_that_can_be_printed():
    assert plain("two\nlines\x1b[31m", 99, "It") == "two lines [31m"
    with pytest.raises(Refused, match="It has 3 characters; it may have 2"):
        plain("abc", 2, "It")


def test_a_log_that_cannot_be_written_ends_the_attempt_and_not_the_machine(desk):
    """Whoever waits is told, and it is not tried again and again."""

    async def work(session):
        record, asked = session.log.record, []

        def full(kind, data):
            if kind == "evaluation":
                asked.append(kind)
                raise StoreError("The disk is full.")
            record(kind, data)

        session.log.record = full
        with pytest.raises(StoreError, match="disk is full"):
            await session.submit(handed(2.0))
        await asyncio.sleep(0.1)
        return len(asked)

    assert desk.run(work) == 1
