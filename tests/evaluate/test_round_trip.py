"""What is taken off a block: never more than a call to nothing may have cost."""

from kernelwright.evaluate.timing.round_trip import least_ping


def test_a_machine_that_is_busy_most_of_the_time_takes_nothing_more_off():
    pings = iter([2_000_000, 31_000, 5_000_000, 2_500_000])
    assert least_ping(lambda: next(pings), 4) == 31_000
