"""Windows over the last dimensions of a tensor, as pooling and convolutions bring them together.

`pooling` and `depthwise` say what is done with the elements of a window.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from kernelwright.knowledge.sketches.expr import Expr
from kernelwright.knowledge.sketches.index import Index
from kernelwright.knowledge.sketches.poly import ZERO, Poly, product
from kernelwright.knowledge.sketches.site import Kind, Reduction, Shape, Site, WindowCount


@dataclass(frozen=True, kw_only=True)
class Windows:
    """A window of `sizes` elements for each element of a result, over the last dimensions of a
    tensor, whose sizes are `extents`.

    In each dimension a window begins `strides` elements after the one before it, the first one
    `padding` elements before the tensor, and its own elements are `dilation` apart. With
    `ceil_mode` the last one may also end behind the padding.
    """

    extents: Shape
    sizes: Shape
    strides: Shape
    padding: Shape
    dilation: Shape
    ceil_mode: bool = False

    @property
    def rank(self) -> int:
        """How many dimensions there are windows in."""
        return len(self.sizes)

    @property
    def elements(self) -> Poly:
        """How many elements a window has, padding among them."""
        return product(self.sizes)

    def count(self, place: int) -> WindowCount:
        """How many windows there are in dimension `place` of those with windows."""
        return WindowCount(
            extent=self.extents[place] + self.padding[place] * 2,
            reach=(self.sizes[place] - 1) * self.dilation[place] + 1,
            stride=self.strides[place],
            # With `ceil_mode` the last window is left out if it would begin behind the tensor.
            begins=self.extents[place] + self.padding[place] if self.ceil_mode else None,
        )

    def begin(self, at: Sequence[Index]) -> tuple[Index, ...]:
        """Where the window of element `at` of the result begins, counted from the padding's begin;
        `at` is over the last dimensions only."""
        return tuple(i * s for i, s in zip(at, self.strides, strict=True))

    def place(self, at: Sequence[Index], of: Sequence[Index]) -> tuple[Index, ...]:
        """Element `of` of the window of `at`, counted from the padding's begin."""
        steps = zip(self.begin(at), of, self.dilation, strict=True)
        return tuple(first + step * apart for first, step, apart in steps)

    def inside(self, site: Site, place: Sequence[Index]) -> Expr | None:
        """Whether `place` is in the tensor; None where it always is.

        It is a primitive of its own, which nearly always holds: a loop may be parted by it.
        """
        found: Expr | None = None
        for at, before, extent in zip(place, self.padding, self.extents, strict=True):
            if before == ZERO and not self.ceil_mode:
                continue
            above, below = (
                site.condition(name, at, limit)
                for name, limit in (("ge", before), ("lt", before + extent))
            )
            holds = site.maker.call("inside", above, below)
            found = holds if found is None else site.maker.call("logical_and", found, holds)
        return found

    def element(
        self, site: Site, name: str, at: Sequence[Index], of: Sequence[Index], fill: float
    ) -> Expr:
        """Element `of` of the window of result element `at`, from tensor `name`, in the type of
        the result; `fill` where it is outside."""
        place, inside = self.seen(site, at, of)
        found = site.maker.cast(site.graph.pull(name, place, inside), site.dtype)
        if inside is None:
            return found
        return site.maker.call("where", inside, found, site.maker.constant(fill, site.dtype))

    def seen(
        self, site: Site, at: Sequence[Index], of: Sequence[Index]
    ) -> tuple[tuple[Index, ...], Expr | None]:
        """Where in the tensor element `of` of the window of result element `at` is, and whether it
        is inside, as `inside` says it."""
        lead = len(at) - self.rank
        place = self.place(at[lead:], of)
        own = (p + before * -1 for p, before in zip(place, self.padding, strict=True))
        return (*at[:lead], *own), self.inside(site, place)

    def reduced(
        self,
        site: Site,
        kind: Kind,
        element: Callable[[tuple[Index, ...], tuple[Index, ...]], Expr],
    ) -> Expr:
        """Each window of the result's element brought together by `kind`.

        `element` gives what goes in for an element of the result and an element of its window.
        The loops of a window stand between those of the result, so that the innermost loop is over
        neighbours in the result. A short window is written out and has no loops.
        """
        shape, lead = site.shape, len(site.shape) - self.rank

        def source(at: tuple[Index, ...]) -> Expr:
            behind = lead + self.rank
            return element(at[:lead] + at[behind:], at[lead:behind])

        what = Reduction(
            key=f"{kind}.{site.node.name}",
            kind=kind,
            shape=shape[:lead] + self.sizes + shape[lead:],
            dims=tuple(range(lead, lead + self.rank)),
            dtype=site.dtype,
            source=source,
            may_be_written_out=True,
            counts=tuple((shape[lead + d], self.count(d)) for d in range(self.rank)),
        )
        return site.graph.reduced(what, site.at, site.guard)


def each_dimension(site: Site, asked: Any, rank: int) -> Shape:
    """A size for each of `rank` dimensions; a single one is for all of them."""
    listed = asked if isinstance(asked, tuple) else (asked,)
    if len(listed) == 1:
        listed *= rank
    return tuple(site.size(s) for s in listed)
