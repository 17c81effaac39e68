"""Matrix products in Triton of packed factors: see `packing`.

A step multiplies three tiles of TF32: high by high, which is most of a sum, and low by high and
high by low, which are added up by themselves. A low by a low is less than float32 tells apart.
"""

from __future__ import annotations

from dataclasses import dataclass

from kernelwright.knowledge.sketches.expr import Load, walk
from kernelwright.knowledge.sketches.index import Var
from kernelwright.knowledge.sketches.poly import ONE
from kernelwright.knowledge.sketches.poly import product as space
from kernelwright.knowledge.sketches.stages import Packed, Stage
from kernelwright.knowledge.sketches.text import grouped
from kernelwright.knowledge.sketches.triton.launching import Launching
from kernelwright.knowledge.sketches.triton.nests import Pointwise, indented
from kernelwright.knowledge.sketches.triton.product import ProductNest, fits

# A copy is worth it where what is copied is read by a few programs.
_WORTH = 128
# As measured on an H100.
TILES = {
    "TILE_ROWS": 128, "TILE_COLUMNS": 128, "TILE_DEPTH": 32, "STAGES": 3, "NUM_WARPS": 8,
    "BLOCK": 4096,
}  # fmt: skip


def is_packed(to: Launching, stage: Stage) -> bool:
    """Whether `stage` is a product of float32 that is large enough to copy its factors first."""
    packed, product = stage.packed, stage.product
    if packed is None or product is None or not fits(product, to.sizes):
        return False
    rows, columns = (v.extent.at(to.sizes) for v in (packed.product.rows, packed.product.columns))
    read = walk(to.maker, [product.left, product.right])
    tensors = {e.form.tensor for e in read if isinstance(e.form, Load)}
    wide = all(to.text.stored[tensor] == "float32" for tensor in tensors)
    return wide and min(rows, columns) >= _WORTH


@dataclass
class PackedNest(ProductNest):
    """A stage that is a matrix product of packed factors, as a kernel."""

    packed: Packed | None = None

    def _summed(self) -> list[str]:
        """The sums of a tile: a step of the depth after another, and in each the taps."""
        assert self.packed is not None
        own, product, low = self.own, self.product, self.packed.low
        before, body = list[str](), self._begin(self.packed.tap)
        tiles = list[list[str]]()
        for factor in self._factors(product.left, product.right, *low):
            ahead, inside, found = self._loaded(factor, self.text.unique("begin_k"))
            before += ahead
            body += inside
            tiles.append(found)
        (left, left_low), (right, right_low) = tiles
        sums, small = own["sums"], self.text.unique("small")
        multiplied = (small, left_low, right), (small, left, right_low), (sums, left, right)
        body += [f'{s} = tl.dot({a}, {b}, {s}, input_precision="tf32")' for s, a, b in multiplied]
        return [
            *before,
            *(f"{s} = tl.zeros([TILE_ROWS, TILE_COLUMNS], tl.float32)" for s in (sums, small)),
            f"for {own['steps']} in range(0, {self._steps(self.packed.tap)}):",
            *indented(body),
            # An infinity times a low part may be of any sign, or NaN.
            f'{sums} += tl.where(tl.abs({small}) < float("inf"), {small}, 0.0)',
        ]

    def _steps(self, tap: Var) -> str:
        """How many tiles of the depth go into a sum, each for every tap."""
        steps = f"tl.cdiv({self.text.poly(self.product.depth.extent)}, TILE_DEPTH)"
        return steps if tap.extent == ONE else f"{steps} * {grouped(self.text.poly(tap.extent))}"

    def _begin(self, tap: Var) -> list[str]:
        """Which tap a step is for, and where its tile of the depth begins."""
        steps, begin = self.own["steps"], self.text.unique("begin_k")
        if tap.extent == ONE:
            return [f"{begin} = {steps} * TILE_DEPTH"]
        taps = grouped(self.text.poly(tap.extent))
        return [
            f"{self.text.vars['tap']} = {steps} % {taps}",
            f"{begin} = {steps} // {taps} * TILE_DEPTH",
        ]


def packed_product(to: Launching, name: str, stage: Stage) -> list[str]:
    """A matrix product of packed factors, after the copies."""
    packed = stage.packed
    assert packed is not None
    product = packed.product
    to.guesses = to.guesses | TILES
    to.keep(packed.temporaries)
    loops = (product.batch, product.rows, product.columns)
    to.spaces.append(space([v.extent for v in loops]))
    lines = list[str]()
    for number, copy in enumerate(packed.copies):
        kernel = Pointwise(to.text, to.cheaper(copy)).kernel()
        lines += [*to.allocated(copy), *to.launched(f"{name}_copy_{number}", kernel)]
    kernel = PackedNest(to.text, product, packed=packed).kernel()
    return [*lines, *to.allocated(stage), *to.launched(name, kernel)]
