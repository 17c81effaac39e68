"""Attention in C++: some queries go past all keys at a time, and no table of scores is kept.

The softmax is kept as it goes, as in `triton.attention`, after Dao et al., "FlashAttention" (2022).
Keys and values are packed into panels first, for each batch; the products are those of `product`.
"""

from __future__ import annotations

from kernelwright.knowledge.sketches.cpp.nest import indented
from kernelwright.knowledge.sketches.cpp.product import ProductNest, loop
from kernelwright.knowledge.sketches.expr import Expr, Reduced, walk
from kernelwright.knowledge.sketches.index import Var
from kernelwright.knowledge.sketches.poly import Poly
from kernelwright.knowledge.sketches.stages import Attention
from kernelwright.knowledge.sketches.text import grouped, invariant

_NAMES = (
    "queries", "keys", "values", "scores", "peaks", "totals", "key_panels", "tile", "tiles",
    "tile_queries", "tile_keys", "wide", "at", "key", "score", "fade", "scale",
)  # fmt: skip


class AttentionNest(ProductNest):
    """A stage that is attention: each thread takes tiles of queries past all keys."""

    def __post_init__(self) -> None:
        super().__post_init__()
        assert self.stage.attention is not None
        self.attention: Attention = self.stage.attention
        unique = self.text.unique
        self.text.vars["inner"], self.ends["inner"] = unique("inner_k"), unique("inner")
        self.own |= {name: unique(name) for name in _NAMES}

    def lines(self) -> list[str]:
        """The whole stage, as a block."""
        ends, own, product = self.ends, self.own, self.product
        batch = ends["batch"]
        work = " * ".join(ends[role] for role in ("batch", "left", "right", "depth"))
        keys = f"{batch} * {own['key_panels']} * COLUMNS * {ends['inner']}"
        values = f"{batch} * {own['panels']} * COLUMNS * {ends['depth']}"
        panels = [
            *self._panels("keys", self.attention.key, product.depth, self.attention.inner),
            *self._panels("values", product.right, product.columns, product.depth),
        ]
        body = [*panels, *self._tile_memory(), *self._tiles_of_queries()]
        return [
            "{",
            *indented([*self._loop_ends(), *self.memory("keys", keys)]),
            *indented(
                [*self.memory("values", values), f"#pragma omp parallel if ({work} >= GRAIN)"]
            ),
            *indented(["{", *indented(body), "}"]),
            "}",
        ]

    def _loop_ends(self) -> list[str]:
        """How far each loop goes."""
        ends, own, product = self.ends, self.own, self.product
        loops = (product.batch, product.rows, product.columns, product.depth, self.attention.inner)
        return [
            *(f"const int64_t {ends[v.name]} = {self.text.poly(v.extent)};" for v in loops),
            f"constexpr int64_t {own['tile_queries']} = (QUERIES + ROWS - 1) / ROWS * ROWS;",
            f"constexpr int64_t {own['tile_keys']} = (KEYS + COLUMNS - 1) / COLUMNS * COLUMNS;",
            f"const int64_t {own['key_panels']} = ({ends['depth']} + COLUMNS - 1) / COLUMNS;",
            f"const int64_t {own['panels']} = ({ends['right']} + COLUMNS - 1) / COLUMNS;",
            f"const int64_t {own['wide']} = {own['panels']} * COLUMNS;",
            f"const int64_t {own['tiles']} = "
            f"({ends['left']} + {own['tile_queries']} - 1) / {own['tile_queries']};",
        ]

    def _panels(self, name: str, value: Expr, lane: Var, summed: Var) -> list[str]:
        """The keys or the values of every batch as panels, zeros beyond the last lane."""
        own, ends, batch = self.own, self.ends, self.text.vars["batch"]
        count = "key_panels" if name == "keys" else "panels"
        size = f"COLUMNS * {ends[summed.name]}"
        return [
            "#pragma omp for collapse(2) schedule(static)",
            loop(batch, ends["batch"]),
            f"{loop(own['panel'], own[count])} {{",
            f"    {self.type}* const {own['to']} = "
            f"{own[name]} + ({batch} * {own[count]} + {own['panel']}) * {size};",
            f"    const int64_t {own['begin']} = {own['panel']} * COLUMNS;",
            f"    const int64_t {own['count']} = "
            f"std::min<int64_t>(COLUMNS, {ends[lane.name]} - {own['begin']});",
            f"    if ({own['count']} < COLUMNS) std::fill_n({own['to']}, {size}, {self.type}(0));",
            *indented(self.packed(value, lane, "COLUMNS", summed)),
            "}",
        ]

    def _tile_memory(self) -> list[str]:
        """What a thread keeps for the queries that it is at."""
        own = self.own
        return [
            *self.memory("queries", f"{own['tile_queries']} * {self.ends['inner']}"),
            *self.memory("sums", f"{own['tile_queries']} * {own['wide']}"),
            f"alignas(64) {self.type} {own['scores']}[ROWS * {own['tile_keys']}];",
            f"{self.type} {own['peaks']}[{own['tile_queries']}];",
            f"{self.type} {own['totals']}[{own['tile_queries']}];",
        ]

    def _tiles_of_queries(self) -> list[str]:
        own, ends = self.own, self.ends
        # Where the last queries see the most keys they come first, so that none is left at the end.
        turned = f"{own['tiles']} - 1 - " if self.attention.ahead is not None else ""
        begin, tile_keys = own["begin"], own["tile_keys"]
        # Rows of a tile beyond the last query are the last again.
        return [
            "#pragma omp for collapse(2) schedule(dynamic)",
            loop(self.text.vars["batch"], ends["batch"]),
            f"{loop(own['tile'], own['tiles'])} {{",
            f"    const int64_t {own['first']} = ({turned}{own['tile']}) * {own['tile_queries']};",
            f"    const int64_t {own['last']} = "
            f"std::min({own['first']} + {own['tile_queries']}, {ends['left']});",
            *indented(self._begun()),
            f"    for (int64_t {begin} = 0; {begin} < {self._end('last')}; {begin} += {tile_keys})",
            f"        for (int64_t {own['at']} = {own['first']}; {own['at']} < {own['last']}; "
            f"{own['at']} += ROWS) {{",
            *indented(self._past_keys(), 3),
            "        }",
            *indented(self._written()),
            "}",
        ]

    def _begun(self) -> list[str]:
        """The queries of a tile, and no key seen yet."""
        own, text, k, i = self.own, self.text, self.text.vars["inner"], self.own["i"]
        row = f"std::min({own['first']} + {i}, {own['last']} - 1)"
        inside = dict(self.known)
        fixed = invariant(text.maker, [self.attention.query], {"inner"}, inside)
        before = text.define(fixed, inside, name_roots=True)
        body = text.define([self.attention.query], inside)
        value = text.value(self.attention.query, inside)
        sizes = {"sums": own["wide"], "peaks": "1", "totals": "1"}
        return [
            f"{loop(i, own['tile_queries'])} {{",
            f"    const int64_t {text.vars['left']} = {row};",
            *indented(before),
            "    #pragma omp simd",
            f"    {loop(k, self.ends['inner'])} {{",
            *indented(body, 2),
            f"        {own['queries']}[{i} * {self.ends['inner']} + {k}] = {value};",
            "    }",
            "}",
            *(
                f"std::fill_n({own[name]}, {own['tile_queries']} * {size}, "
                f"{'-INFINITY' if name == 'peaks' else f'{self.type}(0)'});"
                for name, size in sizes.items()
            ),
        ]

    def _end(self, query: str) -> str:
        """The first key that no query before `query` sees."""
        keys, ahead = self.ends["depth"], self.attention.ahead
        if ahead is None:
            return keys
        beyond = self.own[query]
        if ahead != Poly.number(0):
            beyond += f" + {grouped(self.text.poly(ahead))}"
        return f"std::min<int64_t>({keys}, {beyond})"

    def _past_keys(self) -> list[str]:
        """ROWS queries past one tile of keys."""
        own, ends, batch = self.own, self.ends, self.text.vars["batch"]
        kind, inner, depth, begin = self.type, ends["inner"], ends["depth"], own["begin"]
        key = f"{batch} * {own['key_panels']} * COLUMNS + {begin} + {own['c']}"
        values = (
            f"{own['values']} + ({batch} * {own['panels']} + {own['panel']}) * COLUMNS * {depth} "
            f"+ {begin} * COLUMNS"
        )
        place = f"{own['at']} - {own['first']}"
        sums = f"{own['sums']} + ({place}) * {own['wide']}"
        product, c, count = f"kw_product<{kind}, ROWS, COLUMNS>", own["c"], own["count"]
        i, source = own["i"], own["from"]
        return [
            f"const int64_t {count} = std::min<int64_t>({own['tile_keys']}, {depth} - {begin});",
            f"const {kind}* {source}[ROWS];",
            f"{loop(i, 'ROWS')}",
            f"    {source}[{i}] = {own['queries']} + ({place} + {i}) * {inner};",
            f"for (int64_t {c} = 0; {c} < {count}; {c} += COLUMNS)",
            f"    {product}({source}, 1, {own['keys']} + ({key}) * {inner},",
            f"        COLUMNS, {inner}, true, {own['scores']} + {c}, {own['tile_keys']});",
            *self._weighed(sums),
            f"{loop(i, 'ROWS')} {source}[{i}] = {own['scores']} + {i} * {own['tile_keys']};",
            loop(own["panel"], own["panels"]),
            f"    {product}({source}, 1, {values},",
            f"        COLUMNS, {count}, false, {sums} + {own['panel']} * COLUMNS, {own['wide']});",
        ]

    def _weighed(self, sums: str) -> list[str]:
        """The scores as weights, and what was there before as it is beside them."""
        own, text, masked, i = self.own, self.text, self.attention.masked, self.own["i"]
        inside = dict(self.known) | {self.attention.score.number: own["score"]}
        fixed = invariant(text.maker, [masked], {"depth"}, inside)
        fixed = [e for e in fixed if e.number != self.attention.score.number]
        before = text.define(fixed, inside, name_roots=True)
        body = text.define([masked], inside)
        slot = f"{own['at']} - {own['first']} + {i}"
        row = f"std::min({own['at']} + {i}, {own['last']} - 1)"
        return [
            f"{loop(i, 'ROWS')} {{",
            f"    const int64_t {text.vars['left']} = {row};",
            *indented(before),
            f"    const {self.type} {own['fade']} = kw_weights({own['scores']} + {i} * "
            f"{own['tile_keys']}, {own['count']},",
            f"        {own['peaks']}[{slot}], {own['totals']}[{slot}],",
            f"        [&](int64_t {own['key']}, {self.type} {own['score']}) {{",
            f"            const int64_t {text.vars['depth']} = {own['begin']} + {own['key']};",
            *indented(body, 3),
            f"            return {text.value(masked, inside)};",
            "        });",
            f"    {self.type}* const {own['to']} = {sums} + {i} * {own['wide']};",
            f"    if ({own['fade']} != 1)",
            f"        {loop(own['c'], own['wide'])} {own['to']}[{own['c']}] *= {own['fade']};",
            "}",
        ]

    def _written(self) -> list[str]:
        """What is made of the means. Where no key is seen both sums are 0, and where there is none
        at all."""
        own, text, row = self.own, self.text, self.text.vars["left"]
        inside, roots = dict(self.known), [s.value for s in self.product.stores]
        for expr in walk(text.maker, roots):
            if isinstance(expr.form, Reduced) and expr.form.key == self.product.key:
                inside[expr.number] = f"({own['from']}[{own['c']}] * {own['scale']})"
        fixed = invariant(text.maker, roots, {"right"}, inside)
        before = text.define(fixed, inside, name_roots=True)
        body = text.define(roots, inside)
        body += [self.assigned(store, inside) for store in self.product.stores]
        total = f"{own['totals']}[{row} - {own['first']}]"
        nothing = f"{total} == 0" if self.attention.zeros else f"{self.ends['depth']} == 0"
        column = f"const int64_t {text.vars['right']} = {own['c']};"
        return [
            f"for (int64_t {row} = {own['first']}; {row} < {own['last']}; ++{row}) {{",
            f"    const {self.type} {own['scale']} = {nothing} ? 1 : 1 / {total};",
            f"    const {self.type}* const {own['from']} = "
            f"{own['sums']} + ({row} - {own['first']}) * {own['wide']};",
            *indented(before),
            "    #pragma omp simd",
            f"    {loop(own['c'], self.ends['right'])} {{",
            *indented([column, *body], 2),
            "    }",
            "}",
        ]
