"""Matrix products of packed factors: what is summed side by side, and float32 in two parts.

A copy of a factor is written once and read by many programs. So it is worth to have in it what
tensor cores need: neighbours along the sum, and the two values of TF32 that each of float32 is
multiplied as.
"""

from __future__ import annotations

from collections.abc import Sequence

from kernelwright.knowledge.sketches.expr import Expr, Load, Maker
from kernelwright.knowledge.sketches.index import Index, flattened, index
from kernelwright.knowledge.sketches.poly import ONE
from kernelwright.knowledge.sketches.poly import product as size_of
from kernelwright.knowledge.sketches.site import Factors, Packing, Reduction
from kernelwright.knowledge.sketches.spaces import packed_space, spread
from kernelwright.knowledge.sketches.stages import Packed, Product, Space, Stage, Store, Temporary

# What a value of float32 is the sum of, as calls of one operand.
PARTS = ("tf32_high", "tf32_low")


def packed(
    maker: Maker, what: Reduction, factors: Factors, stores: Sequence[Store], names: Sequence[str]
) -> Packed:
    """The product `what` of copies, which are called by two `names`; `stores` are over
    `packed_space`."""
    space = packed_space(what, factors)
    at = spread(what, space.at)
    sides = [
        _Copy(maker, packing, name) for packing, name in zip(factors.packing, names, strict=True)
    ]
    (left, left_low), (right, right_low) = (side.read(at) for side in sides)
    return Packed(
        product=Product(
            batch=space.var("batch"),
            block=space.var("block"),
            rows=space.var("left"),
            columns=space.var("right"),
            depth=space.var("depth"),
            key=what.key,
            at=flattened(space.kept_at, space.kept_shape),
            dtype=what.dtype,
            left=left,
            right=right,
            stores=tuple(stores),
        ),
        low=(left_low, right_low),
        tap=space.var("tap"),
        copies=tuple(side.stage() for side in sides),
        temporaries=tuple(t for side in sides for t in side.temporaries),
    )


class _Copy:
    """A factor's copy: one tensor for each of `PARTS`."""

    def __init__(self, maker: Maker, packing: Packing, name: str) -> None:
        self.maker, self.packing = maker, packing
        self.temporaries = [
            Temporary(name=f"{name}_{part}", dtype="float32", elements=size_of(packing.shape))
            for part in ("high", "low")
        ]

    def read(self, at: tuple[Index, ...]) -> list[Expr]:
        """The factor, at an index into the reduction's shape, from each of the tensors."""
        shape = self.packing.shape

        def of(tensor: str) -> Expr:
            def load(place: tuple[Index, ...], guard: Expr | None) -> Expr:
                return self.maker.make(Load(tensor, flattened(place, shape), guard), "float32")

            return self.packing.read(at, load)

        return [of(t.name) for t in self.temporaries]

    def stage(self) -> Stage:
        """The loops that write the tensors."""
        shape = tuple(s for s in self.packing.shape if s != ONE)
        space = Space(shape=shape, reduced=(False,) * len(shape), joined=min(1, len(shape)))
        rest = iter(space.at)
        at = tuple(index(0) if s == ONE else next(rest) for s in self.packing.shape)
        value = self.packing.source(at)
        return Stage(
            row=space.var("row"),
            depth=space.var("depth"),
            lane=space.var("lane"),
            in_rows=True,
            passes=(),
            stores=tuple(
                Store(
                    target=temporary.name,
                    dtype="float32",
                    at=flattened(space.at, space.shape),
                    value=self.maker.call(part, value),
                    span="elements",
                )
                for temporary, part in zip(self.temporaries, PARTS, strict=True)
            ),
        )
