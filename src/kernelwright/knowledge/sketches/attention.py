"""Attention: the product of a softmax with values, where what the softmax is of are products too.

It is seen in the factors of the last product, in whatever words the program says it: between the
two products may be anything pointwise, a scale, a mask or a bias. A kernel that knows how the
pieces belong together keeps no table of scores (`triton.attention`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kernelwright.core.graph import Extent
from kernelwright.knowledge.sketches.expr import (
    Call,
    Cast,
    Constant,
    Expr,
    Maker,
    Position,
    Reduced,
    replaced,
    variables,
    walk,
)
from kernelwright.knowledge.sketches.index import Index, Var, index, split
from kernelwright.knowledge.sketches.lowering import Lowering
from kernelwright.knowledge.sketches.poly import ONE, Poly
from kernelwright.knowledge.sketches.stages import Attention, Product

# What each comparison is with its sides exchanged.
_TURNED = {"le": "ge", "lt": "gt", "ge": "le", "gt": "lt"}
Number = bool | int | float


def attention_of(lowering: Lowering, product: Product) -> Attention | None:
    """`product`, with its reductions still in it, as attention; None if it is something else."""
    found = _softmax(lowering, product)
    if found is None or product.block.extent != ONE or product.dtype != "float32":
        return None
    sides = _sides(lowering, product, found.of)
    if sides is None:
        return None
    maker = lowering.maker
    masked = _by_position(maker, found.of)
    return Attention(
        inner=sides.inner,
        query=sides.query,
        key=sides.key,
        score=sides.score,
        masked=masked,
        zeros=found.zeros,
        ahead=_ahead(maker, masked, product),
    )


@dataclass(frozen=True, kw_only=True)
class _Softmax:
    """A softmax over the depth of a product, `of` these; with `zeros` where all are -inf."""

    of: Expr
    zeros: bool


def _softmax(lowering: Lowering, product: Product) -> _Softmax | None:
    """What the left factor is the softmax of; None if it is none."""
    weight, seen = product.left, None
    if (choice := _called(weight, "where")) and (none := _called(choice[0], "logical_not")):
        if not (isinstance(choice[1].form, Constant) and choice[1].form.value == 0):
            return None
        weight, seen = choice[2], none[0]
    quotient = _called(weight, "div")
    power = _called(quotient[0], "exp") if quotient else None
    less = _called(power[0], "sub") if power else None
    if quotient is None or less is None:
        return None
    of, peak = less

    def whole(leaf: Expr, kind: str, element: Expr) -> bool:
        """Whether `leaf` brings every `element` along the depth together."""
        return _is_over(lowering, product.depth, leaf, kind, element)

    if not (whole(peak, "max", of) and whole(quotient[1], "sum", quotient[0])):
        return None
    maker = lowering.maker
    nothing = maker.call("eq", of, maker.constant(float("-inf"), of.dtype), dtype="bool")
    anything = maker.call("logical_not", nothing, dtype="bool")
    if seen is not None and not whole(seen, "any", anything):
        return None
    return _Softmax(of=of, zeros=seen is not None)


def _called(expr: Expr, name: str) -> tuple[Expr, ...] | None:
    """The arguments of `expr` if it is a call of `name`."""
    return expr.form.args if isinstance(expr.form, Call) and expr.form.name == name else None


def _is_over(lowering: Lowering, depth: Var, leaf: Expr, kind: str, element: Expr) -> bool:
    if not isinstance(leaf.form, Reduced) or leaf.form.guard is not None:
        return False
    what = lowering.reductions[leaf.form.key]
    if what.kind != kind or what.running or len(what.dims) != 1:
        return False
    (dim,) = what.dims
    at = [*leaf.form.at]
    at.insert(dim, index(depth))
    return what.shape[dim] == depth.extent and what.source(tuple(at)) is element


@dataclass(frozen=True, kw_only=True)
class _Sides:
    """The product `score`: sums over `inner` of `query` times `key`."""

    score: Expr
    inner: Var
    query: Expr
    key: Expr


def _sides(lowering: Lowering, product: Product, of: Expr) -> _Sides | None:
    """The only product that `of` is made of, with a side for rows and one for the depth."""
    maker, rows, depth = lowering.maker, product.rows, product.depth
    leaves = [e for e in walk(maker, [of]) if _is_product(lowering, e) and _has(maker, e, depth)]
    if len(leaves) != 1 or _has(maker, product.right, rows):
        return None
    (score,) = leaves
    assert isinstance(score.form, Reduced)
    what = lowering.reductions[score.form.key]
    if what.factors is None or what.dtype != "float32":
        return None
    inner = Var("inner", what.count)
    summed = iter(split(index(inner), [what.shape[d] for d in what.dims]))
    kept = iter(score.form.at)
    at = tuple(next(summed) if d in what.dims else next(kept) for d in range(what.rank))
    sides = (what.factors.left(at), what.factors.right(at))
    for query, key in (sides, sides[::-1]):
        if not _has(maker, query, depth) and not _has(maker, key, rows):
            query, key = _scaled_once(maker, query, key)
            return _Sides(score=score, inner=inner, query=query, key=key)
    return None


def _is_product(lowering: Lowering, expr: Expr) -> bool:
    if not isinstance(expr.form, Reduced) or expr.form.guard is not None:
        return False
    return lowering.reductions[expr.form.key].factors is not None


def _has(maker: Maker, expr: Expr, var: Var) -> bool:
    return var in variables(maker, expr)


def _scaled_once(maker: Maker, query: Expr, key: Expr) -> tuple[Expr, Expr]:
    """The two with a number that all keys are multiplied by as a factor of the query: it is then
    multiplied once, and each key many times less."""
    args = _called(key, "mul")
    if args is None or variables(maker, args[1]):
        return query, key
    return maker.call("mul", query, args[1]), args[0]


# Masks: which keys no query of a tile sees.


def _by_position(maker: Maker, root: Expr) -> Expr:
    """`root` where a comparison of differences of positions compares the positions."""

    def swap(expr: Expr) -> Expr | None:
        difference = _difference(expr)
        if difference is None or not isinstance(expr.form, Call):
            return None
        ahead = tuple(t for t in difference.terms if t[1].never_negative)
        behind = Index(tuple(t for t in difference.terms if t not in ahead)) * -1
        sides = (Index(ahead, difference.constant), behind)
        positions = (maker.make(Position(side), "int64") for side in sides)
        return maker.call(expr.form.name, *positions, dtype="bool")

    return replaced(maker, root, swap)


def _difference(expr: Expr) -> Index | None:
    """The left side of a comparison of positions less its right side."""
    if not isinstance(expr.form, Call) or expr.form.name not in _TURNED:
        return None
    left, right = (_position(arg) for arg in expr.form.args)
    return None if left is None or right is None else left + right * -1


def _position(expr: Expr) -> Index | None:
    """`expr` as a sum of positions."""
    match expr.form:
        case Position(at=at):
            return at
        case Constant(value=int(value)):
            return index(value)
        case Call(name="add" | "sub" as name, args=(first, second)):
            one, other = _position(first), _position(second)
            if one is None or other is None:
                return None
            return one + other * (1 if name == "add" else -1)
        case _:
            return None


def _ahead(maker: Maker, masked: Expr, product: Product) -> Poly | None:
    """How many places at most a key is ahead of a query that sees it, if a comparison says so.

    A score that is not seen is -inf, whatever it was before.
    """
    for expr in walk(maker, [masked]):
        difference = _difference(expr)
        if difference is None or not isinstance(expr.form, Call):
            continue
        name = expr.form.name
        if difference.coefficient(product.depth) == Poly.number(-1):
            difference, name = difference * -1, _TURNED[name]
        behind = index(product.depth) + index(product.rows) * -1
        offset = difference + behind * -1
        if product.rows.extent == ONE or offset.terms:
            continue
        # Keys further ahead make `le` and `lt` false, and the other two true.
        beyond = name in ("ge", "gt")
        if _settled(maker, masked, {expr.number: beyond}) == float("-inf"):
            return offset.constant * -1 - (1 if name in ("lt", "ge") else 0)
    return None


def _settled(maker: Maker, root: Expr, known: Mapping[int, Number]) -> Number | None:
    """What `root` is, if what is `known` of its parts decides that."""
    found: dict[int, Number | None] = dict(known)
    for expr in walk(maker, [root], known):
        found[expr.number] = _outcome(expr, [found[a.number] for a in expr.args])
    return found[root.number]


def _outcome(expr: Expr, args: list[Number | None]) -> Number | None:
    """What `expr` is where its arguments are these; None for what is not known."""
    least = float("-inf")
    match expr.form:
        case Constant(value=value) if not isinstance(value, Extent):
            return value
        case Cast(through=None) if args[0] is not None:
            return bool(args[0]) if expr.dtype == "bool" else args[0]
        case Call(name="where") if args[0] is not None:
            return args[1] if args[0] else args[2]
        case Call(name="logical_not" | "bitwise_not") if args[0] is not None:
            return not args[0] if expr.dtype == "bool" else None
        case Call(name="logical_and" | "bit_and") if expr.dtype == "bool":
            return False if False in args else True if args == [True, True] else None
        case Call(name="logical_or" | "bit_or") if expr.dtype == "bool":
            return True if True in args else False if args == [False, False] else None
        case Call(name="eq" | "ne" as name) if None not in args:
            return (args[0] == args[1]) == (name == "eq")
        case Call(name="add") if least in args:
            return least
        case Call(name="sub") if args[0] == least:
            return least
        case Call(name="mul" | "div") if args[0] == least and args[1] is not None and args[1] > 0:
            return least
        case _:
            return None
