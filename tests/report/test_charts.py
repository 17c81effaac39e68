import re

from hypothesis import given
from hypothesis import strategies as st

from kernelwright.core.statistics import Estimate
from kernelwright.report.charts import (
    Point,
    Strip,
    attempts_chart,
    ticks,
    timing_axis,
    timing_scale,
    timing_strip,
)


def point(step: int, median: float | None) -> Point:
    estimate = (
        None if median is None else Estimate(median=median, ci_low=median, ci_high=median * 1.01)
    )
    return Point(step=step, estimate=estimate, outcome="passed")


@given(st.floats(min_value=1e-3, max_value=1e9))
def test_ticks_start_at_zero_stay_in_range_and_are_few(high):
    found = ticks(high)
    assert found[0] == 0
    assert all(value <= high * (1 + 1e-9) for value in found)
    assert 2 <= len(found) <= 8


@given(st.lists(st.none() | st.floats(min_value=1e-3, max_value=1e4), min_size=1, max_size=40))
def test_every_attempt_is_on_the_chart_and_within_it(medians):
    chart = attempts_chart([point(i, m) for i, m in enumerate(medians)])
    timed = sum(m is not None for m in medians)
    assert chart.count('class="point"') == timed
    assert chart.count('class="miss"') == len(medians) - timed
    heights = [float(y) for y in re.findall(r' c?y[12]?="(-?[\d.]+)"', chart)]
    assert all(0 <= y <= 240 for y in heights)


def test_the_line_of_the_best_only_rises():
    chart = attempts_chart([point(i, m) for i, m in enumerate([1.0, 0.5, 2.0, 1.5, 3.0])])
    rises = re.findall(r'class="best" x1="([\d.]+)%" x2="\1%" y1="([\d.]+)" y2="([\d.]+)"', chart)
    assert [place for place, _, _ in rises] == ["50.00", "90.00"]
    assert all(float(low) > float(high) for _, low, high in rises)


def test_one_stretched_block_does_not_flatten_the_others():
    steady = (1e6,) * 20
    strip = Strip(subject="eager", samples_ns=(*steady, 1e9))
    high = timing_axis([strip])
    assert high < 2e6
    drawn = timing_strip(strip, high)
    assert drawn.count('class="dot"') == 20
    assert drawn.count('class="dot beyond"') == 1
    assert "ms per call" in timing_scale(high)


def test_a_single_block_can_be_drawn():
    strip = Strip(subject="candidate", samples_ns=(5.0,))
    assert 'class="dot"' in timing_strip(strip, timing_axis([strip]))
