"""The curves of a comparison as inline SVG: speedup in hand against attempts, a line a strategy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from kernelwright.report.charts import tag, ticks

# Told apart on white and on black; a legend names each.
COLOURS = ("#2b6cd4", "#d4652b", "#2e9a5e", "#9a5fd0", "#b8941c", "#d0408f", "#7a8590")
_HEIGHT, _TOP, _BOTTOM, _LEFT = 220.0, 12.0, 44.0, 44
_LABELS = 10

Series = Mapping[str, Sequence[float | None]]


def colour(index: int) -> str:
    """The colour of one line of several."""
    return COLOURS[index % len(COLOURS)]


def curves_chart(series: Series) -> Markup:
    """A step line for each of `series`: the value after attempt 1, 2 and so on."""
    known = [value for values in series.values() for value in values if value is not None]
    if not known:
        return Markup("")
    plot = _Plot(
        low=min(known) * 0.97, high=max(known) * 1.03, count=max(map(len, series.values()))
    )
    marks = [line for value in plot.levels for line in plot.grid(value)]
    for index, values in enumerate(series.values()):
        marks += plot.steps(values, colour(index))
    labels = [plot.axis_label(value) for value in plot.levels]
    return _framed(labels, [*marks, *plot.attempts()])


@dataclass(frozen=True, kw_only=True)
class _Plot:
    """The scales: attempts in percent of the width, speedups in pixels and logarithmic."""

    low: float
    high: float
    count: int

    @property
    def levels(self) -> list[float]:
        """Round speedups between the ends of the scale."""
        found = [value for value in ticks(self.high, 8) if self.low <= value <= self.high]
        return found or [round(self.low, 2), round(self.high, 2)]

    def x(self, index: float) -> str:
        return f"{(index + 0.5) / self.count * 100:.2f}%"

    def y(self, value: float) -> float:
        share = math.log(value / self.low) / math.log(self.high / self.low)
        return round(_TOP + _HEIGHT * (1 - share), 1)

    def grid(self, value: float) -> list[Markup]:
        y = self.y(value)
        return [tag("line", class_="grid", x1="0%", x2="100%", y1=y, y2=y)]

    def axis_label(self, value: float) -> Markup:
        return tag("text", f"{value:g}×", class_="tick end", x=_LEFT - 6, y=self.y(value) + 4)

    def steps(self, values: Sequence[float | None], stroke: str) -> list[Markup]:
        """Along from each value to the next attempt, then up or down to what came then."""
        made: list[Markup] = []
        for index, (now, then) in enumerate(zip(values, [*values[1:], None], strict=True)):
            if now is None:
                continue
            end = index + (1.0 if then is not None else 0.5)
            x1, x2, y = self.x(index), self.x(end), self.y(now)
            made.append(_line(stroke, x1=x1, x2=x2, y1=y, y2=y))
            if then is not None and then != now:
                made.append(_line(stroke, x1=x2, x2=x2, y1=y, y2=self.y(then)))
        return made

    def attempts(self) -> list[Markup]:
        every = max(1, math.ceil(self.count / _LABELS))
        y = _TOP + _HEIGHT + 18
        labels = [
            tag("text", index + 1, class_="tick mid", x=self.x(index), y=y)
            for index in range(0, self.count, every)
        ]
        return [*labels, tag("text", "attempts", class_="tick mid", x="50%", y=y + 18)]


def _line(stroke: str, **ends: object) -> Markup:
    return tag("line", stroke=stroke, stroke_width=2, stroke_linecap="round", **ends)


def _framed(left: Sequence[Markup], plot: Sequence[Markup]) -> Markup:
    height = _HEIGHT + _TOP + _BOTTOM
    axis = tag("svg", Markup("").join(left), class_="axis", width=_LEFT, height=height)
    body = tag(
        "svg", Markup("").join(plot), class_="plot", width="100%", height=height, role="img",
        aria_label="Speedup in hand, by attempts",
    )  # fmt: skip
    return tag("div", axis + body, class_="chart")
