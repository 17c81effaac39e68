"""The roofline as inline SVG, on two logarithmic axes; `charts` says how charts are drawn here.

Counted operations over bytes that must be moved are one number for a problem, so all points stand
in one column. Their labels stand right of it, under the roof, and give way to each other.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from markupsafe import Markup, escape

from kernelwright.core.diagnosis import Position
from kernelwright.report.charts import tag
from kernelwright.report.formats import duration, significant

# Also the classes that they have in the page.
Kind = Literal["attempt", "baseline", "buffer", "ours"]

TITLE, DESCRIPTION = "roofline-title", "roofline-desc"
_TOP, _HEIGHT, _BOTTOM, _AXIS = 36.0, 250.0, 46.0, 44
_GAP = 15.0  # between the lines of two labels
_WIDE, _HIGH = 3.0, 2.5  # the least that an axis spans, in decades
_SAME = 1.15  # peaks that are nearer than this are drawn as one
_T = 1000.0  # from here on, in GFLOP/s, the unit is TFLOP/s
_NAMES = {
    "memory": "memory", "caches": "caches", "arithmetic": "float32", "tensor": "TensorFloat-32",
}  # fmt: skip
_ORDER: dict[Kind, int] = {"attempt": 0, "baseline": 1, "buffer": 2, "ours": 3}
_RADIUS: dict[Kind, float] = {"attempt": 3, "baseline": 4.5, "buffer": 5.5, "ours": 5}


@dataclass(frozen=True, kw_only=True)
class Spot:
    """Something that was timed on the problem: its name, and the median time of a call."""

    name: str
    kind: Kind
    call_ns: float


def drawing(position: Position, spots: Sequence[Spot], title: str, description: str) -> Markup:
    """The plot; `position` has counted operations. `title` and `description` are for who hears
    it."""
    plot = _Plot(position, tuple(spots))
    axis = tag(
        "svg", Markup("").join(plot.levels()), class_="axis", width=_AXIS,
        height=_TOP + _HEIGHT + _BOTTOM, aria_hidden="true",
    )  # fmt: skip
    said = tag("title", title, id=TITLE) + tag("desc", description, id=DESCRIPTION)
    parts = [*plot.grid(), *plot.roofs(), plot.column()]
    body = tag(
        "svg", said + Markup("").join(parts), class_="plot roofline", width="100%",
        height=_TOP + _HEIGHT + _BOTTOM, role="img", aria_labelledby=f"{TITLE} {DESCRIPTION}",
    )  # fmt: skip
    return tag("div", axis + body, class_="chart")


def rate(gflops: float, *, tera: bool) -> str:
    """A rate of operations, in the unit of the whole plot.

    >>> rate(195.4, tera=False), rate(61_000, tera=True)
    ('195 GFLOP/s', '61.0 TFLOP/s')
    """
    return f"{significant(gflops / _T)} TFLOP/s" if tera else f"{significant(gflops)} GFLOP/s"


def is_tera(position: Position) -> bool:
    """Whether a plot of `position` is in TFLOP/s."""
    return max(position.peak_gflops, position.tensor_gflops or 0.0) >= _T


def apart(wanted: Sequence[float], taken: Sequence[float], low: float, high: float) -> list[float]:
    """Heights near those `wanted`, in their order, at least a line apart and, where there is room,
    from `low` to `high`; `taken` are heights of other texts.

    >>> apart([100.0, 101.0], [], 0.0, 250.0)
    [100.0, 115.0]
    >>> apart([240.0, 249.0], [], 0.0, 250.0)
    [235.0, 250.0]
    """
    found = dict[int, float]()
    least = low
    for index in sorted(range(len(wanted)), key=lambda i: wanted[i]):
        found[index] = least = _beside(max(wanted[index], least), taken)
        least += _GAP
    most = high
    for index in reversed(found):
        found[index] = min(found[index], most)
        most = found[index] - _GAP
    return [found[index] for index in range(len(wanted))]


def _beside(height: float, taken: Sequence[float]) -> float:
    """`height`, or the next one below it that is free."""
    for other in sorted(taken):
        if abs(height - other) < _GAP:
            height = other + _GAP
    return height


@dataclass(frozen=True)
class _Line:
    """One roof: a bandwidth that rises to the highest ceiling, or a ceiling from where the
    bandwidth meets it."""

    kind: Literal["memory", "caches", "arithmetic", "tensor"]
    value: float


@dataclass(frozen=True)
class _Plot:
    """The scales of the plot, and what is drawn on them."""

    position: Position
    spots: tuple[Spot, ...]

    @property
    def _tera(self) -> bool:
        return is_tera(self.position)

    @property
    def _ceiling(self) -> float:
        """The highest arithmetic, in GFLOP/s."""
        return max(self.position.peak_gflops, self.position.tensor_gflops or 0.0)

    @property
    def _ridge(self) -> float:
        """The intensity from which on memory is no limit."""
        return self._ceiling / self.position.inputs_gb_s

    @property
    def _under_slope(self) -> bool:
        return self.position.intensity < self._ridge

    @property
    def _cached(self) -> bool:
        """Whether caches are so much faster than memory that they have a slope of their own."""
        at = self.position
        return self._under_slope and at.peak_gb_s > _SAME * at.inputs_gb_s

    def _gflops(self, spot: Spot) -> float:
        return self.position.flops / spot.call_ns

    # ------------------------------------------------------------------------------ the scales

    @cached_property
    def _xs(self) -> tuple[float, float]:
        """The ends of the axis of intensities, as powers of ten. The column of points is in the
        left half, with room for labels on its right, and the slope has room for its own."""
        here, ridge = math.log10(self.position.intensity), math.log10(self._ridge)
        if self._under_slope:
            decades = max(_WIDE, (ridge - here) / 0.42)
            low = min(here - 0.3 * decades, ridge - 0.5 * decades)
        else:
            decades = max(_WIDE, (here - ridge) / 0.25)
            low = ridge - 0.3 * decades
        high = low + decades
        if self._cached:
            meets = math.log10(self._ceiling / self.position.peak_gb_s)
            low = min(low, meets - 0.4 * decades)
        return low, max(high, 2 * here - low)

    @cached_property
    def _ys(self) -> tuple[float, float]:
        """The ends of the axis of rates, as powers of ten of GFLOP/s."""
        rates = [self._gflops(spot) for spot in self.spots]
        high = math.log10(max([self._ceiling, *rates])) + 0.1
        low = min(math.log10(min([*rates, self._ceiling])) - 0.3, high - _HIGH)
        return low, high

    def _across(self, intensity: float) -> float:
        """A share of the width, from 0 to 1 and beyond."""
        low, high = self._xs
        return (math.log10(intensity) - low) / (high - low)

    def _x(self, intensity: float) -> str:
        return f"{100 * self._across(intensity):.2f}%"

    def _y(self, gflops: float) -> float:
        low, high = self._ys
        return round(_TOP + _HEIGHT * (high - math.log10(gflops)) / (high - low), 1)

    def _intensity_at(self, share: float) -> float:
        low, high = self._xs
        return float(10 ** (low + share * (high - low)))

    # ---------------------------------------------------------------------------- axes and grid

    def levels(self) -> Iterator[Markup]:
        """The labels of the axis of rates."""
        for power in _powers(*self._in_unit(self._ys)):
            y = self._y(10.0**power * (_T if self._tera else 1.0))
            yield tag("text", _power(power), class_="tick end", x=_AXIS - 6, y=y + 4)

    def _in_unit(self, ends: tuple[float, float]) -> tuple[float, float]:
        shift = math.log10(_T) if self._tera else 0.0
        return ends[0] - shift, ends[1] - shift

    def grid(self) -> Iterator[Markup]:
        """Lines at powers of ten, the labels under them, and the names of the axes."""
        bottom = _TOP + _HEIGHT
        for power in _powers(*self._in_unit(self._ys)):
            y = self._y(10.0**power * (_T if self._tera else 1.0))
            yield tag("line", class_="grid", x1="0%", x2="100%", y1=y, y2=y)
        for power in _powers(*self._xs):
            x = self._x(10.0**power)
            yield tag("line", class_="grid", x1=x, x2=x, y1=_TOP, y2=bottom)
            yield tag("text", _power(power), class_="tick mid", x=x, y=bottom + 17)
        unit = "TFLOP/s" if self._tera else "GFLOP/s"
        yield tag("text", f"counted arithmetic ({unit})", class_="tick start", x=0, y=10)
        name = "counted operations per byte (FLOP/byte)"
        yield tag("text", name, class_="tick mid", x="50%", y=bottom + 38)

    # -------------------------------------------------------------------------------- the roofs

    def _lines(self) -> list[_Line]:
        at = self.position
        lines = [_Line("memory", at.inputs_gb_s), _Line("arithmetic", at.peak_gflops)]
        if self._cached:
            lines.append(_Line("caches", at.peak_gb_s))
        if at.tensor_gflops is not None and at.tensor_gflops > _SAME * at.peak_gflops:
            lines.append(_Line("tensor", at.tensor_gflops))
        return lines

    def roofs(self) -> Iterator[Markup]:
        """The measured peaks with their names."""
        for line in self._lines():
            if line.kind in ("memory", "caches"):
                yield from self._slope(line)
            else:
                yield from self._flat(line)

    def _slope(self, line: _Line) -> Iterator[Markup]:
        low, high = 10 ** self._xs[0], 10 ** self._ys[0]
        start = max(low, high / line.value)
        end = self._ceiling / line.value
        if start < end:
            yield tag(
                "line", class_=f"roof {line.kind}", x1=self._x(start), x2=self._x(end),
                y1=self._y(start * line.value), y2=self._y(self._ceiling),
            )  # fmt: skip
        if line.kind == "caches":
            y = self._y(self._ceiling)
            ends = {"x1": self._x(end), "x2": self._x(self._ridge)}
            yield tag("line", class_="roof caches", **ends, y1=y, y2=y)
        share, side, y = self._slope_label(line)
        name = f"{_NAMES[line.kind]}, {significant(line.value)} GB/s"
        moved = {"dx": 8 if side == "start" else -8}
        yield tag("text", name, class_=f"roofname {side}", x=f"{100 * share:.2f}%", y=y, **moved)

    def _slope_label(self, line: _Line) -> tuple[float, str, float]:
        """Where the name of a slope goes: a share of the width, on which side, and how high. Left
        of it and above where the points are under it, else right of it and below; memory's is
        below too where caches have a slope above it."""
        meets = self._across(self._ceiling / line.value)
        if self._under_slope and not (self._cached and line.kind == "memory"):
            share = min(meets - 0.05, 0.62)
            return share, "end", self._y(self._intensity_at(share) * line.value) - 3
        if self._under_slope:
            share = min(meets - 0.04, 0.7)
            return share, "start", self._y(self._intensity_at(share) * line.value) + 14
        share = max(0.0, self._across(10 ** self._ys[0] / line.value) + 0.03)
        return share, "start", self._y(self._intensity_at(share) * line.value) + 12

    def _flat(self, line: _Line) -> Iterator[Markup]:
        y, start = self._y(line.value), line.value / self.position.inputs_gb_s
        yield tag(
            "line", class_=f"roof {line.kind}", x1=self._x(start), x2="100%", y1=y, y2=y
        )  # fmt: skip
        name = f"{_NAMES[line.kind]}, {rate(line.value, tera=self._tera)}"
        yield tag("text", name, class_="roofname end", x="100%", y=y - 5)

    # ------------------------------------------------------------------------------- the points

    def column(self) -> Markup:
        """Every point, the palest first, and the names of all but attempts. Inside it lengths are
        pixels from the points."""
        marks = [self._mark(spot) for spot in sorted(self.spots, key=lambda s: _ORDER[s.kind])]
        named = [spot for spot in self.spots if spot.kind != "attempt"]
        heights = self._heights(named)
        marks += [part for s, y in zip(named, heights, strict=True) for part in self._name(s, y)]
        return tag(
            "svg", Markup("").join(marks), x=self._x(self.position.intensity), class_="column"
        )

    def _heights(self, named: Sequence[Spot]) -> list[float]:
        flat = self._y(self.position.peak_gflops)
        taken = [flat - 9, flat - 4]  # the name of that line, and the line itself
        if self._cached:
            taken.append(self._slope_label(_Line("memory", self.position.inputs_gb_s))[2] - 4)
        roof = min(self.position.intensity * self.position.inputs_gb_s, self._ceiling)
        wanted = [self._y(self._gflops(spot)) for spot in named]
        return apart(wanted, taken, self._y(roof) + 10, _TOP + _HEIGHT - 6)

    def _mark(self, spot: Spot) -> Markup:
        said = f"{spot.name}: {rate(self._gflops(spot), tera=self._tera)}"
        return tag(
            "circle", tag("title", f"{said}, {duration(spot.call_ns)} per call"),
            class_=f"spot {spot.kind}", cx=0, cy=self._y(self._gflops(spot)), r=_RADIUS[spot.kind],
        )  # fmt: skip

    def _name(self, spot: Spot, height: float) -> Iterator[Markup]:
        y = self._y(self._gflops(spot))
        if abs(y - height) > 2:
            yield tag("line", class_="leader", x1=5, x2=13, y1=y, y2=height)
        speed = tag("tspan", f", {rate(self._gflops(spot), tera=self._tera)}", class_="rate")
        name = escape(spot.name) + speed
        yield tag("text", name, class_=f"spotname start {spot.kind}", x=15, y=height + 4)


def _power(power: int) -> str:
    """A power of ten as a tick says it.

    >>> _power(-2), _power(0), _power(6)
    ('0.01', '1', '1,000,000')
    """
    return f"{10**power:,}" if power >= 0 else f"{10.0**power:.{-power}f}"


def _powers(low: float, high: float) -> range:
    """The whole powers of ten between two, or every second of many."""
    first, last = math.ceil(low - 1e-9), math.floor(high + 1e-9)
    return range(first, last + 1, 1 if last - first <= 6 else 2)
