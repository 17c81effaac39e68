"""A graph as a list of loop nests: what `planner` makes and the renderers of every language read.

A `Stage` is a loop over rows. In each row come passes over the elements, one after another, that
compute reductions; then stores, which may read what a scan has come to at their element.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from kernelwright.core.problem import DType
from kernelwright.knowledge.sketches.expr import Expr, Load, Maker, walk
from kernelwright.knowledge.sketches.index import Index, Var, index, split
from kernelwright.knowledge.sketches.lowering import Lowering
from kernelwright.knowledge.sketches.poly import Poly, product
from kernelwright.knowledge.sketches.site import Shape

Span = Literal["row", "elements", "own"]
Role = Literal["row", "depth", "lane", "batch", "block", "left", "right", "tap"]


@dataclass(frozen=True, kw_only=True)
class Space:
    """What a stage loops over: `shape` without its dimensions of size one.

    `reduced` says which dimensions are brought together. `joined` is how many trailing
    dimensions of one kind are looped over as one, as neighbours in memory. With `sides` it is the
    space of a matrix product, and they say the loop of each dimension.
    """

    shape: Shape
    reduced: tuple[bool, ...]
    joined: int = 1
    sides: tuple[Role, ...] | None = None

    @property
    def in_rows(self) -> bool:
        """Whether neighbours in memory are brought together (or nothing is)."""
        return not any(self.reduced) or self.reduced[-1]

    @property
    def roles(self) -> tuple[Role, ...]:
        """The loop that each dimension belongs to."""
        if self.sides is not None:
            return self.sides
        rank = len(self.shape)
        return tuple(
            "lane" if d >= rank - self.joined else "depth" if self.reduced[d] else "row"
            for d in range(rank)
        )

    def var(self, role: str) -> Var:
        """The loop variable of all dimensions of one role."""
        return Var(role, product(self._of(role)))

    def _of(self, role: str) -> list[Poly]:
        return [s for s, r in zip(self.shape, self.roles, strict=True) if r == role]

    @property
    def at(self) -> tuple[Index, ...]:
        """Where in the space the loop variables are."""
        iters: dict[str, Iterator[Index]] = {}
        for role in dict.fromkeys(self.roles):
            iters[role] = iter(split(index(self.var(role)), self._of(role)))
        return tuple(next(iters[r]) for r in self.roles)

    @property
    def kept_at(self) -> tuple[Index, ...]:
        """`at` in the dimensions that remain."""
        return tuple(i for i, r in zip(self.at, self.reduced, strict=True) if not r)

    @property
    def kept_shape(self) -> Shape:
        """`shape` in the dimensions that remain."""
        return tuple(s for s, r in zip(self.shape, self.reduced, strict=True) if not r)

    def layouts(self) -> list[Space]:
        """This space with as many trailing dimensions joined as can be, down to one."""
        same = 1
        while same < len(self.shape) and self.reduced[-1 - same] == self.reduced[-1]:
            same += 1
        return [Space(shape=self.shape, reduced=self.reduced, joined=j) for j in range(same, 0, -1)]


@dataclass(frozen=True, kw_only=True)
class Fold:
    """One reduction of a pass, or a scan: `value` of each element is brought together by `kind`.

    A position (``argmax``) counts in `position`, an index over the reduced dimensions.
    """

    key: str
    kind: str
    dtype: DType
    value: Expr
    position: Index


@dataclass(frozen=True, kw_only=True)
class Store:
    """Something written: `value` at element `at` of tensor `target`.

    `span` says how often in a row: once, for each element, or over a loop `lane` of its own.
    """

    target: str
    dtype: DType
    at: Index
    value: Expr
    span: Span
    lane: Var | None = None


@dataclass(frozen=True, kw_only=True)
class Temporary:
    """Results of a reduction or a scan, kept between stages."""

    name: str
    dtype: DType
    elements: Poly


@dataclass(frozen=True, kw_only=True)
class Product:
    """A stage that is one matrix product, in the loops of such: for each of `batch` and `block` the
    sums over `depth` of `left` times `right`, one for each of `rows` and `columns`.

    `left` does not depend on `block` and `columns`, nor `right` on `rows`. The sum is result number
    `at` of reduction `key` in `stores`, which are written once for each of the sums.
    """

    batch: Var
    block: Var
    rows: Var
    columns: Var
    depth: Var
    key: str
    at: Index
    dtype: DType
    left: Expr
    right: Expr
    stores: tuple[Store, ...]


@dataclass(frozen=True, kw_only=True)
class Packed:
    """A product of factors that are copied before, each as two values of float32 that add up to it,
    of which the high one has no more bits than TF32.

    `product` is of the high ones, and `low` are its factors of the low ones. Beside its depth each
    sum has the loop `tap`. `copies` write the `temporaries`; neighbours in them are neighbours in
    the depth.
    """

    product: Product
    low: tuple[Expr, Expr]
    tap: Var
    copies: tuple[Stage, ...]
    temporaries: tuple[Temporary, ...]


@dataclass(frozen=True, kw_only=True)
class Attention:
    """A product whose left factor is a softmax along its depth of what is made of products.

    For each row of the product, a query, and each step of its depth, a key, `score` is the sum over
    `inner` of `query` times `key`, and `masked` is what is made of it. Where every one of a row is
    -inf the factors are NaN, or nothing if they are `zeros`. A key more than `ahead` places after
    its query is -inf in any case, if that is not None.
    """

    inner: Var
    query: Expr
    key: Expr
    score: Expr
    masked: Expr
    zeros: bool
    ahead: Poly | None


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One loop nest: `passes`, each a list of folds over all elements of a row, then `stores`.

    The running values of the folds `scans` are there for the stores that write each element.
    `product` says the same in other loops, where it is a matrix product; `packed` says it again, of
    copies of its factors, and `attention`, where it is that.
    """

    row: Var
    depth: Var
    lane: Var
    in_rows: bool
    passes: tuple[tuple[Fold, ...], ...]
    stores: tuple[Store, ...]
    product: Product | None = None
    scans: tuple[Fold, ...] = ()
    attention: Attention | None = None
    packed: Packed | None = None

    @property
    def all_stores(self) -> tuple[Store, ...]:
        """What it writes in whichever loops it is made."""
        return self.stores + (self.product.stores if self.product else ())


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a renderer turns into a kernel: stages in order, and the temporaries between them."""

    lowering: Lowering
    stages: tuple[Stage, ...]
    temporaries: tuple[Temporary, ...]


def tensors_read(maker: Maker, stage: Stage) -> set[str]:
    """The names of the tensors that `stage` reads."""
    roots = [f.value for each in (*stage.passes, stage.scans) for f in each]
    roots += [s.value for s in stage.stores]
    return {e.form.tensor for e in walk(maker, roots) if isinstance(e.form, Load)}


def mapped(stage: Stage, change: Callable[[Expr], Expr]) -> Stage:
    """`stage` with every expression changed."""
    passes = tuple(tuple(replace(f, value=change(f.value)) for f in each) for each in stage.passes)
    product = None if stage.product is None else _changed_product(stage.product, change)
    attention = stage.attention
    if attention is not None:
        attention = replace(
            attention,
            query=change(attention.query),
            key=change(attention.key),
            score=change(attention.score),
            masked=change(attention.masked),
        )
    packed = stage.packed
    if packed is not None:
        packed = replace(
            packed,
            product=_changed_product(packed.product, change),
            low=(change(packed.low[0]), change(packed.low[1])),
            copies=tuple(mapped(copy, change) for copy in packed.copies),
        )
    scans = tuple(replace(f, value=change(f.value)) for f in stage.scans)
    stores = _changed(stage.stores, change)
    return replace(
        stage, passes=passes, stores=stores, scans=scans, product=product, attention=attention,
        packed=packed,
    )  # fmt: skip


def _changed_product(product: Product, change: Callable[[Expr], Expr]) -> Product:
    return replace(
        product,
        left=change(product.left),
        right=change(product.right),
        stores=_changed(product.stores, change),
    )


def _changed(stores: tuple[Store, ...], change: Callable[[Expr], Expr]) -> tuple[Store, ...]:
    return tuple(replace(s, value=change(s.value)) for s in stores)
