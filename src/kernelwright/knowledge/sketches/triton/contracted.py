"""Matrix products and attention: the kernels of stages with a product, for tensor cores."""

from __future__ import annotations

from kernelwright.core.candidate import Tunable
from kernelwright.knowledge.sketches.poly import product as space
from kernelwright.knowledge.sketches.rewrites import by_reciprocal
from kernelwright.knowledge.sketches.sharing import with_shared_factor
from kernelwright.knowledge.sketches.stages import Attention, Product, Stage, mapped
from kernelwright.knowledge.sketches.text import grouped
from kernelwright.knowledge.sketches.triton.attention import AttentionNest
from kernelwright.knowledge.sketches.triton.decoding import AttentionJoined, AttentionParts
from kernelwright.knowledge.sketches.triton.folds import FoldText
from kernelwright.knowledge.sketches.triton.launching import MANY_PROGRAMS, Launching
from kernelwright.knowledge.sketches.triton.product import (
    LEAST,
    Pieces,
    ProductNest,
    fits,
    is_long,
    programs,
)
from kernelwright.knowledge.sketches.triton.resident import power
from kernelwright.knowledge.sketches.triton.split import Joined, partial

TILES = (
    Tunable(name="TILE_ROWS", choices=(16, 32, 64, 128, 256), default=128),
    Tunable(name="TILE_COLUMNS", choices=(16, 32, 64, 128, 256), default=64),
    Tunable(name="TILE_DEPTH", choices=(16, 32, 64, 128), default=32),
    Tunable(name="STAGES", choices=(1, 2, 3, 4), default=3),
)
ATTENTION = (
    Tunable(name="TILE_QUERIES", choices=(16, 32, 64, 128), default=128),
    Tunable(name="TILE_KEYS", choices=(16, 32, 64, 128), default=64),
    Tunable(name="ATTENTION_WARPS", choices=(2, 4, 8), default=8),
    Tunable(name="ATTENTION_STAGES", choices=(1, 2, 3, 4), default=2),
)

# As measured on an H100, also where a device would have fewer programs than room for them.
_TILES = {"TILE_ROWS": 128, "TILE_COLUMNS": 64, "STAGES": 3, "NUM_WARPS": 4}
_SKINNY_TILES = {"TILE_DEPTH": 64, "STAGES": 4, "NUM_WARPS": 4}
_SMALL_TILES = _TILES | {"TILE_ROWS": 64, "STAGES": 4}
_FLASH: dict[Pieces, dict[str, int]] = {
    "tf32x3": {"ATTENTION_STAGES": 3},
    "bf16x6": {
        "TILE_QUERIES": 64, "TILE_KEYS": 128, "ATTENTION_WARPS": 4, "ATTENTION_STAGES": 1,
    },
}  # fmt: skip
_FEW_QUERIES = {"ATTENTION_WARPS": 4, "ATTENTION_STAGES": 3, "PROGRAMS": 256}


def is_tiled(to: Launching, stage: Stage) -> bool:
    """Whether `stage` is a matrix product of a size and a type for tensor cores."""
    return stage.product is not None and fits(stage.product, to.sizes)


def is_divided(to: Launching, stage: Stage) -> bool:
    """Whether `stage` is such a product with few tiles and long sums."""
    product = stage.product
    if product is None or not is_tiled(to, stage) or not stage.in_rows:
        return False
    few = programs(product, to.sizes, _tiles(to, product)) < MANY_PROGRAMS
    return few and is_long(product, to.sizes)


def tiled_product(to: Launching, name: str, stage: Stage, pieces: Pieces) -> list[str]:
    """A matrix product, tile by tile."""
    product = _product_of(stage)
    to.guesses = to.guesses | _tiles(to, product)
    nest = ProductNest(to.text, _multiplied(to, stage, product), pieces)
    return to.allocated(stage) + to.launched(name, nest.kernel())


def divided_product(to: Launching, name: str, stage: Stage, pieces: Pieces) -> list[str]:
    """A matrix product in parts of its sums, tile by tile, and then what they come to."""
    product = _product_of(stage)
    to.guesses = to.guesses | _tiles(to, product)
    ((fold,),) = stage.passes
    sums = FoldText(fold=fold, number=0, text=to.text)
    (state,) = sums.states
    parts = to.text.unique(partial(state))
    nest = ProductNest(to.text, _multiplied(to, stage, product), pieces, parts)
    kernel = nest.kernel()
    steps = f"triton.cdiv({to.text.poly(product.depth.extent)}, TILE_DEPTH)"
    lines = [
        *kernel.before,
        f"{nest.part}s = kw_parts({kernel.grid}, {steps})",
        *to.partials(stage, [sums]),
        to.call(f"{name}_parts", kernel, f"{kernel.grid}, {nest.part}s"),
    ]
    joined = Joined(to.text, to.cheaper(stage))
    return to.allocated(stage) + lines + to.launched(f"{name}_joined", joined.kernel())


def _multiplied(to: Launching, stage: Stage, product: Product) -> Product:
    """The product of `stage`, with what it divides by as a factor."""
    loops = (product.batch, product.block, product.rows, product.columns)
    to.spaces.append(space([v.extent for v in loops]))
    found = mapped(stage, lambda e: by_reciprocal(to.maker, e, {"depth", "right"})).product
    return found or product


def _tiles(to: Launching, product: Product) -> dict[str, int]:
    """A first guess at the tiles of a product."""
    rows, columns = (v.extent.at(to.sizes) for v in (product.rows, product.columns))
    narrow = max(LEAST, power(int(min(rows, columns))))
    if narrow >= _TILES["TILE_COLUMNS"]:
        few = programs(product, to.sizes, _TILES) < MANY_PROGRAMS
        return _SMALL_TILES if few else _TILES
    wide = _TILES["TILE_COLUMNS"]
    first, second = (narrow, wide) if rows <= columns else (wide, narrow)
    return _SKINNY_TILES | {"TILE_ROWS": first, "TILE_COLUMNS": second}


def flash_attention(to: Launching, name: str, stage: Stage, pieces: Pieces) -> list[str]:
    """Attention, some queries at a time."""
    attention, product = _attention_of(stage), _product_of(stage)
    loops = (product.batch, product.rows, product.columns)
    to.spaces.append(space([v.extent for v in loops]))
    if product.rows.extent.at(to.sizes) <= LEAST:
        return _decoded(to, name, with_shared_factor(to.maker, stage), pieces)
    to.guesses = to.guesses | _FLASH[pieces]
    nest = AttentionNest(to.text, attention, product, pieces)
    return to.allocated(stage) + to.launched(name, nest.kernel())


def _decoded(to: Launching, name: str, stage: Stage, pieces: Pieces) -> list[str]:
    """Attention of few queries, in parts of the keys, and then what they come to."""
    attention, product = _attention_of(stage), _product_of(stage)
    to.guesses = to.guesses | _FEW_QUERIES
    nest = AttentionParts(to.text, attention, product, pieces)
    kernel, parts = nest.kernel(), f"{nest.part}s"
    steps = f"triton.cdiv({to.text.poly(product.depth.extent)}, {kernel.tile['KEYS']})"
    lines = [*kernel.before, f"{parts} = kw_parts({kernel.grid}, {steps})"]
    for tensor, size in nest.tensors.items():
        to.text.partials[tensor] = None
        count = f"{parts} * {grouped(to.text.poly(size))}"
        lines.append(f"{tensor} = torch.empty({count}, dtype=torch.float32, {to.device})")
    lines.append(to.call(f"{name}_parts", kernel, f"{kernel.grid}, {parts}"))
    joined = AttentionJoined(to.text, attention, product, pieces).kernel()
    return to.allocated(stage) + lines + to.launched(f"{name}_joined", joined)


def _product_of(stage: Stage) -> Product:
    if stage.product is None:
        raise ValueError("the stage is no product")
    return stage.product


def _attention_of(stage: Stage) -> Attention:
    if stage.attention is None:
        raise ValueError("the stage is no attention")
    return stage.attention
