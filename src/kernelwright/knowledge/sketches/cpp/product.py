"""Matrix products in C++: factors packed into panels, and tiles of sums that registers hold.

What is multiplied may be anything that the graph makes of its inputs: it is worked out once for
each element, when that is packed. What is made of a sum is worked out when its tile is done. The
panels are those of Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication"
(2008).
"""

from __future__ import annotations

from typing import ClassVar

from kernelwright.knowledge.sketches.cpp.calls import TYPES
from kernelwright.knowledge.sketches.cpp.nest import Nest, indented
from kernelwright.knowledge.sketches.expr import Expr, Load, Reduced, variables, walk
from kernelwright.knowledge.sketches.index import Atom, Data, Quotient, Remainder, Var, atoms
from kernelwright.knowledge.sketches.stages import Product
from kernelwright.knowledge.sketches.text import invariant

# The loops of a `Product` by role, what they are called and where they end.
_LOOPS = {
    "batch": ("batch", "batches"), "block": ("place", "places"), "left": ("row", "rows"),
    "right": ("column", "columns"), "depth": ("k", "depth"),
}  # fmt: skip
# How far into the depth what lies along it is turned at a time.
_STEPS = 64
# Panels of rows up to which columns are read where they lie: packing them would cost more.
_FEW_PANELS = 8
_OTHERS = (
    "left", "right", "sums", "panel", "panels", "row_panel", "row_panels", "part", "parts",
    "first", "last", "begin", "count", "steps", "end", "from", "to", "i", "c", "l",
    "turned", "columns", "across",
)  # fmt: skip


class ProductNest(Nest):
    """A stage that is a matrix product: the left factor is packed first, and then each thread packs
    some columns of the right one and takes rows past them."""

    inner: ClassVar[set[str]] = {"depth", "right"}

    def __post_init__(self) -> None:
        super().__post_init__()
        assert self.stage.product is not None
        self.product: Product = self.stage.product
        unique = self.text.unique
        self.text.vars.update({role: unique(loop) for role, (loop, _) in _LOOPS.items()})
        self.ends = {role: unique(end) for role, (_, end) in _LOOPS.items()}
        self.own = {name: unique(name) for name in _OTHERS}
        self.type = TYPES[self.product.dtype]
        # A left factor that is the same in every batch, as weights are, is packed once.
        self.shared = self.product.batch not in variables(self.text.maker, self.product.left)
        self.plain = self._plain_along(self.product.left, self.product.depth)
        self.plain_right = self._plain_along(self.product.right, self.product.columns)

    def lines(self) -> list[str]:
        """The whole stage, as a block."""
        ends, own = self.ends, self.own
        batches = "" if self.shared else f"{ends['batch']} * "
        packed = f"{batches}{own['row_panels']} * ROWS * {ends['depth']}"
        before = [] if self.plain else self.memory("left", packed)
        body = [*([] if self.plain else self._packed_left()), *self._tiles()]
        parallel = f"#pragma omp parallel if ({' * '.join(ends.values())} >= GRAIN)"
        return ["{", *indented([*self._sizes(), *before, parallel, "{", *indented(body), "}"]), "}"]

    def _sizes(self) -> list[str]:
        ends, own, product = self.ends, self.own, self.product
        loops = (product.batch, product.block, product.rows, product.columns, product.depth)
        tiles = f"{ends['batch']} * {ends['block']} * {own['panels']}"
        return [
            *(f"const int64_t {ends[v.name]} = {self.text.poly(v.extent)};" for v in loops),
            f"const int64_t {own['row_panels']} = ({ends['left']} + ROWS - 1) / ROWS;",
            f"const int64_t {own['panels']} = ({ends['right']} + COLUMNS - 1) / COLUMNS;",
            f"const int64_t {own['parts']} = "
            f"kw_parts({tiles}, {own['row_panels']}, omp_get_max_threads());",
        ]

    def memory(self, name: str, elements: str, begun: str = "") -> list[str]:
        """Definitions of memory for `elements` that is called by our `name`."""
        own = self.own[name]
        return [
            f"const std::unique_ptr<{self.type}[]> {own}_memory"
            f"(new {self.type}[static_cast<std::size_t>({elements})]{begun});",
            f"{self.type}* const {own} = {own}_memory.get();",
        ]

    # The left factor: whole rows of a tensor as they lie there, or packed.

    def _plain_along(self, value: Expr, along: Var) -> Load | None:
        """What is read, if a factor is a tensor as it lies in memory, with neighbours along one of
        its loops and the same step from each to the next in the other."""
        load, depth = value.form, self.product.depth
        if not isinstance(load, Load) or load.guard is not None:
            return None
        as_stored = self.text.stored[load.tensor] == self.product.dtype
        as_neighbours = load.at.coefficient(along).constant == 1
        rest = [a for a in atoms(load.at) if not isinstance(a, Var)]
        steady = not any(self._changes(atom, {along, depth}) for atom in rest)
        return load if as_stored and as_neighbours and steady else None

    def _changes(self, atom: Atom, loops: set[Var]) -> bool:
        """Whether an atom that is no loop changes with one of `loops`."""
        match atom:
            case Data():
                found = variables(self.text.maker, self.text.maker.behind(atom))
            case Quotient(of=of) | Remainder(of=of):
                found = {v for v in atoms(of) if isinstance(v, Var)}
            case Var():
                found = {atom}
        return bool(loops & found)

    def _packed_left(self) -> list[str]:
        """Panels of ROWS rows, in each of which the rows of one step of the depth are neighbours.

        Rows that a panel has beyond the last are zeros.
        """
        ends, own, batch = self.ends, self.own, self.text.vars["batch"]
        panel, to, count = own["row_panel"], own["to"], own["count"]
        rows = f"std::min<int64_t>(ROWS, {ends['left']} - {own['begin']})"
        return [
            f"#pragma omp for collapse({2 - self.shared}) schedule(static)",
            *([] if self.shared else [loop(batch, ends["batch"])]),
            f"{loop(panel, own['row_panels'])} {{",
            f"    {self.type}* const {to} = {self._left_panel()};",
            f"    const int64_t {own['begin']} = {panel} * ROWS, {count} = {rows};",
            f"    if ({count} < ROWS) std::fill_n({to}, ROWS * {ends['depth']}, {self.type}(0));",
            *indented(self.packed(self.product.left, self.product.rows, "ROWS")),
            "}",
        ]

    def _left_panel(self) -> str:
        panel, batch = self.own["row_panel"], self.text.vars["batch"]
        at = panel if self.shared else f"({batch} * {self.own['row_panels']} + {panel})"
        return f"{self.own['left']} + {at} * ROWS * {self.ends['depth']}"

    def _pointers(self) -> list[str]:
        """Where each row of a panel begins, `steps` into the depth; one beyond the last is the last
        again."""
        own, row, i = self.own, self.text.vars["left"], self.own["i"]
        if self.plain is None:
            start = f"{self._left_panel()} + {own['steps']} * ROWS + {i}"
            return [f"{loop(i, 'ROWS')} {own['from']}[{i}] = {start};"]
        at = self.text.index(self.plain.at.without(self.product.depth), self.known)
        start = f"{self.text.tensors[self.plain.tensor]} + {at} + {own['steps']}"
        last = f"std::min({own['row_panel']} * ROWS + {i}, {self.ends['left']} - 1)"
        return [
            f"{loop(i, 'ROWS')} {{",
            f"    const int64_t {row} = {last};",
            f"    {own['from']}[{i}] = {start};",
            "}",
        ]

    # Packing.

    def packed(self, value: Expr, lane: Var, width: str, summed: Var | None = None) -> list[str]:
        """A panel of `count` lanes from `begin` on, at `to`: those of one step of `summed`, the
        depth unless it is given, are neighbours, and steps are `width` apart."""
        summed = summed or self.product.depth
        by_lane = self._along(value, summed, summed) and not self._along(value, lane, summed)
        own, k, here = self.own, self.text.vars[summed.name], self.text.vars[lane.name]
        inside = dict(self.known)
        inner = summed.name if by_lane else lane.name
        fixed = invariant(self.text.maker, [value], {inner}, inside)
        before = self.text.define(fixed, inside, name_roots=True)
        body = self.text.define([value], inside)
        place = f"{own['to']}[{k} * {width} + {own['c']}]"
        if by_lane:
            place = f"{own['turned']}[{own['c']} * {_STEPS} + {own['l']}]"
        body.append(f"{place} = {self.text.value(value, inside)};")
        if not by_lane:
            columns = self._over_lanes(here, body, width)
            return [f"{loop(k, self.ends[summed.name])} {{", *indented([*before, *columns]), "}"]
        # Some steps at a time, so that what is written stays in the nearest cache.
        steps, end, depth = own["steps"], own["end"], self.ends[summed.name]
        turned, c = own["turned"], own["c"]
        return [
            f"alignas(64) {self.type} {turned}[{width} * {_STEPS}];",
            f"if ({own['count']} < {width}) std::fill_n({turned}, {width} * {_STEPS}, "
            f"{self.type}(0));",
            f"for (int64_t {steps} = 0; {steps} < {depth}; {steps} += {_STEPS}) {{",
            f"    const int64_t {end} = std::min<int64_t>({depth} - {steps}, {_STEPS});",
            f"    {loop(c, own['count'])} {{",
            f"        const int64_t {here} = {own['begin']} + {c};",
            *indented(before, 2),
            f"        kw_columns<{_STEPS}>({end}, [&](int64_t {own['l']}) {{",
            f"            const int64_t {k} = {steps} + {own['l']};",
            *indented(body, 3),
            "        });",
            "    }",
            f"    kw_turned<{self.type}, {width}>({turned}, {_STEPS}, {end}, "
            f"{own['to']} + {steps} * {width});",
            "}",
        ]

    def _over_lanes(self, here: str, body: list[str], width: str) -> list[str]:
        """`body` for each lane of a panel of `width`, which is lane `here` of all.

        It is written twice, for panels that are full and for the last. As a function that two loops
        call it would keep what it reads in memory, and a convolution's borders be no vector code.
        """
        own = self.own

        def lanes(end: str) -> list[str]:
            return [
                "    #pragma omp simd",
                f"    {loop(own['c'], end)} {{",
                f"        const int64_t {here} = {own['begin']} + {own['c']};",
                *indented(body, 2),
                "    }",
            ]

        full = f"if ({own['count']} == {width}) {{"
        return [full, *lanes(width), "} else {", *lanes(own["count"]), "}"]

    def _along(self, value: Expr, lane: Var, summed: Var) -> bool:
        """Whether neighbours along `lane` are neighbours in what `value` reads most of: a tensor
        with an element for each step of `summed`."""
        maker = self.text.maker
        deep = [e.form for e in walk(maker, [value]) if summed in variables(maker, e)]
        return any(isinstance(f, Load) and f.at.coefficient(lane).constant == 1 for f in deep)

    # Sums.

    def _tiles(self) -> list[str]:
        """A panel of columns of each batch and block, and the rows of a part past it."""
        ends, own, var = self.ends, self.own, self.text.vars
        sums = f"({own['row_panels']} / {own['parts']} + 1) * ROWS * COLUMNS"
        count = f"std::min<int64_t>(COLUMNS, {ends['right']} - {own['begin']})"
        return [
            *self.memory("right", f"{ends['depth']} * COLUMNS", "()"),
            *self.memory("sums", sums, "()"),
            "#pragma omp for collapse(4) schedule(dynamic)",
            loop(var["batch"], ends["batch"]),
            loop(var["block"], ends["block"]),
            loop(own["panel"], own["panels"]),
            f"{loop(own['part'], own['parts'])} {{",
            f"    const int64_t {own['begin']} = {own['panel']} * COLUMNS;",
            f"    const int64_t {own['count']} = {count};",
            f"    const int64_t {own['first']} = {own['part']} * {own['row_panels']} / "
            f"{own['parts']};",
            f"    const int64_t {own['last']} = ({own['part']} + 1) * {own['row_panels']} / "
            f"{own['parts']};",
            *indented([*self._columns(), *self._summed(), *self._finished()]),
            "}",
        ]

    def _columns(self) -> list[str]:
        """Where the columns of a panel are: packed, or where they lie if few rows take them.

        Columns beyond the last are whatever was there: nothing is made of their sums.
        """
        own, load, var = self.own, self.plain_right, self.text.vars
        packed = [
            f"{self.type}* const {own['to']} = {own['right']};",
            *self.packed(self.product.right, self.product.columns, "COLUMNS"),
        ]
        lines = [
            f"const {self.type}* {own['columns']} = {own['right']};",
            f"int64_t {own['across']} = COLUMNS;",
        ]
        if load is None:
            return [*lines, *packed]
        usual, var["right"] = var["right"], own["begin"]
        place = self.text.index(load.at.without(self.product.depth), self.known)
        var["right"] = usual
        across = self.text.poly(load.at.coefficient(self.product.depth))
        few = f"{own['last']} - {own['first']} <= {_FEW_PANELS}"
        return [
            *lines,
            f"if ({own['count']} == COLUMNS && {few}) {{",
            f"    {own['columns']} = {self.text.tensors[load.tensor]} + {place};",
            f"    {own['across']} = {across};",
            "} else {",
            *indented(packed),
            "}",
        ]

    def _each_panel(self) -> str:
        panel = self.own["row_panel"]
        begin, end = self.own["first"], self.own["last"]
        return f"for (int64_t {panel} = {begin}; {panel} < {end}; ++{panel})"

    def _summed(self) -> list[str]:
        """The sums of the rows of one part, a block of the depth after another."""
        own, steps, depth = self.own, self.own["steps"], self.ends["depth"]
        count = f"std::min<int64_t>(DEPTH, {depth} - {steps})"
        sums = f"{own['sums']} + ({own['row_panel']} - {own['first']}) * ROWS * COLUMNS"
        return [
            f"for (int64_t {steps} = 0; {steps} < {depth}; {steps} += DEPTH)",
            f"    {self._each_panel()} {{",
            f"        const {self.type}* {own['from']}[ROWS];",
            *indented(self._pointers(), 2),
            f"        kw_product<{self.type}, ROWS, COLUMNS>("
            f"{own['from']}, {'1' if self.plain else 'ROWS'},",
            f"            {own['columns']} + {steps} * {own['across']}, {own['across']}, {count}, "
            f"{steps} == 0, {sums}, COLUMNS);",
            "    }",
        ]

    def _finished(self) -> list[str]:
        """What is made of the sums, row by row."""
        own, row, i = self.own, self.text.vars["left"], self.own["i"]
        inside, roots = dict(self.known), [s.value for s in self.product.stores]
        for expr in walk(self.text.maker, roots):
            if isinstance(expr.form, Reduced) and expr.form.key == self.product.key:
                inside[expr.number] = f"{own['from']}[{own['c']}]"
        fixed = invariant(self.text.maker, roots, {"right"}, inside)
        before = self.text.define(fixed, inside, name_roots=True)
        body = self.text.define(roots, inside)
        body += [self.assigned(store, inside) for store in self.product.stores]
        place = f"(({own['row_panel']} - {own['first']}) * ROWS + {i}) * COLUMNS"
        return [
            f"{self._each_panel()}",
            f"    {loop(i, 'ROWS')} {{",
            f"        const int64_t {row} = {own['row_panel']} * ROWS + {i};",
            f"        if ({row} == {self.ends['left']}) break;",
            f"        const {self.type}* const {own['from']} = {own['sums']} + {place};",
            *indented([*before, *self._over_lanes(self.text.vars["right"], body, "COLUMNS")], 2),
            "    }",
        ]


def loop(name: str, end: str) -> str:
    """The head of a loop from 0."""
    return f"for (int64_t {name} = 0; {name} < {end}; ++{name})"
