"""Rates, with a clock that tests wind."""

import asyncio

from kernelwright.llm.retrying import RateLimit


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now

    async def sleep(self, seconds):
        self.now += seconds


def test_calls_begin_evenly_spaced_within_the_minute():
    clock = Clock()
    limit = RateLimit(in_flight=1, per_minute=30, sleep=clock.sleep, clock=clock)
    begun = []

    async def calls():
        for _ in range(4):
            async with limit.turn():
                begun.append(clock.now)

    asyncio.run(calls())
    assert begun == [100.0, 102.0, 104.0, 106.0]


def test_a_pause_earns_no_burst():
    clock = Clock()
    limit = RateLimit(in_flight=1, per_minute=60, sleep=clock.sleep, clock=clock)
    begun = []

    async def calls():
        for pause in (0.0, 30.0, 0.0):
            clock.now += pause
            async with limit.turn():
                begun.append(clock.now)

    asyncio.run(calls())
    assert begun == [100.0, 130.0, 131.0]


def test_a_place_is_given_back_after_an_error():
    limit = RateLimit(in_flight=1)

    async def calls():
        for _ in range(2):
            try:
                async with limit.turn():
                    raise OSError
            except OSError:
                pass
        async with limit.turn():
            return True

    assert asyncio.run(asyncio.wait_for(calls(), 5))
