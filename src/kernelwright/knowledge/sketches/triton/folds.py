"""Reductions in Triton: a tile of partial results, and how it is brought together; and scans.

A fold has one state or several, each a tile: the sum so far, or the best value and where it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from kernelwright.core.problem import DType
from kernelwright.knowledge.sketches.expr import (
    Call,
    Cast,
    Expr,
    Maker,
    Position,
    Reduced,
    walk,
)
from kernelwright.knowledge.sketches.index import index
from kernelwright.knowledge.sketches.poly import Poly
from kernelwright.knowledge.sketches.stages import Fold, Stage
from kernelwright.knowledge.sketches.text import grouped
from kernelwright.knowledge.sketches.triton.calls import TYPES
from kernelwright.knowledge.sketches.triton.text import TritonText

BEHIND = "kw_behind(INDEX)"


@dataclass(frozen=True, kw_only=True)
class Moments(Fold):
    """A sum, and the sum of the squares of what its elements are off their mean, in one pass."""

    sum_key: str


@dataclass(frozen=True, kw_only=True)
class State:
    """One tile of a fold: its name, its type in memory, what it begins as, its result's name."""

    name: str
    dtype: DType
    start: str
    result: str

    @property
    def type(self) -> str:
        """The type as Triton says it; a position has that of all positions in the kernel."""
        return "INDEX" if self.start == BEHIND else TYPES[self.dtype]


@dataclass(frozen=True, kw_only=True)
class FoldText:
    """Fold `number` of a stage as text."""

    fold: Fold
    number: int
    text: TritonText

    @property
    def states(self) -> list[State]:
        """The states, that of the result first, or last where it is a position."""
        kind, n = self.fold.kind, self.number
        dtype: DType = "int32" if self.fold.dtype == "bool" else self.fold.dtype
        if kind == "moments":
            return [self._state(f, dtype, "0") for f in ("sum", "squares", "count")]
        if kind in ("argmax", "argmin"):
            value = State(
                name=self._name(f"part{n}"),
                dtype=dtype,
                start=self._identity,
                result=self._name(f"best{n}"),
            )
            return [value, self._state("at", "int64", BEHIND)]
        return [
            State(
                name=self._name(f"part{n}"),
                dtype=dtype,
                start=self._identity,
                result=self._name(f"{kind}{n}"),
            )
        ]

    def _state(self, what: str, dtype: DType, start: str) -> State:
        return State(
            name=self._name(f"part{self.number}_{what}"),
            dtype=dtype,
            start=start,
            result=self._name(f"{what}{self.number}"),
        )

    def _name(self, wanted: str) -> str:
        return self.text.unique(wanted)

    @property
    def results(self) -> dict[str, str]:
        """What is known once the fold is brought together: a text for each reduction's key."""
        states = [s.result for s in self.states]
        if isinstance(self.fold, Moments):
            return {self.fold.sum_key: states[0], self.fold.key: states[1]}
        if self.fold.dtype == "bool":
            return {self.fold.key: f"({states[0]} != 0)"}
        if len(states) > 1:
            return {self.fold.key: f"{states[1]}.to(tl.int64)"}
        return {self.fold.key: states[0]}

    @property
    def _identity(self) -> str:
        whole = self.fold.dtype not in ("float32", "float64")
        match self.fold.kind:
            case "sum" | "any":
                return "0"
            case "prod" | "all":
                return "1"
            case "max" | "argmax":
                return _LEAST.get(self.fold.dtype, "0") if whole else "float('-inf')"
            case _:
                return _MOST.get(self.fold.dtype, "1") if whole else "float('inf')"

    def start(self) -> list[str]:
        """Tiles in which nothing is brought together yet."""
        return [f"{s.name} = {self.text.full(s.start, s.type)}" for s in self.states]

    def take(self, known: dict[int, str], mask: str) -> list[str]:
        """The element at hand, which `known` has, brought into the states where `mask` holds."""
        value = self._value(known)
        names = ", ".join(s.name for s in self.states)
        if self.fold.kind == "moments":
            return [f"{names} = kw_moments({value}, {mask}, {names})"]
        if self.fold.kind.startswith("arg"):
            new, place = self.text.numbered("value"), self.text.numbered("place")
            better = f"kw_better({new}, {place}, {names}, {self.fold.kind == 'argmax'})"
            best, at = (s.name for s in self.states)
            first = self.text.numbered("first")
            return [
                f"{new} = {value}",
                f"{place} = {self.text.index(self.fold.position, known)}",
                f"{first} = {mask} & {better}",
                f"{best} = tl.where({first}, {new}, {best})",
                f"{at} = tl.where({first}, {place}, {at})",
            ]
        value = value if self.fold.kind in ("max", "min") else grouped(value)
        joined = _JOIN[self.fold.kind].format(names, value)
        return [f"{names} = tl.where({mask}, {joined}, {names})"]

    def _value(self, known: dict[int, str]) -> str:
        value = self.text.value(self.fold.value, known)
        return f"{grouped(value)}.to(tl.int32)" if self.fold.dtype == "bool" else value

    def whole(self, known: dict[int, str], mask: str) -> list[str]:
        """The states of a tile that holds every element, which `known` has."""
        values = [self._value(known)]
        if self.fold.kind.startswith("arg"):
            values.append(self.text.index(self.fold.position, known))
        lines = []
        for state, value in zip(self.states, values, strict=True):
            # What is no tile of its own becomes one by what stands outside of the row.
            plain = self.text.fills_tile(self.fold.value) and state.start != BEHIND
            outside = state.start if plain else self.text.full(state.start, state.type)
            lines.append(f"{state.name} = tl.where({mask}, {value}, {outside})")
        return lines

    def brought_together(self, axes: Sequence[int], *, keep: bool) -> list[str]:
        """The results of the states over `axes` of the tile; with `keep` the axes stay, as one."""
        kind, states = self.fold.kind, self.states
        sources, results = (
            ", ".join(s.name for s in states),
            ", ".join(s.result for s in states),
        )
        lines = []
        for axis in axes:
            lines.append(f"{results} = {_REDUCE[kind].format(sources, axis, keep)}")
            sources = results
        return lines

    # A fold that is a scan: its state is a tile of values, its result one of running values.

    @property
    def _carried(self) -> str:
        return self._name(f"carried{self.number}")

    def start_carried(self, shape: str) -> str:
        """What comes before the first tile; `shape` is a tile's that is one value long."""
        (state,) = self.states
        return f"{self._carried} = tl.full({shape}, {state.start}, {state.type})"

    def scanned(self, axis: int, *, carried: bool) -> list[str]:
        """The running values along `axis` of the tile that `whole` made, after what is `carried`
        from the tiles before it."""
        (state,), kind = self.states, self.fold.kind
        running = _SCAN[kind].format(state.name, axis)
        # Triton adds and multiplies short numbers up in 32 bits.
        short = f".to({state.type})" if state.dtype in ("int16", "int8", "uint8") else ""
        if not carried:
            return [f"{state.result} = {running}{short}"]
        tile = _REDUCE[kind].format(state.name, axis, True)
        return [
            f"{state.result} = {_JOIN[kind].format(self._carried, running + short)}",
            f"{self._carried} = {_JOIN[kind].format(self._carried, tile + short)}",
        ]


def with_moments(maker: Maker, stage: Stage) -> Stage:
    """`stage` with each variance, its mean in the pass before, worked out in a single pass.

    To be used where the passes read from memory: a row that is held has the mean at no cost.
    """
    folds = {f.key: f for each in stage.passes for f in each}
    count = stage.depth.extent * stage.lane.extent if stage.in_rows else stage.depth.extent
    merged: dict[str, Moments] = {}
    for fold in folds.values():
        total = _mean_of(maker, fold, folds, count)
        if total is not None and total.key not in merged:
            merged[total.key] = Moments(
                key=fold.key,
                kind="moments",
                dtype=fold.dtype,
                value=total.value,
                position=fold.position,
                sum_key=total.key,
            )
    gone = {m.key for m in merged.values()}
    left = [[merged.get(f.key, f) for f in each if f.key not in gone] for each in stage.passes]
    return replace(stage, passes=_levelled(maker, [f for each in left for f in each]))


def _mean_of(maker: Maker, fold: Fold, folds: dict[str, Fold], count: Poly) -> Fold | None:
    """The sum whose mean `fold` takes from each element before it sums the squares."""
    match fold.value.form:
        case Call(name="mul", args=(left, right)) if left is right and fold.kind == "sum":
            pass
        case _:
            return None
    match left.form:
        case Call(name="sub", args=(element, mean)):
            pass
        case _:
            return None
    match mean.form:
        case Call(name="div", args=(total, length)) if isinstance(total.form, Reduced):
            found = folds.get(total.form.key)
        case _:
            return None
    match length.form:
        case Cast(arg=Expr(form=Position(at=at)), through=None) if at == index(count):
            pass
        case _:
            return None
    if found is None or found.kind != "sum" or found.value is not element:
        return None
    return found if not _needs(maker, found.value) else None


def _needs(maker: Maker, value: Expr) -> set[str]:
    return {e.form.key for e in walk(maker, [value]) if isinstance(e.form, Reduced)}


def _levelled(maker: Maker, folds: Sequence[Fold]) -> tuple[tuple[Fold, ...], ...]:
    """Folds by how many others must be done before them."""
    level: dict[str, int] = {}
    for fold in folds:
        found = 1 + max((level[k] for k in _needs(maker, fold.value) if k in level), default=-1)
        level[fold.key] = found
        if isinstance(fold, Moments):
            level[fold.sum_key] = found
    count = 1 + max(level.values(), default=-1)
    return tuple(tuple(f for f in folds if level[f.key] == n) for n in range(count))


_JOIN = {
    "sum": "{0} + {1}", "prod": "{0} * {1}", "max": "kw_max({0}, {1})", "min": "kw_min({0}, {1})",
    "any": "{0} | {1}", "all": "{0} & {1}",
}  # fmt: skip
_REDUCE = {
    "sum": "tl.sum({0}, axis={1}, keep_dims={2})",
    "any": "tl.max({0}, axis={1}, keep_dims={2})",
    "all": "tl.min({0}, axis={1}, keep_dims={2})",
    **{k: f"kw_{k}_of({{0}}, {{1}}, {{2}})" for k in (
        "prod", "max", "min", "argmax", "argmin", "moments",
    )},
}  # fmt: skip
_SCAN = {
    "sum": "tl.cumsum({0}, axis={1})", "prod": "tl.cumprod({0}, axis={1})",
    "max": "tl.associative_scan({0}, {1}, kw_max)",
    "min": "tl.associative_scan({0}, {1}, kw_min)",
}  # fmt: skip
_LEAST = {"int64": str(-(2**63)), "int32": str(-(2**31)), "int16": "-32768", "int8": "-128"}
_MOST = {
    "int64": str(2**63 - 1), "int32": str(2**31 - 1), "int16": "32767", "int8": "127",
    "uint8": "255",
}  # fmt: skip
