"""Convolutions of each channel with one filter of its own: a sum over each window.

`contractions` has the other ones.
"""

from __future__ import annotations

from kernelwright.core.graph import Ref
from kernelwright.knowledge.sketches.expr import Expr
from kernelwright.knowledge.sketches.index import Index, index
from kernelwright.knowledge.sketches.poly import ONE
from kernelwright.knowledge.sketches.site import Site
from kernelwright.knowledge.sketches.windows import Windows, each_dimension


def is_depthwise(site: Site) -> bool:
    """Whether a convolution has as many groups as channels, one filter for each, and is not
    transposed."""
    if len(site.node.args) < 9 or site.argument(6) is not False:
        return False
    source, weight = (site.graph.shape(site.tensor(place)) for place in (0, 1))
    one_each = len(weight) == len(source) and weight[1] == ONE and weight[0] == source[1]
    return one_each and site.size(site.argument(8)) == source[1]


def depthwise(site: Site) -> Expr:
    """``convolution`` of an input [batch, channels, ...] with a weight [channels, 1, ...]."""
    source, weight, windows = site.tensor(0), site.tensor(1), windows_of(site)

    def element(at: tuple[Index, ...], of: tuple[Index, ...]) -> Expr:
        factor = site.maker.cast(site.graph.pull(weight, (at[1], index(0), *of), None), site.dtype)
        return site.maker.call("mul", windows.element(site, source, at, of, 0.0), factor)

    total = windows.reduced(site, "sum", element)
    if not isinstance(site.argument(2), Ref):
        return total
    return site.maker.call("add", total, site.pull(site.tensor(2), (site.at[1],)))


def windows_of(site: Site) -> Windows:
    """The windows that a convolution looks through."""
    sizes = site.graph.shape(site.tensor(1))[2:]
    strides, padding, dilation = (
        each_dimension(site, site.argument(place), len(sizes)) for place in (3, 4, 5)
    )
    return Windows(
        extents=site.graph.shape(site.tensor(0))[2:],
        sizes=sizes,
        strides=strides,
        padding=padding,
        dilation=dilation,
    )
