"""Batches of a matrix product that share a factor: heads that share keys and values.

As rows of one product they read the factor once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from kernelwright.knowledge.sketches.expr import Expr, Maker, Position, moved, variables, walk
from kernelwright.knowledge.sketches.index import Index, Quotient, Var, atoms, divided, index
from kernelwright.knowledge.sketches.poly import Poly
from kernelwright.knowledge.sketches.stages import Stage, mapped


def with_shared_factor(maker: Maker, stage: Stage) -> Stage:
    """`stage`, a product, with the rows of all batches that share its right factor as rows of one:
    the queries of heads that share keys, where it is attention. Else `stage` as it is."""
    attention, product = stage.attention, stage.product
    if product is None:
        return stage
    shared = [product.right] if attention is None else [attention.key, product.right]
    for group in _divisors(maker, shared, product.batch):
        heads = product.batch.extent / group
        if heads is None or not heads.whole:
            continue
        batch, rows = Var("batch", heads), Var("left", group * product.rows.extent)
        member, query = divided(index(rows), product.rows.extent)
        places = {product.batch: index(batch) * group + member, product.rows: query}
        if not any(rows in variables(maker, moved(maker, e, places)) for e in shared):
            return _placed(maker, stage, places, batch, rows)
    return stage


def _divisors(maker: Maker, roots: list[Expr], var: Var) -> list[Poly]:
    """What positions that depend on `var` are divided by in `roots`."""
    found = {
        atom.by: None
        for expr in walk(maker, roots)
        for at in expr.indices
        for atom in atoms(at)
        if isinstance(atom, Quotient) and var in atoms(atom.of)
    }
    return list(found)


def _placed(
    maker: Maker, stage: Stage, places: Mapping[Var, Index], batch: Var, rows: Var
) -> Stage:
    """`stage` over `batch` and `rows`, of which `places` says what its own loops are."""
    stage = mapped(stage, lambda e: moved(maker, e, places))
    product = stage.product
    assert product is not None
    stores = tuple(replace(s, at=_index_moved(maker, s.at, places)) for s in product.stores)
    # No query is after its row, so that no key is further ahead of the row than of the query.
    return replace(stage, product=replace(product, batch=batch, rows=rows, stores=stores))


def _index_moved(maker: Maker, at: Index, places: Mapping[Var, Index]) -> Index:
    found = moved(maker, maker.make(Position(at), "int64"), places).form
    assert isinstance(found, Position)
    return found.at
