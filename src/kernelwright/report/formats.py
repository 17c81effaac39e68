"""How figures are written for people: durations, ratios, money and counts, in fitting units."""

from __future__ import annotations

from kernelwright.core.statistics import Estimate

UNKNOWN = "not measured"


def significant(value: float, digits: int = 3) -> str:
    """`value` with that many significant digits and no exponent.

    >>> significant(2.3149), significant(123.4), significant(0.04567)
    ('2.31', '123', '0.0457')
    """
    if value == 0:
        return "0"
    whole = f"{value:.{digits}g}"
    if "e" in whole:
        return f"{float(whole):,.0f}" if abs(value) >= 1 else f"{float(whole):.12f}".rstrip("0")
    places = max(0, digits - len(whole.partition(".")[0].lstrip("-0")))
    return f"{value:.{places}f}" if abs(value) >= 1 else whole


def duration(nanoseconds: float) -> str:
    """A duration in the unit that suits it.

    >>> duration(950), duration(45_600), duration(12_340_000), duration(75e9)
    ('950 ns', '45.6 µs', '12.3 ms', '75.0 s')
    """
    for size, unit in ((1e9, "s"), (1e6, "ms"), (1e3, "µs")):
        if nanoseconds >= size:
            return f"{significant(nanoseconds / size)} {unit}"
    return f"{significant(nanoseconds)} ns"


def seconds(value: float) -> str:
    """A wall time of a run or a stage.

    >>> seconds(0.0321), seconds(42.0), seconds(754)
    ('32.1 ms', '42.0 s', '12 min 34 s')
    """
    if value < 100:
        return duration(value * 1e9)
    minutes, left = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {left:02} s"


def ratio(value: float) -> str:
    """A speedup as a bare number, with decimals enough to tell it from 1.

    >>> ratio(0.996), ratio(2.3149), ratio(38.12), ratio(412.0), ratio(0.0123)
    ('1.00', '2.31', '38.1', '412', '0.012')
    """
    for limit, places in ((0.1, 3), (10, 2), (100, 1)):
        if value < limit:
            return f"{value:.{places}f}"
    return f"{value:,.0f}"


def times(value: float) -> str:
    """A speedup: ``2.31×``."""
    return f"{ratio(value)}×"


def interval(estimate: Estimate) -> str:
    """The 95% interval of a speedup: ``2.20–2.41``."""
    return f"{ratio(estimate.ci_low)}–{ratio(estimate.ci_high)}"


def estimated(estimate: Estimate) -> str:
    """A speedup with its interval: ``2.31× (2.20–2.41)``."""
    return f"{times(estimate.median)} ({interval(estimate)})"


def spread(quartiles: tuple[float, float], middle: float) -> str:
    """How far the middle half of samples lies from `middle`, in percent.

    >>> spread((0.98, 1.02), 1.0)
    '±2.0%'
    """
    low, high = quartiles
    return f"±{(high - low) / 2 / middle:.1%}"


def money(usd: float | None) -> str:
    """A cost; None is a price that we do not know.

    >>> money(0.0), money(0.01234), money(None)
    ('$0', '$0.0123', 'unknown')
    """
    if usd is None:
        return "unknown"
    return f"${usd:.2f}" if usd >= 1 else f"${significant(usd)}"


def counted(count: int, noun: str) -> str:
    """A count with its noun: ``1 case``, ``2,000 cases``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
