"""One stage as several, each with one pass at most: what the passes find is kept between them.

So a stage of few rows can be spread over a whole device, pass by pass and then element by element.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from kernelwright.knowledge.sketches.expr import Expr, Load, Maker, Reduced, replaced, walk
from kernelwright.knowledge.sketches.index import Var
from kernelwright.knowledge.sketches.poly import ONE
from kernelwright.knowledge.sketches.stages import Fold, Stage, Store, Temporary, mapped
from kernelwright.knowledge.sketches.text import invariant
from kernelwright.knowledge.sketches.triton.folds import Moments
from kernelwright.knowledge.sketches.triton.split import result_at, results


def is_single(stage: Stage) -> bool:
    """Whether there is nothing to unfold: one pass, and stores once for a row or column."""
    return len(stage.passes) == 1 and all(s.span == "row" for s in stage.stores)


def unfolded(maker: Maker, stage: Stage, begin: int) -> tuple[list[Stage], list[Temporary]]:
    """The stages, and the temporaries between them, which are numbered from `begin`."""
    found = _Unfolding(maker, stage, begin)
    return found.stages(), found.temporaries


class _Unfolding:
    """What later stages need of a row is worked out once, where its last reduction is, and kept."""

    def __init__(self, maker: Maker, stage: Stage, begin: int) -> None:
        self.maker, self.stage, self.begin = maker, stage, begin
        self.temporaries: list[Temporary] = []
        self.kept: dict[int, tuple[Expr, Expr]] = {}
        self.level = {
            key: number
            for number, folds in enumerate(stage.passes)
            for fold in folds
            for key in _keys(fold)
        }

    def stages(self) -> list[Stage]:
        """All of them, in order."""
        stage, last = self.stage, len(self.stage.passes) - 1
        made = []
        for number, folds in enumerate(stage.passes):
            by_row = tuple(s for s in stage.stores if s.span == "row" and number == last)
            made.append(self._reading(replace(stage, passes=(folds,), stores=by_row), number))
        elements = tuple(s for s in stage.stores if s.span == "elements")
        if elements:
            made.append(self._reading(replace(stage, passes=(), stores=elements), last + 1))
        for store in (s for s in stage.stores if s.span == "own"):
            assert store.lane is not None
            alone = replace(
                stage, depth=Var("depth", ONE), lane=store.lane, passes=(), stores=(store,)
            )
            made.append(self._reading(alone, last + 1))
        # What a stage keeps may itself need what an earlier one found.
        for number in range(last, -1, -1):
            made[number] = self._keeping(made[number], number)
        return made

    def _reading(self, stage: Stage, number: int) -> Stage:
        """`stage`, which is number `number`, with what earlier ones find read from memory."""
        roots = [f.value for each in stage.passes for f in each]
        roots += [s.value for s in stage.stores]
        inner = {"depth", "lane", "own"} if self.stage.in_rows else {"depth"}
        self._keep(invariant(self.maker, roots, inner, {}), number)
        # Results that are left are needed as they are.
        left = walk(self.maker, [self._read(root, number) for root in roots])
        self._keep([e for e in left if isinstance(e.form, Reduced)], number)
        return mapped(stage, lambda root: self._read(root, number))

    def _read(self, root: Expr, number: int) -> Expr:
        """`root` with what is kept before stage `number` read from memory."""
        # What contains another comes first, since it was made after it.
        for kept, load in sorted(self.kept.values(), key=lambda pair: -pair[0].number):
            if self._ready(kept) < number:
                root = self._swapped(root, kept, load)
        return root

    def _ready(self, expr: Expr) -> int:
        """The number of the stage after whose pass `expr` can be worked out; -1 for any."""
        leaves = [e.form for e in walk(self.maker, [expr])]
        return max((self.level[f.key] for f in leaves if isinstance(f, Reduced)), default=-1)

    def _swapped(self, root: Expr, old: Expr, new: Expr) -> Expr:
        return replaced(self.maker, root, lambda e: new if e is old else None)

    def _keep(self, exprs: Iterable[Expr], number: int) -> None:
        """Keep those of `exprs` that can be worked out before stage `number`, of its results."""
        for expr in exprs:
            if expr.number in self.kept or not 0 <= self._ready(expr) < number:
                continue
            name = f"kept_{self.begin + len(self.temporaries)}"
            self.temporaries.append(
                Temporary(name=name, dtype=expr.dtype, elements=results(self.stage))
            )
            load = self.maker.make(Load(name, result_at(self.stage), None), expr.dtype)
            self.kept[expr.number] = (expr, load)

    def _keeping(self, stage: Stage, number: int) -> Stage:
        """`stage`, with what others need of it written to memory."""
        extra = tuple(
            Store(
                target=load.form.tensor,
                dtype=expr.dtype,
                at=result_at(self.stage),
                value=expr,
                span="row",
            )
            for expr, load in self.kept.values()
            if self._ready(expr) == number and isinstance(load.form, Load)
        )
        keeping = self._reading(replace(stage, passes=(), stores=extra), number)
        return replace(stage, stores=stage.stores + keeping.stores)


def _keys(fold: Fold) -> Iterable[str]:
    return [fold.sum_key, fold.key] if isinstance(fold, Moments) else [fold.key]
