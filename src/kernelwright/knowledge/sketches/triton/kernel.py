"""Which kernels the stages of a plan become in Triton, and how they are launched."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from kernelwright.core.candidate import Candidate, Tunable
from kernelwright.core.problem import Problem
from kernelwright.knowledge.sketches.poly import Poly
from kernelwright.knowledge.sketches.poly import product as space
from kernelwright.knowledge.sketches.rewrites import by_one_load, by_reciprocal
from kernelwright.knowledge.sketches.stages import (
    Attention,
    Plan,
    Product,
    Stage,
    Temporary,
    mapped,
)
from kernelwright.knowledge.sketches.text import grouped
from kernelwright.knowledge.sketches.triton.across import Across, beside, tensors_read
from kernelwright.knowledge.sketches.triton.attention import AttentionNest, attended
from kernelwright.knowledge.sketches.triton.decoding import (
    AttentionJoined,
    AttentionParts,
    with_shared_keys,
)
from kernelwright.knowledge.sketches.triton.folds import FoldText, with_moments
from kernelwright.knowledge.sketches.triton.looped import Looped
from kernelwright.knowledge.sketches.triton.module import Written, candidate, device
from kernelwright.knowledge.sketches.triton.nests import Kernel, Pointwise, indented
from kernelwright.knowledge.sketches.triton.product import (
    LEAST,
    Pieces,
    ProductNest,
    fits,
    is_long,
    programs,
)
from kernelwright.knowledge.sketches.triton.resident import Whole, power
from kernelwright.knowledge.sketches.triton.split import Joined, Parts, partial, results
from kernelwright.knowledge.sketches.triton.text import TritonText
from kernelwright.knowledge.sketches.triton.together import Together
from kernelwright.knowledge.sketches.triton.unfold import is_single, unfolded

BLOCK = Tunable(name="BLOCK", choices=(512, 1024, 2048, 4096, 8192), default=1024)
NUM_WARPS = Tunable(name="NUM_WARPS", choices=(2, 4, 8, 16, 32), default=4)
COLUMNS = Tunable(name="COLUMNS", choices=(32, 64, 128, 256), default=128)
PROGRAMS = Tunable(name="PROGRAMS", choices=(128, 256, 512, 1024), default=512)
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
# First guesses where rows are brought together; where a program keeps results of all columns as
# well; and where rows are so long that they are read from memory again and again.
_ROWS = {"BLOCK": 2048, "NUM_WARPS": 8}
_ACROSS = _ROWS | {"PROGRAMS": 256}
_LONG_ROWS = {"BLOCK": 4096, "NUM_WARPS": 8}
_LONG = 65536
_TOGETHER = {"BLOCK": 8192, "NUM_WARPS": 4}
# As measured on an H100, also where a device would have fewer programs than room for them.
_TILES = {"TILE_ROWS": 128, "TILE_COLUMNS": 64, "STAGES": 3, "NUM_WARPS": 4}
_SKINNY_TILES = {"TILE_DEPTH": 64, "STAGES": 4, "NUM_WARPS": 4}
_SMALL_TILES = _TILES | {"TILE_ROWS": 64, "STAGES": 4}

_FEW_QUERIES = {"ATTENTION_WARPS": 4, "ATTENTION_STAGES": 3, "PROGRAMS": 256}

# Fewer programs than this leave much of a device idle, if each has more elements than a few.
_MANY_PROGRAMS = 264
_MANY_ELEMENTS = 8192


def flash(problem: Problem, plan: Plan, pieces: Pieces = "tf32x3") -> Candidate | None:
    """Attention is one kernel that keeps no scores, of float32 in `pieces`; None where no stage is
    attention."""
    if not any(stage.attention for stage in plan.stages):
        return None
    return _Draft(problem, attended(plan)).candidate(flash=True, tiled=pieces, resident=True)


def flash_in_bfloat16(problem: Problem, plan: Plan) -> Candidate | None:
    """As `flash`, of six products of bfloat16."""
    return flash(problem, plan, "bf16x6")


def divided(problem: Problem, plan: Plan, pieces: Pieces = "tf32x3") -> Candidate | None:
    """As `tiled`, with several programs for each sum where tiles are few and sums are long; None
    where no stage is like that."""
    draft = _Draft(problem, plan)
    if not any(draft.is_divided(stage) for stage in plan.stages):
        return None
    return draft.candidate(tiled=pieces, divided=True, resident=True)


def divided_in_bfloat16(problem: Problem, plan: Plan) -> Candidate | None:
    """As `divided`, of six products of bfloat16."""
    return divided(problem, plan, "bf16x6")


def tiled(problem: Problem, plan: Plan, pieces: Pieces = "tf32x3") -> Candidate | None:
    """Matrix products are made tile by tile on tensor cores, of float32 in `pieces`; None where no
    stage is one."""
    draft = _Draft(problem, plan)
    if not any(draft.is_tiled(stage) for stage in plan.stages):
        return None
    return draft.candidate(tiled=pieces, resident=True)


def tiled_in_bfloat16(problem: Problem, plan: Plan) -> Candidate | None:
    """As `tiled`, of six products of bfloat16."""
    return tiled(problem, plan, "bf16x6")


def resident(problem: Problem, plan: Plan) -> Candidate | None:
    """A row is held by one program as a whole; None where no stage has such rows."""
    draft = _Draft(problem, plan)
    if not any(draft.can_reside(stage) for stage in plan.stages):
        return None
    return draft.candidate(resident=True)


def together(problem: Problem, plan: Plan) -> Candidate | None:
    """Long rows are held by several programs together; None where no stage has such rows."""
    draft = _Draft(problem, plan)
    if not any(draft.fits_together(stage) for stage in plan.stages):
        return None
    return draft.candidate(resident=True, together=True)


def looped(problem: Problem, plan: Plan) -> Candidate | None:
    """Every row is walked tile by tile, in as many passes as there are dependent reductions."""
    return _Draft(problem, plan).candidate()


def spread(problem: Problem, plan: Plan) -> Candidate | None:
    """Each pass over long rows is a kernel of its own; None where there are none."""
    draft = _Draft(problem, plan)
    if not any(draft.is_long(stage) for stage in plan.stages):
        return None
    return draft.candidate(spread=True)


@dataclass
class _Draft:
    """A candidate while its stages become kernels: their texts, and the lines that launch them."""

    problem: Problem
    plan: Plan
    kernels: list[str] = field(default_factory=list)
    launches: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.text = TritonText(self.problem, self.plan.lowering.maker)
        self.maker = self.plan.lowering.maker
        self.sizes = self.problem.report_workload.axes
        self.device = device(self.problem, self.text)
        self.temporaries: dict[str, Temporary] = {}
        self.spaces: list[Poly] = []
        self.guesses = _ROWS if any(s.passes or s.scans for s in self.plan.stages) else {}

    def candidate(
        self,
        *,
        flash: bool = False,
        tiled: Pieces | None = None,
        divided: bool = False,
        resident: bool = False,
        together: bool = False,
        spread: bool = False,
    ) -> Candidate:
        """The plan with its stages in the forms that fit the sizes that will be timed."""
        self._keep(self.plan.temporaries)
        left = list(enumerate(self.plan.stages))
        while left:
            number, stage = left.pop(0)
            name = f"kw_stage_{number}"
            if flash and tiled and stage.product is not None and stage.attention is not None:
                self.launches += self._flash(name, stage, stage.attention, tiled)
                continue
            if tiled and stage.product is not None and self.is_tiled(stage):
                made = self._divided if divided and self.is_divided(stage) else self._tiled
                self.launches += made(name, stage, stage.product, tiled)
                continue
            lines = self._beside(name, stage, left[0][1]) if resident and left else []
            if lines:
                left.pop(0)
            elif together and self.fits_together(stage):
                lines = self._together(name, stage)
            else:
                lines = self._stage(name, stage, resident=resident, spread=spread)
            self.launches += lines
        written = Written(
            problem=self.problem, text=self.text, tunables=self.tunables, device=self.device,
            kernels=self.kernels, launches=self.launches, spaces=self.spaces,
            counts=self.plan.lowering.counts,
        )  # fmt: skip
        return candidate(written)

    # Which form a stage takes.

    def is_tiled(self, stage: Stage) -> bool:
        """Whether `stage` is a matrix product of a size and a type for tensor cores."""
        return stage.product is not None and fits(stage.product, self.sizes)

    def is_divided(self, stage: Stage) -> bool:
        """Whether `stage` is such a product with few tiles and long sums."""
        product = stage.product
        if product is None or not self.is_tiled(stage) or not stage.in_rows:
            return False
        few = programs(product, self.sizes, self._tiles(product)) < _MANY_PROGRAMS
        return few and is_long(product, self.sizes)

    def can_reside(self, stage: Stage) -> bool:
        """Whether a program can hold a row of `stage`, and has a reason to."""
        if not (stage.passes or stage.scans) or (not stage.in_rows and is_single(stage)):
            return False
        return Whole(self.text, stage).fits(self.sizes)

    def fits_together(self, stage: Stage) -> bool:
        """Whether rows of `stage` are too long for a program, and not for several."""
        if not self.is_long(stage):
            return False
        return Together(self.text, stage).fits_block(self.sizes, _TOGETHER["BLOCK"])

    def is_long(self, stage: Stage) -> bool:
        """Whether rows of `stage` are read more than once, and never held, and can be divided."""
        divided = bool(stage.passes) and not stage.scans
        return divided and not is_single(stage) and not self.can_reside(stage)

    def _is_few(self, stage: Stage) -> bool:
        """Whether the rows or columns of `stage` are fewer than a device has room for."""
        lanes, depths = stage.lane.extent.at(self.sizes), stage.depth.extent.at(self.sizes)
        programs = stage.row.extent.at(self.sizes)
        if not stage.in_rows:
            programs *= -(-lanes // COLUMNS.default)
            lanes = min(lanes, COLUMNS.default)
        return programs < _MANY_PROGRAMS and lanes * depths >= _MANY_ELEMENTS

    def _stage(
        self, name: str, stage: Stage, *, resident: bool = False, spread: bool = False
    ) -> list[str]:
        """The lines that launch `stage`."""
        self.spaces.append(stage.row.extent * stage.depth.extent * stage.lane.extent)
        if not stage.passes and not stage.scans:
            return self._launched(name, Pointwise(self.text, self._cheaper(stage)).kernel())
        if resident and self.can_reside(stage):
            return self._allocated(stage) + self._held(name, stage)
        stage = with_moments(self.maker, self._cheaper(stage))
        # The parts of a scan wait for each other.
        few = self._is_few(stage) and not stage.scans
        apart = few or (spread and self.is_long(stage))
        if apart and not is_single(stage):
            stages, kept = unfolded(self.maker, stage, len(self.temporaries))
            self._keep(kept)
            lines = list[str]()
            for number, each in enumerate(stages):
                lines += self._stage(f"{name}_{number}", each, spread=spread)
            return lines
        if apart:
            return self._allocated(stage) + self._split(name, stage)
        if not is_single(stage) and self._row_elements(stage) >= _LONG:
            self.guesses = _LONG_ROWS
        return self._allocated(stage) + self._launched(name, Looped(self.text, stage).kernel())

    def _cheaper(self, stage: Stage) -> Stage:
        inner = {"depth"} if not stage.in_rows else {"depth", "lane", "own"}
        maker = self.maker
        return mapped(stage, lambda e: by_one_load(maker, by_reciprocal(maker, e, inner)))

    # The forms.

    def _tiled(self, name: str, stage: Stage, product: Product, pieces: Pieces) -> list[str]:
        """A matrix product, tile by tile."""
        self.guesses = self.guesses | self._tiles(product)
        nest = ProductNest(self.text, self._multiplied(stage, product), pieces)
        return self._allocated(stage) + self._launched(name, nest.kernel())

    def _divided(self, name: str, stage: Stage, product: Product, pieces: Pieces) -> list[str]:
        """A matrix product in parts of its sums, tile by tile, and then what they come to."""
        self.guesses = self.guesses | self._tiles(product)
        ((fold,),) = stage.passes
        sums = FoldText(fold=fold, number=0, text=self.text)
        (state,) = sums.states
        parts = self.text.unique(partial(state))
        nest = ProductNest(self.text, self._multiplied(stage, product), pieces, parts)
        kernel = nest.kernel()
        steps = f"triton.cdiv({self.text.poly(product.depth.extent)}, TILE_DEPTH)"
        lines = [
            *kernel.before,
            f"{nest.part}s = kw_parts({kernel.grid}, {steps})",
            *self._partials(stage, [sums]),
            self._call(f"{name}_parts", kernel, f"{kernel.grid}, {nest.part}s"),
        ]
        joined = Joined(self.text, self._cheaper(stage))
        return self._allocated(stage) + lines + self._launched(f"{name}_joined", joined.kernel())

    def _multiplied(self, stage: Stage, product: Product) -> Product:
        """The product of `stage`, with what it divides by as a factor."""
        loops = (product.batch, product.block, product.rows, product.columns)
        self.spaces.append(space([v.extent for v in loops]))
        made = mapped(stage, lambda e: by_reciprocal(self.maker, e, {"depth", "right"})).product
        return made or product

    def _tiles(self, product: Product) -> dict[str, int]:
        """A first guess at the tiles of a product."""
        rows, columns = (v.extent.at(self.sizes) for v in (product.rows, product.columns))
        narrow = max(LEAST, power(int(min(rows, columns))))
        if narrow >= _TILES["TILE_COLUMNS"]:
            few = programs(product, self.sizes, _TILES) < _MANY_PROGRAMS
            return _SMALL_TILES if few else _TILES
        wide = _TILES["TILE_COLUMNS"]
        first, second = (narrow, wide) if rows <= columns else (wide, narrow)
        return _SKINNY_TILES | {"TILE_ROWS": first, "TILE_COLUMNS": second}

    def _flash(self, name: str, stage: Stage, attention: Attention, pieces: Pieces) -> list[str]:
        """Attention, some queries at a time."""
        product = stage.product
        assert product is not None
        loops = (product.batch, product.rows, product.columns)
        self.spaces.append(space([v.extent for v in loops]))
        if product.rows.extent.at(self.sizes) <= LEAST:
            return self._decoded(name, with_shared_keys(self.maker, stage), pieces)
        nest = AttentionNest(self.text, attention, product, pieces)
        return self._allocated(stage) + self._launched(name, nest.kernel())

    def _decoded(self, name: str, stage: Stage, pieces: Pieces) -> list[str]:
        """Attention of few queries, in parts of the keys, and then what they come to."""
        attention, product = stage.attention, stage.product
        assert attention is not None
        assert product is not None
        self.guesses = self.guesses | _FEW_QUERIES
        nest = AttentionParts(self.text, attention, product, pieces)
        kernel, parts = nest.kernel(), f"{nest.part}s"
        steps = f"triton.cdiv({self.text.poly(product.depth.extent)}, {kernel.tile['KEYS']})"
        lines = [*kernel.before, f"{parts} = kw_parts({kernel.grid}, {steps})"]
        for tensor, size in nest.tensors.items():
            self.text.partials[tensor] = None
            count = f"{parts} * {grouped(self.text.poly(size))}"
            lines.append(f"{tensor} = torch.empty({count}, dtype=torch.float32, {self.device})")
        lines.append(self._call(f"{name}_parts", kernel, f"{kernel.grid}, {parts}"))
        joined = AttentionJoined(self.text, attention, product, pieces).kernel()
        return self._allocated(stage) + lines + self._launched(f"{name}_joined", joined)

    def _launched(self, name: str, kernel: Kernel) -> list[str]:
        return [*kernel.before, self._call(name, kernel, kernel.grid)]

    def _held(self, name: str, stage: Stage) -> list[str]:
        """Rows as a whole where they are short enough, else tile by tile."""
        # On an H100 rows of 4,096 are fastest with 16 warps.
        self.guesses = self.guesses | self._warps(stage, 256)
        nest = Whole(self.text, self._cheaper(stage))
        held = self._launched(f"{name}_whole", nest.kernel())
        longer = Looped(self.text, with_moments(self.maker, self._cheaper(stage)))
        walked = self._launched(name, longer.kernel())
        return [f"if {nest.condition()}:", *indented(held), "else:", *indented(walked)]

    def _together(self, name: str, stage: Stage) -> list[str]:
        """Rows that several programs hold together where a device can, else tile by tile."""
        otherwise = self._stage(name, stage)
        self.guesses = self.guesses | _TOGETHER
        stage = with_moments(self.maker, self._cheaper(stage))
        nest = Together(self.text, stage)
        kernel = nest.kernel()
        held = [
            *self._allocated(stage),
            *kernel.before,
            *self._partials(stage, [f for folds in nest.folds for f in folds]),
            *nest.cleared(self.device),
            self._call(f"{name}_together", kernel, kernel.grid),
        ]
        on_device = f"{self.device.partition('=')[2]}.type == 'cuda'"
        condition = f"{on_device} and {nest.condition()}"
        return [f"if {condition}:", *indented(held), "else:", *indented(otherwise)]

    def _split(self, name: str, stage: Stage) -> list[str]:
        """Parts of rows or columns, and then what they come to."""
        nest = Parts(self.text, stage)
        kernel, part = nest.kernel(), f"{self.text.unique('part')}s"
        return [
            *kernel.before,
            f"{part} = kw_parts({kernel.grid}, {nest.steps()})",
            *self._partials(stage, nest.folds[0]),
            self._call(f"{name}_parts", kernel, f"{kernel.grid}, {part}"),
            *self._launched(f"{name}_joined", Joined(self.text, stage).kernel()),
        ]

    def _partials(self, stage: Stage, folds: Sequence[FoldText]) -> list[str]:
        """Memory for what every part comes to."""
        part, size = f"{self.text.unique('part')}s", self.text.poly(results(stage))
        count = part if size == "1" else f"{part} * {grouped(size)}"
        lines = []
        for state in [s for fold in folds for s in fold.states]:
            tensor = self.text.unique(partial(state))
            self.text.partials[tensor] = None
            kind = f"dtype=torch.{state.dtype}"
            lines.append(f"{tensor} = torch.empty({count}, {kind}, {self.device})")
        return lines

    def _beside(self, name: str, rows: Stage, columns: Stage) -> list[str]:
        """Rows, and what is brought together down their columns, in one go if there is room."""
        if not self.can_reside(rows) or not Across.fits_lanes(rows, self.sizes):
            return []
        found = beside(self.maker, rows, columns)
        if found is None:
            return []
        # What only the columns need of a row is not written where they come with it.
        others = [s for s in self.plan.stages if s is not columns]
        read = {t for s in others for t in tensors_read(self.maker, s)}
        unread = set(self.temporaries) - read
        lean = replace(rows, stores=tuple(s for s in rows.stores if s.target not in unread))
        inner = {"depth", "lane", "own"}
        found = mapped(found, lambda e: by_reciprocal(self.maker, e, inner))
        self.guesses = _ACROSS | self._warps(rows, 512)
        nest = Across(self.text, self._cheaper(lean), columns=found)
        kernel, part = nest.kernel(), f"{self.text.unique('part')}s"
        begin = nest.column_folds[0].number
        together = [
            *self._allocated(lean),
            *kernel.before,
            f"{part} = {kernel.grid}",
            *self._partials(columns, nest.column_folds),
            self._call(f"{name}_across", kernel, part),
            *self._launched(
                f"{name}_joined",
                Joined(self.text, self._cheaper(columns), begin_folds=begin).kernel(),
            ),
        ]
        apart = [*self._stage(name, rows), *self._stage(f"{name}_columns", columns)]
        return [f"if {nest.condition()}:", *indented(together), "else:", *indented(apart)]

    def _call(self, name: str, kernel: Kernel, grid: str) -> str:
        """The line that launches `kernel`, whose text is kept."""
        name, body = self.text.unique(name), "\n".join(kernel.body)
        constants = (["INDEX"] if re.search(r"\bINDEX\b", body) else []) + list(kernel.tile)
        parameters = [*self._used(body), *(f"{c}: tl.constexpr" for c in constants)]
        self.kernels.append(
            "\n".join(
                ["@triton.jit", f"def {name}({', '.join(parameters)}):", *indented(kernel.body)]
            )
        )
        tile = {"INDEX": self.text.unique("index")} | kernel.tile
        given = [*self._used(body), *(f"{c}={tile[c]}" for c in constants)]
        given += [f"num_warps={kernel.warps}", *kernel.options]
        return f"{name}[({grid},)]({', '.join(given)})"

    def _used(self, body: str) -> list[str]:
        """The tensors, numbers and sizes that a kernel's body names."""
        text = self.text
        known = [*text.tensors.values(), *text.partials, *text.axes.values(), *text.sizes.values()]
        parts = f"{text.unique('part')}s"
        free = [parts] if not re.search(rf"^\s*{parts} =", body, re.MULTILINE) else []
        return [n for n in [*known, *free] if re.search(rf"\b{n}\b", body)]

    def _keep(self, temporaries: Sequence[Temporary]) -> None:
        for temporary in temporaries:
            name = self.text.unique(temporary.name)
            self.text.tensors[temporary.name] = name
            self.text.taken.add(name)  # of `kept_1` the first element read is `kept_10`
            self.text.stored[temporary.name] = temporary.dtype
            self.temporaries[temporary.name] = temporary

    def _allocated(self, stage: Stage) -> list[str]:
        """Memory for what `stage` keeps for others."""
        lines = []
        for store in stage.stores:
            if (found := self.temporaries.get(store.target)) is not None:
                name, size = self.text.tensors[found.name], self.text.poly(found.elements)
                kind = f"dtype=torch.{found.dtype}"
                lines.append(f"{name} = torch.empty({size}, {kind}, {self.device})")
        return lines

    @property
    def tunables(self) -> tuple[Tunable, ...]:
        """Those that the text uses, with the first guesses that fit the stages."""
        written = "\n".join([*self.kernels, *self.launches])
        written += " PROGRAMS" if "kw_parts" in written else ""
        return tuple(
            t.model_copy(update={"default": self.guesses.get(t.name, t.default)})
            for t in (*ATTENTION, *TILES, BLOCK, NUM_WARPS, COLUMNS, PROGRAMS)
            if re.search(rf"\b{t.name}\b", written)
        )

    def _warps(self, stage: Stage, elements: int) -> dict[str, int]:
        """A first guess at warps, each of which holds so many `elements` of a row."""
        wanted = max(-(-self._row_elements(stage) // elements), self.guesses["NUM_WARPS"])
        return {"NUM_WARPS": next((w for w in (8, 16) if wanted <= w), 32)}

    def _row_elements(self, stage: Stage) -> int:
        """How many elements a row has, where it is not its columns that are brought together."""
        return (stage.depth.extent * stage.lane.extent).at(self.sizes) if stage.in_rows else 0
