"""Charts as inline SVG: no script, no outside file, one text size at every width.

Horizontal positions are percentages and vertical ones pixels, so a chart stretches with the page
while its text and its marks keep their size. Colours are classes; the template owns them.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from kernelwright.core.statistics import Estimate
from kernelwright.report.formats import duration, estimated, spread

_PLOT_HEIGHT = 180.0
_TOP, _BOTTOM = 12.0, 44.0
_STRIP_HEIGHT = 36.0
# A block that the machine's neighbours stretched must not flatten everything else.
_BEYOND = 1.6


@dataclass(frozen=True, kw_only=True)
class Point:
    """One attempt on the chart: how fast it was, or the word for why it has no speed."""

    step: int
    estimate: Estimate | None
    outcome: str


@dataclass(frozen=True, kw_only=True)
class Strip:
    """The samples of one subject: nanoseconds per call, one for each block."""

    subject: str
    samples_ns: tuple[float, ...]

    @property
    def median_ns(self) -> float:
        """The middle sample."""
        return statistics.median(self.samples_ns)

    @property
    def quartiles_ns(self) -> tuple[float, float]:
        """Where the middle half of the samples begins and ends."""
        if len(self.samples_ns) < 2:
            return self.samples_ns[0], self.samples_ns[0]
        low, _, high = statistics.quantiles(self.samples_ns, n=4, method="inclusive")
        return low, high

    @property
    def spread(self) -> str:
        """Half the width of the middle half, in percent of the median."""
        return spread(self.quartiles_ns, self.median_ns)


def tag(name: str, content: object = "", **attributes: object) -> Markup:
    """One element. A trailing underscore and inner underscores make ``class`` and ``text-anchor``.

    >>> tag("text", "a < b", class_="tick", x="5%")
    Markup('<text class="tick" x="5%">a &lt; b</text>')
    """
    pairs = Markup("").join(
        Markup(' {}="{}"').format(key.rstrip("_").replace("_", "-"), value)
        for key, value in attributes.items()
    )
    return Markup("<{}{}>{}</{}>").format(Markup(name), pairs, escape(content), Markup(name))


def ticks(high: float, about: int = 4) -> list[float]:
    """Round numbers from 0 up to `high`, roughly `about` of them.

    >>> ticks(3.4)
    [0.0, 1.0, 2.0, 3.0]
    """
    raw = high / about
    size = 10.0 ** math.floor(math.log10(raw))
    step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= raw * 0.75)
    return [index * step for index in range(int(high / step + 1e-9) + 1)]


def attempts_chart(points: Sequence[Point]) -> Markup:
    """Speedup over the best baseline against attempts: points with intervals, the best so far as
    a line, and attempts without a speed as crosses along the bottom."""
    timed = [point.estimate for point in points if point.estimate is not None]
    high = 1.08 * max([estimate.ci_high for estimate in timed] + [1.2])
    plot = _Plot(high=high, count=len(points))
    marks = [plot.grid(value) for value in ticks(high)]
    marks.append(plot.level(1.0))
    marks += plot.best_line(points)
    marks += [plot.mark(index, point) for index, point in enumerate(points)]
    marks += plot.step_labels(points)
    return _framed(
        [plot.axis_label(value) for value in ticks(high)],
        marks,
        _PLOT_HEIGHT + _TOP + _BOTTOM,
        "Speedup over the best baseline, by attempt",
    )


@dataclass(frozen=True)
class _Plot:
    """The scales of the attempts chart."""

    high: float
    count: int

    def x(self, index: float) -> str:
        return f"{(index + 0.5) / self.count * 100:.2f}%"

    def y(self, speedup: float) -> float:
        return round(_TOP + _PLOT_HEIGHT * (1 - min(speedup, self.high) / self.high), 1)

    def grid(self, value: float) -> Markup:
        y = self.y(value)
        return tag("line", class_="grid", x1="0%", x2="100%", y1=y, y2=y)

    def level(self, value: float) -> Markup:
        y = self.y(value)
        line = tag("line", class_="level", x1="0%", x2="100%", y1=y, y2=y)
        return line + tag("text", "best baseline", class_="note", x="100%", y=y - 5, dx=-2)

    def axis_label(self, value: float) -> Markup:
        return tag("text", f"{value:g}×", class_="tick end", x=38, y=self.y(value) + 4)

    def best_line(self, points: Sequence[Point]) -> list[Markup]:
        """Steps: along at the best so far, up at an improvement."""
        segments: list[Markup] = []
        best, since = 0.0, 0
        for index, point in enumerate(points):
            if point.estimate is None or point.estimate.median <= best:
                continue
            if best:
                segments.append(self._run(since, index, best))
                segments.append(self._rise(index, best, point.estimate.median))
            best, since = point.estimate.median, index
        if best and since < len(points) - 1:
            segments.append(self._run(since, len(points) - 1, best))
        return segments

    def _run(self, start: int, end: int, level: float) -> Markup:
        y = self.y(level)
        return tag("line", class_="best", x1=self.x(start), x2=self.x(end), y1=y, y2=y)

    def _rise(self, at: int, low: float, high: float) -> Markup:
        x = self.x(at)
        return tag("line", class_="best", x1=x, x2=x, y1=self.y(low), y2=self.y(high))

    def mark(self, index: int, point: Point) -> Markup:
        x = self.x(index)
        if point.estimate is None:
            title = tag("title", f"Attempt {point.step}: {point.outcome}")
            return tag("text", Markup("×") + title, class_="miss", x=x, y=_TOP + _PLOT_HEIGHT - 4)
        low, high = self.y(point.estimate.ci_low), self.y(point.estimate.ci_high)
        whisker = tag("line", class_="whisker", x1=x, x2=x, y1=low, y2=high)
        title = tag("title", f"Attempt {point.step}: {estimated(point.estimate)}")
        return whisker + tag(
            "circle", title, class_="point", cx=x, cy=self.y(point.estimate.median), r=4
        )

    def step_labels(self, points: Sequence[Point]) -> list[Markup]:
        every = max(1, math.ceil(len(points) / 12))
        y = _TOP + _PLOT_HEIGHT + 18
        labels = [
            tag("text", point.step, class_="tick mid", x=self.x(index), y=y)
            for index, point in enumerate(points)
            if index % every == 0
        ]
        return [*labels, tag("text", "attempt", class_="tick mid", x="50%", y=y + 18)]


def timing_axis(strips: Sequence[Strip]) -> float:
    """The right end, in nanoseconds, of an axis from 0 that holds `strips`."""
    return 1.04 * max(min(max(s.samples_ns), _BEYOND * s.median_ns) for s in strips)


def timing_strip(strip: Strip, high: float) -> Markup:
    """The samples of one subject as dots over a box from quartile to quartile, on 0 to `high`."""
    low, upper = strip.quartiles_ns
    middle = _STRIP_HEIGHT / 2
    box = tag(
        "rect", class_="box", x=_share(low, high), y=6, height=_STRIP_HEIGHT - 12, rx=2,
        width=f"{max((upper - low) / high * 100, 0.15):.2f}%",
    )  # fmt: skip
    x = _share(strip.median_ns, high)
    median = tag("line", class_="median", x1=x, x2=x, y1=3, y2=_STRIP_HEIGHT - 3)
    dots = [
        tag(
            "circle", class_="dot" if sample <= high else "dot beyond", r=2.2,
            cx=_share(min(sample, high), high), cy=middle + (index * 5 % 7 - 3) * 2.4,
        )
        for index, sample in enumerate(strip.samples_ns)
    ]  # fmt: skip
    title = tag("title", f"{strip.subject}: median {duration(strip.median_ns)} per call")
    return tag(
        "svg", Markup("").join([title, box, *dots, median]),
        class_="strip", width="100%", height=_STRIP_HEIGHT, role="img",
    )  # fmt: skip


def timing_scale(high: float) -> Markup:
    """The axis under the strips."""
    size, unit = next((s, u) for s, u in ((1e6, "ms"), (1e3, "µs"), (1.0, "ns")) if high >= s)
    labels = [
        tag(
            "text", f"{value:g}", class_=f"tick {'mid' if value else 'start'}",
            x=_share(value * size, high), y=14,
        )
        for value in ticks(high / size)
    ]  # fmt: skip
    return tag(
        "svg",
        Markup("").join(labels)
        + tag("text", f"{unit} per call", class_="tick end", x="100%", y=30),
        class_="scale", width="100%", height=34,
    )  # fmt: skip


def limited_bar(name: str, value: float, limit: float, high: float) -> Markup:
    """A bar from 0 to `value` on an axis to `high`, with a line where `limit` is. One that is
    longer than the axis ends with it."""
    bar = tag(
        "rect", class_="bar", x=0, y=8, height=_STRIP_HEIGHT - 16, rx=2,
        width=_share(min(value, high), high),
    )  # fmt: skip
    x = _share(limit, high)
    line = tag("line", class_="limit", x1=x, x2=x, y1=0, y2=_STRIP_HEIGHT)
    title = tag("title", f"{name}: {value / limit:.0%} of the limit")
    return tag(
        "svg", title + bar + line, class_="strip", width="100%", height=_STRIP_HEIGHT, role="img"
    )


def limit_label(name: str, limit: float, high: float) -> Markup:
    """The name of the line of `limited_bar`, above the bars."""
    side = "end" if limit > high / 2 else "start"
    text = tag("text", name, class_=f"roofname {side}", x=_share(limit, high), y=14)
    return tag("svg", text, width="100%", height=20)


def rate_scale(high: float, unit: str) -> Markup:
    """The axis under bars of rates."""
    labels = [
        tag("text", f"{v:g}", class_=f"tick {'mid' if v else 'start'}", x=_share(v, high), y=14)
        for v in ticks(high)
    ]
    name = tag("text", unit, class_="tick end", x="100%", y=30)
    return tag("svg", Markup("").join(labels) + name, class_="scale", width="100%", height=34)


def _framed(left: Sequence[Markup], plot: Sequence[Markup], height: float, label: str) -> Markup:
    """A column of axis labels beside a plot that stretches."""
    axis = tag("svg", Markup("").join(left), class_="axis", width=44, height=height)
    body = tag(
        "svg", Markup("").join(plot), class_="plot", width="100%", height=height, role="img",
        aria_label=label,
    )  # fmt: skip
    return tag("div", axis + body, class_="chart")


def _share(value: float, high: float) -> str:
    return f"{value / high * 100:.2f}%"
