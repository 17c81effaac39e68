"""Attention in Triton: a program takes some queries past all keys, and keeps no table of scores.

The softmax is kept as it goes: for each query the largest score so far, the sum of the exponentials
of what the scores are below it, and the sums of the values that they weigh; with a larger score all
of that fades. Tiles of keys that no query of a program sees are not read. Values of float32 are
multiplied in pieces, as `triton.product` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kernelwright.knowledge.sketches.expr import Expr, Load, Reduced, walk
from kernelwright.knowledge.sketches.poly import ONE, Poly
from kernelwright.knowledge.sketches.stages import Attention, Product, Store
from kernelwright.knowledge.sketches.text import grouped, invariant
from kernelwright.knowledge.sketches.triton.nests import Kernel, indented
from kernelwright.knowledge.sketches.triton.product import LEAST, Pieces
from kernelwright.knowledge.sketches.triton.text import TritonText

# Longer heads have smaller tiles, so that those of a program need no more memory.
_USUAL_HEAD = 64
_LOOPS = {"batch": "batch", "left": "row", "right": "column"}
_OTHERS = (
    "program", "tiles", "tile", "row_in", "column_in", "key", "other_key", "key_in", "other_key_in",
    "k", "other_k", "k_in", "other_k_in", "end", "begin", "queries", "keys", "values", "scores",
    "seen", "peak", "grown", "base", "weights", "fade", "total", "sums", "result",
    "queries_in", "keys_in", "values_in", "seen_in", "result_in",
    "place", "tile_queries", "tile_keys", "inner_size", "head_size", "widest",
)  # fmt: skip


@dataclass
class AttentionNest:
    """A stage that is attention, as a kernel."""

    text: TritonText
    attention: Attention
    product: Product
    pieces: Pieces = "tf32x3"
    known: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        unique = self.text.unique
        self.own = {name: unique(name) for name in _OTHERS}
        self.text.vars.update({role: unique(loop) for role, loop in _LOOPS.items()})
        self.text.policy = lambda _: ""

    def kernel(self) -> Kernel:
        """The kernel and its launch."""
        own, text, product = self.own, self.text, self.product
        inner, head = text.poly(self.attention.inner.extent), text.poly(product.columns.extent)
        rows, batch = text.poly(product.rows.extent), text.poly(product.batch.extent)
        body = [*self._place(), *self._queries(), *self._walked(), *self._finished()]
        part = f"{own['widest']} // {_USUAL_HEAD}"
        most = f"max({LEAST}, kw_power({rows}))"
        before = [
            f"{own['inner_size']} = max({LEAST}, kw_power({inner}))",
            f"{own['head_size']} = max({LEAST}, kw_power({head}))",
            f"{own['widest']} = max({_USUAL_HEAD}, {own['inner_size']}, {own['head_size']})",
            f"{own['tile_queries']} = min({most}, max({LEAST}, TILE_QUERIES // ({part})))",
            f"{own['tile_keys']} = max({LEAST}, TILE_KEYS // ({part}))",
        ]
        tiles = f"triton.cdiv({rows}, {own['tile_queries']})"
        return Kernel(
            body=body,
            before=before,
            grid=tiles if batch == "1" else f"{grouped(batch)} * {tiles}",
            tile={
                "QUERIES": own["tile_queries"], "KEYS": own["tile_keys"],
                "INNER": own["inner_size"], "HEAD": own["head_size"],
            },
            options=("num_stages=ATTENTION_STAGES",),
            warps="ATTENTION_WARPS",
        )  # fmt: skip

    # Where a program is.

    def _place(self) -> list[str]:
        """The queries that a program is for, and the lanes of all tiles."""
        own, text, product = self.own, self.text, self.product
        program, tiles, tile = own["program"], own["tiles"], own["tile"]
        row, column, rows = text.vars["left"], text.vars["right"], text.poly(product.rows.extent)
        lines = [f"{tiles} = tl.cdiv({rows}, QUERIES)", f"{program} = tl.program_id(0)"]
        if product.batch.extent != ONE:
            lines.append(f"{text.vars['batch']} = ({program} // {tiles}).to(INDEX)")
        # Where the last queries see the most keys they come first, so that none is left at the end.
        turned = f"{tiles} - 1 - " if self.attention.ahead is not None else ""
        return [
            *lines,
            f"{tile} = {turned}{program} % {tiles}",
            f"{row} = {tile}.to(INDEX) * QUERIES + tl.arange(0, QUERIES)[:, None]",
            f"{own['row_in']} = {row} < {rows}",
            f"{column} = tl.arange(0, HEAD)[None, :].to(INDEX)",
            f"{own['column_in']} = {column} < {text.poly(product.columns.extent)}",
            *self._inner("k", "[None, :]"),
            *self._inner("other_k", "[:, None]"),
        ]

    def _inner(self, name: str, expand: str) -> list[str]:
        own, inner = self.own, self.text.poly(self.attention.inner.extent)
        return [
            f"{own[name]} = tl.arange(0, INNER){expand}.to(INDEX)",
            f"{own[f'{name}_in']} = {own[name]} < {inner}",
        ]

    def _keys(self, name: str, expand: str) -> list[str]:
        own, keys = self.own, self.text.poly(self.product.depth.extent)
        return [
            f"{own[name]} = {own['begin']} + tl.arange(0, KEYS){expand}.to(INDEX)",
            f"{own[f'{name}_in']} = {own[name]} < {keys}",
        ]

    # What a program takes: the queries, and tiles of keys and values.

    def _queries(self) -> list[str]:
        own = self.own
        self.text.vars["inner"] = own["k"]
        lanes = {"left": own["row_in"], "inner": own["k_in"]}
        tile = _Tile(lanes=lanes, shape="[QUERIES, INNER]", name="queries", summed="inner")
        return self._loaded(self.attention.query, tile, dict(self.known))

    def _walked(self) -> list[str]:
        """The sums of all keys, tile by tile."""
        own, text, attention = self.own, self.text, self.attention
        text.vars["inner"], text.vars["depth"] = own["other_k"], own["key"]
        factor = _Tile(
            lanes={"inner": own["other_k_in"], "depth": own["key_in"]}, shape="[INNER, KEYS]",
            name="keys", summed="inner",
        )  # fmt: skip
        before, body = self._hoisted(attention.key, factor)
        body = [*self._keys("key", "[None, :]"), *body]
        ahead, seen = self._seen()
        before += ahead
        body += [
            f"{own['scores']} = tl.dot({own['queries']}, {own['keys']}, {self._precision})",
            *seen,
            *self._faded(),
        ]
        text.vars["depth"] = own["other_key"]
        values = _Tile(
            lanes={"depth": own["other_key_in"], "right": own["column_in"]}, shape="[KEYS, HEAD]",
            name="values", summed="depth",
        )  # fmt: skip
        ahead, taken = self._hoisted(self.product.right, values)
        sums, fade = own["sums"], own["fade"]
        weighed = f"tl.dot({own['weights']}, {own['values']}, {self._precision})"
        body += [
            *self._keys("other_key", "[:, None]"),
            *taken,
            f"{sums} = {sums} * {fade} + {weighed}",
            f"{own['peak']} = {own['grown']}",
        ]
        return [
            *before,
            *ahead,
            f"{own['peak']} = tl.full([QUERIES, 1], float('-inf'), tl.float32)",
            f"{own['total']} = tl.zeros([QUERIES, 1], tl.float32)",
            f"{sums} = tl.zeros([QUERIES, HEAD], tl.float32)",
            f"{own['end']} = {self._end()}",
            f"for {own['begin']} in {self._steps()}:",
            *indented(body),
        ]

    def _steps(self) -> str:
        """Where the tiles of keys begin that a program takes."""
        return f"range(0, {self.own['end']}, KEYS)"

    @property
    def _precision(self) -> str:
        return f'input_precision="{self.pieces}"'

    def _end(self) -> str:
        """The first key that no query of the program sees."""
        keys, ahead = self.text.poly(self.product.depth.extent), self.attention.ahead
        if ahead is None:
            return keys
        beyond = f"({self.own['tile']} + 1) * QUERIES"
        if ahead != Poly.number(0):
            beyond += f" + {grouped(self.text.poly(ahead))}"
        return f"tl.minimum({keys}, {beyond})"

    def _seen(self) -> tuple[list[str], list[str]]:
        """What is made of the scores: lines before the loop over the keys, and in it."""
        own, text, masked = self.own, self.text, self.attention.masked
        inside = dict(self.known) | {self.attention.score.number: own["scores"]}
        masked_in = self._at_tile(
            "seen", {"left": own["row_in"], "depth": own["key_in"]}, "[QUERIES, KEYS]"
        )
        fixed = invariant(text.maker, [masked], {"depth"}, inside)
        before = text.define(fixed, inside, name_roots=True)
        lines = [masked_in, *text.define([masked], inside)]
        found = text.value(masked, inside)
        return before, [
            *lines,
            f"{own['seen']} = tl.where({own['key_in']}, {found}, float('-inf'))",
        ]

    def _faded(self) -> list[str]:
        """The weights of a tile of keys, and what was before it as it is after it."""
        own = self.own
        peak, grown, base, total = own["peak"], own["grown"], own["base"], own["total"]
        return [
            f"{grown} = tl.maximum({peak}, tl.max({own['seen']}, 1, keep_dims=True))",
            f"{base} = tl.where({grown} == float('-inf'), 0.0, {grown})",
            f"{own['weights']} = tl.exp({own['seen']} - {base})",
            f"{own['fade']} = tl.exp({peak} - {base})",
            f"{total} = {total} * {own['fade']} + tl.sum({own['weights']}, 1, keep_dims=True)",
        ]

    def _hoisted(self, value: Expr, tile: _Tile) -> tuple[list[str], list[str]]:
        """The lines of a tile: those before the loop over the keys, and those in it."""
        text, known = self.text, dict(self.known)
        self._at_tile(tile.name, tile.lanes, tile.shape)
        fixed = invariant(text.maker, [value], {"depth"}, known)
        return text.define(fixed, known, name_roots=True), self._loaded(value, tile, known)

    def _loaded(self, value: Expr, tile: _Tile, known: dict[int, str]) -> list[str]:
        """The lines of a tile of `value`, in which nothing is where no lane is."""
        text = self.text
        lines = [self._at_tile(tile.name, tile.lanes, tile.shape), *text.define([value], known)]
        found = text.value(value, known)
        if not text.fills_tile(value):
            found = f"tl.zeros({tile.shape}, tl.float32) + {grouped(found)}"
        # What is read beyond the lanes is zero; what is made of it need not be.
        if not isinstance(value.form, Load):
            found = f"tl.where({tile.lanes[tile.summed]}, {found}, 0.0)"
        return [*lines, f"{self.own[tile.name]} = {found}"]

    def _at_tile(self, name: str, lanes: Mapping[str, str], shape: str) -> str:
        """The line that says where in a tile there is something; what follows is of that tile."""
        text = self.text
        text.masks, text.shape, text.inside = dict(lanes), shape, self.own[f"{name}_in"]
        return f"{text.inside} = {' & '.join(lanes.values())}"

    # What is made of the sums.

    def _finished(self) -> list[str]:
        """What is done when the keys are taken."""
        return self._written()

    def _written(self) -> list[str]:
        """The sums as means, what is made of them, and written."""
        own, text, stores = self.own, self.text, self.product.stores
        lines = [self._at_results(), self._result()]
        inside, roots = dict(self.known), [s.value for s in stores]
        for expr in walk(text.maker, roots):
            if isinstance(expr.form, Reduced) and expr.form.key == self.product.key:
                inside[expr.number] = own["result"]
        lines += text.define(roots, inside)
        return [*lines, *(self._stored(store, inside) for store in stores)]

    def _at_results(self) -> str:
        lanes = {"left": self.own["row_in"], "right": self.own["column_in"]}
        return self._at_tile("result", lanes, "[QUERIES, HEAD]")

    def _result(self) -> str:
        """The means. Where no key is seen both sums are 0, and where there is none at all."""
        own = self.own
        nothing = f"{own['total']} == 0.0"
        if not self.attention.zeros:
            nothing = f"{self.text.poly(self.product.depth.extent)} == 0"
        total = f"tl.where({nothing}, 1.0, {own['total']})"
        return f"{own['result']} = {own['sums']} / {total}"

    def _stored(self, store: Store, inside: dict[int, str]) -> str:
        text = self.text
        place = f"{text.tensors[store.target]} + {text.index(store.at, inside)}"
        if not set(text.masks) <= text.variables_of(store.at):
            place += f" + {text.full('0', 'tl.int32')}"
        return f"tl.store({place}, {text.value(store.value, inside)}, mask={text.inside})"


@dataclass(frozen=True, kw_only=True)
class _Tile:
    """A factor while its tile is written: the masks of its lanes, and which of them is `summed`."""

    lanes: Mapping[str, str]
    shape: str
    name: str
    summed: str
