"""Attention of few queries to many keys in Triton, as when a token is decoded.

Heads that share keys are the rows of one tile, so that keys are read once for all of them. Several
programs take a part of the keys each; a second kernel brings what they come to together, each part
faded by how far its largest score is below the largest of all.
"""

from __future__ import annotations

from kernelwright.knowledge.sketches.poly import ONE, Poly
from kernelwright.knowledge.sketches.text import grouped
from kernelwright.knowledge.sketches.triton.attention import AttentionNest
from kernelwright.knowledge.sketches.triton.nests import Kernel


class AttentionParts(AttentionNest):
    """Attention to a part of the keys, with what it comes to left in `tensors`."""

    @property
    def part(self) -> str:
        """The number of a program's part of the keys."""
        return self.text.unique("part")

    @property
    def results(self) -> Poly:
        """How many rows there are in all."""
        return self.product.batch.extent * self.product.rows.extent

    @property
    def tensors(self) -> dict[str, Poly]:
        """The tensors of what parts come to, and how many elements each part has in them."""
        sizes = (self.results * self.product.columns.extent, self.results, self.results)
        names = ("sums_parts", "peak_parts", "total_parts")
        return {self.text.unique(n): size for n, size in zip(names, sizes, strict=True)}

    def _steps(self) -> str:
        return f"range({self.part} * KEYS, {self.own['end']}, {self.part}s * KEYS)"

    def _place(self) -> list[str]:
        lines = [f"{self.part} = tl.program_id(1)", f"{self.part}s = tl.num_programs(1)"]
        return [*lines, *super()._place()]

    def _finished(self) -> list[str]:
        own, text, product = self.own, self.text, self.product
        place, head = self.own["place"], text.poly(product.columns.extent)
        rows, row, column = text.poly(product.rows.extent), text.vars["left"], text.vars["right"]
        batch = f" + {text.vars['batch']} * {grouped(rows)}" if product.batch.extent != ONE else ""
        sums, peaks, totals = self.tensors
        inside = f"{own['row_in']} & {own['column_in']}"
        count = grouped(text.poly(self.results))
        return [
            f"{place} = {self.part}.to(INDEX) * {count}{batch} + {row}",
            f"tl.store({sums} + {place} * {head} + {column}, {own['sums']}, mask={inside})",
            f"tl.store({peaks} + {place}, {own['peak']}, mask={own['row_in']})",
            f"tl.store({totals} + {place}, {own['total']}, mask={own['row_in']})",
        ]


class AttentionJoined(AttentionParts):
    """What the parts come to, one program for each row."""

    def kernel(self) -> Kernel:
        """The kernel and its launch."""
        own, head = self.own, self.text.poly(self.product.columns.extent)
        return Kernel(
            body=[*self._place(), *self._joined(), *self._written()],
            before=[f"{own['head_size']} = max(16, kw_power({head}))"],
            grid=self.text.poly(self.results),
            tile={"PARTS": f"kw_power({self.part}s)", "HEAD": own["head_size"]},
            warps="ATTENTION_WARPS",
        )

    def _place(self) -> list[str]:
        own, text, product = self.own, self.text, self.product
        row, column, rows = text.vars["left"], text.vars["right"], text.poly(product.rows.extent)
        program = own["program"]
        lines = [f"{program} = tl.program_id(0).to(INDEX)"]
        if product.batch.extent != ONE:
            lines.append(f"{text.vars['batch']} = {program} // {grouped(rows)}")
        return [
            *lines,
            f"{row} = {program} % {grouped(rows)}",
            f"{column} = tl.arange(0, HEAD)[None, :].to(INDEX)",
            f"{own['column_in']} = {column} < {text.poly(product.columns.extent)}",
        ]

    def _at_results(self) -> str:
        return self._at_tile("result", {"right": self.own["column_in"]}, "[1, HEAD]")

    def _joined(self) -> list[str]:
        own, text = self.own, self.text
        part, inside, place = self.part, f"{self.part}_in", own["place"]
        head, base, fade = text.poly(self.product.columns.extent), own["base"], own["fade"]
        sums, peaks, totals = self.tensors
        column, total = text.vars["right"], own["total"]
        masks = f"{inside} & {own['column_in']}"
        taken = f"tl.load({sums} + {place} * {head} + {column}, mask={masks}, other=0.0)"
        count = grouped(text.poly(self.results))
        return [
            f"{part} = tl.arange(0, PARTS)[:, None].to(INDEX)",
            f"{inside} = {part} < {part}s",
            f"{place} = {part} * {count} + {own['program']}",
            f"{own['peak']} = tl.load({peaks} + {place}, mask={inside}, other=float('-inf'))",
            f"{own['grown']} = tl.max({own['peak']}, 0, keep_dims=True)",
            f"{base} = tl.where({own['grown']} == float('-inf'), 0.0, {own['grown']})",
            f"{fade} = tl.exp({own['peak']} - {base})",
            f"{total} = {fade} * tl.load({totals} + {place}, mask={inside}, other=0.0)",
            f"{total} = tl.sum({total}, 0, keep_dims=True)",
            f"{own['sums']} = tl.sum({fade} * {taken}, 0, keep_dims=True)",
        ]
