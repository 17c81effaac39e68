"""The classification: which loop nests a graph becomes.

Reductions over the same space share a stage when each needs others of its own row only. A result
that another stage needs is kept in a temporary. What a scan comes to at an element is known to the
stores of that element; whatever else needs it, a reduction for one, is another stage. Outputs are
written where what they need is, and otherwise together with all others over their space.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from kernelwright.core.graph import Graph
from kernelwright.core.problem import Problem
from kernelwright.knowledge.sketches.attention import attention_of
from kernelwright.knowledge.sketches.expr import Expr, Load, Reduced, replaced, walk
from kernelwright.knowledge.sketches.index import (
    Var,
    flattened,
    index,
    split,
)
from kernelwright.knowledge.sketches.lowering import Lowering, output_shape
from kernelwright.knowledge.sketches.packing import packed
from kernelwright.knowledge.sketches.poly import ONE, product
from kernelwright.knowledge.sketches.site import Factors, Reduction
from kernelwright.knowledge.sketches.spaces import (
    follows_memory,
    own_lane,
    packed_space,
    sided,
    space_of,
    spread,
)
from kernelwright.knowledge.sketches.stages import (
    Fold,
    Packed,
    Plan,
    Product,
    Space,
    Span,
    Stage,
    Store,
    Temporary,
    mapped,
)


def plan(problem: Problem, graph: Graph) -> Plan:
    """Classify `graph`.

    Raises:
        NoSketch: an operator or a size is not understood.
    """
    return _Planner(Lowering(problem, graph)).plan()


@dataclass
class _Draft:
    """A stage while it is being found."""

    space: Space
    keys: list[str] = field(default_factory=list)
    outputs: list[tuple[int, Span]] = field(default_factory=list)


class _Planner:
    def __init__(self, lowering: Lowering) -> None:
        self.lowering = lowering
        self.maker = lowering.maker
        self.drafts: list[_Draft] = []
        self.home: dict[str, int] = {}
        self.depths: dict[str, int] = {}
        self.kept: dict[str, Temporary] = {}

    def plan(self) -> Plan:
        outputs = range(len(self.lowering.graph.outputs))
        for number in outputs:
            self._place_reductions(self._flat_output(number))
        for number in outputs:
            self._place_output(number)
        stages = [self._stage(number) for number in range(len(self.drafts))]
        # A stage learns which of its results others need only after those are made.
        stages = [self._with_temporaries(n, stage) for n, stage in enumerate(stages)]
        return Plan(
            lowering=self.lowering,
            stages=tuple(stages),
            temporaries=tuple(self.kept.values()),
        )

    # Reductions: each goes into the last stage over the same space that can hold it.

    def _flat_output(self, number: int) -> Expr:
        name, shape = output_shape(self.lowering, number)
        return self.lowering.pull(name, split(index(Var("lane", product(shape))), shape))

    def _needs(self, root: Expr) -> list[Expr]:
        return [e for e in walk(self.maker, [root]) if isinstance(e.form, Reduced)]

    def _place_reductions(self, root: Expr) -> None:
        # What needs the most others comes first; the rest may then join the last of the loops.
        keys = dict.fromkeys(_key(leaf) for leaf in self._needs(root))
        for key in sorted(keys, key=self._depth, reverse=True):
            if key in self.home:
                continue
            space, body = self._body(key)
            self._place_reductions(body)
            alone = self.lowering.reductions[key].factors is not None
            self.home[key] = self._new_home(space) if alone else self._home_for(space, body)
            self.drafts[self.home[key]].keys.append(key)

    def _body(self, key: str) -> tuple[Space, Expr]:
        """The space that reduction `key` is over, and its element there."""
        what = self.lowering.reductions[key]
        space = space_of(what)
        return space, what.source(spread(what, space.at))

    def _depth(self, key: str) -> int:
        """How many reductions, one needing the next, come before `key`."""
        if key not in self.depths:
            below = {_key(leaf) for leaf in self._needs(self._body(key)[1])}
            self.depths[key] = 1 + max(map(self._depth, below), default=-1)
        return self.depths[key]

    def _home_for(self, space: Space, body: Expr) -> int:
        for number in reversed(range(len(self.drafts))):
            draft = self.drafts[number]
            alike = draft.space == space and self._factors(draft) is None
            if alike and self._computed(body, number, space):
                return number
        return self._new_home(space)

    def _new_home(self, space: Space) -> int:
        self.drafts.append(_Draft(space))
        return len(self.drafts) - 1

    def _factors(self, draft: _Draft) -> Factors | None:
        """What is multiplied in a stage that is a matrix product."""
        return self.lowering.reductions[draft.keys[0]].factors if draft.keys else None

    def _computed(self, body: Expr, number: int, space: Space) -> bool:
        """Whether stage `number` can bring `body` together: scans come after that."""
        leaves = self._needs(body)
        scanned = any(self._runs(leaf) and self.home[_key(leaf)] == number for leaf in leaves)
        return not scanned and self._held(body, number, space)

    def _runs(self, leaf: Expr) -> bool:
        return self.lowering.reductions[_key(leaf)].running

    def _held(self, body: Expr, number: int, space: Space) -> bool:
        """Whether stage `number` can store `body`: what it needs is in the row or earlier."""
        for leaf in self._needs(body):
            home = self.home[_key(leaf)]
            if home > number or (home == number and not self._in_row(leaf, space)):
                return False
        return True

    def _in_row(self, leaf: Expr, space: Space) -> bool:
        """Whether `leaf` is the result of the very row or element that the loops are in."""
        what = self.lowering.reductions[_key(leaf)]
        assert isinstance(leaf.form, Reduced)
        at = [i for d, i in zip(what.kept, leaf.form.at, strict=True) if what.shape[d] != ONE]
        return tuple(at) == (space.at if what.running else space.kept_at)

    # Outputs: each goes into the last stage that computes something of it, or one for its space.

    def _place_output(self, number: int) -> None:
        for stage in reversed(range(len(self.drafts))):
            draft = self.drafts[stage]
            for span in ("elements", "row", "own"):
                store = self._store(number, draft.space, span)
                if (
                    store
                    and self._worth(store, stage)
                    and self._held(store.value, stage, draft.space)
                ):
                    draft.outputs.append((number, span))
                    return
        _, shape = output_shape(self.lowering, number)
        whole = tuple(s for s in shape if s != ONE)
        space = Space(shape=whole, reduced=(False,) * len(whole), joined=min(1, len(whole)))
        same = [d for d in self.drafts if d.space == space and not d.keys]
        if not same:
            same = [_Draft(space)]
            self.drafts += same
        same[0].outputs.append((number, "elements"))

    def _worth(self, store: Store, stage: int) -> bool:
        """An output is stored where one of its reductions is computed, or over the same space."""
        draft = self.drafts[stage]
        if any(self.home[_key(leaf)] == stage for leaf in self._needs(store.value)):
            return True
        return store.span == "elements" and not self._needs(store.value) and bool(draft.keys)

    def _store(self, number: int, space: Space, span: Span) -> Store | None:
        """Output `number` written from the loops of `space`; None if it does not fit them."""
        name, shape = output_shape(self.lowering, number)
        lane = None
        if span == "elements":
            if product(shape) != product(space.shape):
                return None
            position = flattened(space.at, space.shape)
        elif span == "row":
            if product(shape) != product(space.kept_shape):
                return None
            position = flattened(space.kept_at, space.kept_shape)
        else:
            lane = own_lane(shape, space)
            if lane is None:
                return None
            position = index(space.var("row")) * lane.extent + index(lane)
        spec = self.lowering.problem.outputs[number]
        return Store(
            target=spec.name,
            dtype=spec.dtype,
            at=position,
            value=self.lowering.pull(name, split(position, shape)),
            span=span,
            lane=lane,
        )

    # Stages: the loops are chosen, and everything is expressed in their variables.

    def _stage(self, number: int) -> Stage:
        draft = self.drafts[number]
        found = None
        for space in draft.space.layouts():
            found = self._laid_out(draft, number, space)
            if found is not None and (space.joined == 1 or follows_memory(self.maker, found)):
                break
        assert found is not None, "the space that the stage was found with"
        return self._localised(found, number)

    def _laid_out(self, draft: _Draft, number: int, space: Space) -> Stage | None:
        running = {k for k in draft.keys if self.lowering.reductions[k].running}
        folds = [self._fold(key, space) for key in draft.keys if key not in running]
        scans = [self._fold(key, space) for key in draft.keys if key in running]
        stores = []
        for output, span in draft.outputs:
            store = self._store(output, space, span)
            if store is None or not self._held(store.value, number, space):
                return None
            stores.append(store)
        if not all(self._computed(f.value, number, space) for f in [*folds, *scans]):
            return None
        product = self._product(draft)
        return Stage(
            row=space.var("row"),
            depth=space.var("depth"),
            lane=space.var("lane"),
            in_rows=space.in_rows,
            passes=self._passes(folds),
            stores=tuple(stores),
            product=product,
            scans=tuple(scans),
            attention=attention_of(self.lowering, product) if product is not None else None,
            packed=self._packed(draft, number) if product is not None else None,
        )

    def _product(self, draft: _Draft) -> Product | None:
        """The stage as a matrix product, if all that it writes has one value for each sum."""
        factors = self._factors(draft)
        if factors is None:
            return None
        (key,) = draft.keys
        what = self.lowering.reductions[key]
        space = sided(what, factors)
        stores = self._result_stores(draft, space)
        if stores is None:
            return None
        at = spread(what, space.at)
        return Product(
            batch=space.var("batch"),
            block=space.var("block"),
            rows=space.var("left"),
            columns=space.var("right"),
            depth=space.var("depth"),
            key=key,
            at=flattened(space.kept_at, space.kept_shape),
            dtype=what.dtype,
            left=factors.left(at),
            right=factors.right(at),
            stores=stores,
        )

    def _packed(self, draft: _Draft, number: int) -> Packed | None:
        """The product of packed factors that the stage is as well."""
        factors = self._factors(draft)
        assert factors is not None
        what = self.lowering.reductions[draft.keys[0]]
        stores = self._result_stores(draft, packed_space(what, factors))
        if stores is None:
            return None
        names = (f"left_{number}", f"right_{number}")
        return packed(self.maker, what, factors, stores, names)

    def _result_stores(self, draft: _Draft, space: Space) -> tuple[Store, ...] | None:
        """What is written once for each sum of a product; None if something is written else."""
        stores = [
            self._store(output, space, "row") if span == "row" else None
            for output, span in draft.outputs
        ]
        found = tuple(store for store in stores if store is not None)
        return found if len(found) == len(stores) else None

    def _fold(self, key: str, space: Space) -> Fold:
        what = self.lowering.reductions[key]
        at = spread(what, space.at)
        return Fold(
            key=key,
            kind=what.kind,
            dtype=what.dtype,
            value=what.source(at),
            position=flattened([at[d] for d in what.dims], [what.shape[d] for d in what.dims]),
        )

    def _passes(self, folds: Sequence[Fold]) -> tuple[tuple[Fold, ...], ...]:
        """Folds by how many others of their row must be done before them."""
        level: dict[str, int] = {}
        for fold in folds:
            before = [level[_key(e)] for e in self._needs(fold.value) if _key(e) in level]
            level[fold.key] = 1 + max(before, default=-1)
        count = 1 + max(level.values(), default=-1)
        return tuple(tuple(f for f in folds if level[f.key] == n) for n in range(count))

    # Results of other stages are read from temporaries.

    def _localised(self, stage: Stage, number: int) -> Stage:
        def swap(expr: Expr) -> Expr | None:
            if isinstance(expr.form, Reduced) and self.home[expr.form.key] != number:
                return self._kept_load(expr)
            return None

        return mapped(stage, lambda e: replaced(self.maker, e, swap))

    def _kept_load(self, leaf: Expr) -> Expr:
        assert isinstance(leaf.form, Reduced)
        key, what = leaf.form.key, self.lowering.reductions[leaf.form.key]
        shape = [what.shape[d] for d in what.kept]
        if key not in self.kept:
            name = f"kept_{len(self.kept)}"
            self.kept[key] = Temporary(name=name, dtype=leaf.dtype, elements=product(shape))
        at = flattened(leaf.form.at, shape)
        return self.maker.make(Load(self.kept[key].name, at, leaf.form.guard), leaf.dtype)

    def _with_temporaries(self, number: int, stage: Stage) -> Stage:
        extra = []
        for key, temporary in self.kept.items():
            if self.home[key] == number:
                extra.append(self._kept_store(key, temporary, self._laid(stage, number)))
        product, copied = stage.product, stage.packed
        if product is not None:
            product = self._with_own(product, sided)
        if copied is not None:
            copied = replace(copied, product=self._with_own(copied.product, packed_space))
        stores = stage.stores + tuple(extra)
        return replace(stage, stores=stores, product=product, packed=copied)

    def _with_own(
        self, product: Product, space_of: Callable[[Reduction, Factors], Space]
    ) -> Product:
        """`product`, which also writes its sums where others need them."""
        what = self.lowering.reductions[product.key]
        assert what.factors is not None
        space = space_of(what, what.factors)
        own = [self._kept_store(k, t, space) for k, t in self.kept.items() if k == product.key]
        return replace(product, stores=(*product.stores, *own))

    def _laid(self, stage: Stage, number: int) -> Space:
        """The layout of the space that `stage` was made in."""
        return next(
            s
            for s in self.drafts[number].space.layouts()
            if s.var("lane") == stage.lane and s.var("row") == stage.row
        )

    def _kept_store(self, key: str, temporary: Temporary, space: Space) -> Store:
        what = self.lowering.reductions[key]
        kept = iter(space.at if what.running else space.kept_at)
        at = tuple(index(0) if what.shape[d] == ONE else next(kept) for d in what.kept)
        return Store(
            target=temporary.name,
            dtype=temporary.dtype,
            at=flattened(at, [what.shape[d] for d in what.kept]),
            value=self.maker.make(Reduced(key, at), temporary.dtype),
            span="elements" if what.running else "row",
        )


def _key(leaf: Expr) -> str:
    assert isinstance(leaf.form, Reduced)
    return leaf.form.key
