"""Which kernels the stages of a plan become in Triton, and how they are launched."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from kernelwright.core.candidate import Candidate, Tunable
from kernelwright.core.problem import Problem
from kernelwright.knowledge.sketches.attended import attended
from kernelwright.knowledge.sketches.expr import Load, walk
from kernelwright.knowledge.sketches.rewrites import by_reciprocal
from kernelwright.knowledge.sketches.stages import Plan, Stage, mapped, tensors_read
from kernelwright.knowledge.sketches.triton.across import Across, beside
from kernelwright.knowledge.sketches.triton.contracted import (
    ATTENTION,
    TILES,
    divided_product,
    flash_attention,
    is_divided,
    is_tiled,
    tiled_product,
)
from kernelwright.knowledge.sketches.triton.folds import with_moments
from kernelwright.knowledge.sketches.triton.launching import MANY_PROGRAMS, Launching
from kernelwright.knowledge.sketches.triton.looped import Looped
from kernelwright.knowledge.sketches.triton.module import Written, candidate
from kernelwright.knowledge.sketches.triton.nests import Pointwise, indented
from kernelwright.knowledge.sketches.triton.packed import is_packed, packed_product
from kernelwright.knowledge.sketches.triton.product import Pieces
from kernelwright.knowledge.sketches.triton.resident import Whole
from kernelwright.knowledge.sketches.triton.split import Joined, Parts
from kernelwright.knowledge.sketches.triton.together import Together
from kernelwright.knowledge.sketches.triton.unfold import is_single, unfolded

# The lines that launch a stage in some form, under a name.
Form = Callable[[Launching, str, Stage, Pieces], list[str]]

BLOCK = Tunable(name="BLOCK", choices=(512, 1024, 2048, 4096, 8192), default=1024)
NUM_WARPS = Tunable(name="NUM_WARPS", choices=(2, 4, 8, 16, 32), default=4)
COLUMNS = Tunable(name="COLUMNS", choices=(32, 64, 128, 256), default=128)
PROGRAMS = Tunable(name="PROGRAMS", choices=(128, 256, 512, 1024), default=512)
# Where an element is made of a window of others, which are loaded one by one: a thread of few
# elements has its loads beside those of the other threads.
WINDOWED = (
    Tunable(name="BLOCK", choices=(128, 256, 512, 1024, 2048), default=128),
    Tunable(name="NUM_WARPS", choices=(1, 2, 4, 8, 16), default=1),
)
_WINDOW = 4
# First guesses where rows are brought together; where a program keeps results of all columns as
# well; and where rows are so long that they are read from memory again and again.
_ROWS = {"BLOCK": 2048, "NUM_WARPS": 8}
_ACROSS = _ROWS | {"PROGRAMS": 256}
_LONG_ROWS = {"BLOCK": 4096, "NUM_WARPS": 8}
_LONG = 65536
_TOGETHER = {"BLOCK": 8192, "NUM_WARPS": 4}
# With few programs a device idles, if each has more elements than these.
_MANY_ELEMENTS = 8192


def flash(problem: Problem, plan: Plan, pieces: Pieces = "tf32x3") -> Candidate | None:
    """Attention is one kernel that keeps no scores, of float32 in `pieces`, beside products as
    `packed_in_tf32` makes them; None where no stage is attention."""
    if not any(stage.attention for stage in plan.stages):
        return None
    draft = _Draft(problem, attended(plan))
    return draft.candidate(flash=True, packed=True, tiled=pieces, resident=True)


def flash_in_bfloat16(problem: Problem, plan: Plan) -> Candidate | None:
    """As `flash`, of six products of bfloat16."""
    return flash(problem, plan, "bf16x6")


def packed_in_tf32(problem: Problem, plan: Plan) -> Candidate | None:
    """Factors of matrix products are packed first, as tensor cores want them: neighbours along the
    sum, and float32 in two parts of TF32; None where that is worth it for no stage."""
    draft = _Draft(problem, plan)
    if not any(is_packed(draft, stage) for stage in plan.stages):
        return None
    return draft.candidate(packed=True, tiled="tf32x3", resident=True)


def divided(problem: Problem, plan: Plan, pieces: Pieces = "tf32x3") -> Candidate | None:
    """As `tiled`, with several programs for each sum where tiles are few and sums are long; None
    where no stage is like that."""
    draft = _Draft(problem, plan)
    if not any(is_divided(draft, stage) for stage in plan.stages):
        return None
    return draft.candidate(tiled=pieces, divided=True, resident=True)


def divided_in_bfloat16(problem: Problem, plan: Plan) -> Candidate | None:
    """As `divided`, of six products of bfloat16."""
    return divided(problem, plan, "bf16x6")


def tiled(problem: Problem, plan: Plan, pieces: Pieces = "tf32x3") -> Candidate | None:
    """Matrix products are made tile by tile on tensor cores, of float32 in `pieces`; None where no
    stage is one."""
    draft = _Draft(problem, plan)
    if not any(is_tiled(draft, stage) for stage in plan.stages):
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


class _Draft(Launching):
    """A candidate while its stages become kernels."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.guesses = _ROWS if any(s.passes or s.scans for s in self.plan.stages) else {}

    def candidate(
        self,
        *,
        flash: bool = False,
        packed: bool = False,
        tiled: Pieces | None = None,
        divided: bool = False,
        resident: bool = False,
        together: bool = False,
        spread: bool = False,
    ) -> Candidate:
        """The plan with its stages in the forms that fit the sizes that will be timed."""
        left = list(enumerate(self.plan.stages))
        while left:
            number, stage = left.pop(0)
            name = f"kw_stage_{number}"
            attention = flash and stage.attention is not None
            if packed and not attention and is_packed(self, stage):
                self.launches += packed_product(self, name, stage)
                continue
            if tiled and (form := self._contracted(stage, attention, divided=divided)):
                self.launches += form(self, name, stage, tiled)
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

    def _contracted(self, stage: Stage, attention: bool, *, divided: bool) -> Form | None:
        """The form of a stage for tensor cores, of one that is made as `attention` or not; None
        where it is nothing for them."""
        if attention:
            return flash_attention
        if not is_tiled(self, stage):
            return None
        return divided_product if divided and is_divided(self, stage) else tiled_product

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
        return programs < MANY_PROGRAMS and lanes * depths >= _MANY_ELEMENTS

    def _stage(
        self, name: str, stage: Stage, *, resident: bool = False, spread: bool = False
    ) -> list[str]:
        """The lines that launch `stage`."""
        self.spaces.append(stage.row.extent * stage.depth.extent * stage.lane.extent)
        if not stage.passes and not stage.scans:
            return self.launched(name, Pointwise(self.text, self.cheaper(stage)).kernel())
        if resident and self.can_reside(stage):
            return self.allocated(stage) + self._held(name, stage)
        stage = with_moments(self.maker, self.cheaper(stage))
        # The parts of a scan wait for each other.
        few = self._is_few(stage) and not stage.scans
        apart = few or (spread and self.is_long(stage))
        if apart and not is_single(stage):
            stages, kept = unfolded(self.maker, stage, len(self.temporaries))
            self.keep(kept)
            lines = list[str]()
            for number, each in enumerate(stages):
                lines += self._stage(f"{name}_{number}", each, spread=spread)
            return lines
        if apart:
            return self.allocated(stage) + self._split(name, stage)
        if not is_single(stage) and self._row_elements(stage) >= _LONG:
            self.guesses = _LONG_ROWS
        return self.allocated(stage) + self.launched(name, Looped(self.text, stage).kernel())

    # The forms.

    def _held(self, name: str, stage: Stage) -> list[str]:
        """Rows as a whole where they are short enough, else tile by tile."""
        # On an H100 rows of 4,096 are fastest with 16 warps.
        self.guesses = self.guesses | self._warps(stage, 256)
        nest = Whole(self.text, self.cheaper(stage))
        held = self.launched(f"{name}_whole", nest.kernel())
        longer = Looped(self.text, with_moments(self.maker, self.cheaper(stage)))
        walked = self.launched(name, longer.kernel())
        return [f"if {nest.condition()}:", *indented(held), "else:", *indented(walked)]

    def _together(self, name: str, stage: Stage) -> list[str]:
        """Rows that several programs hold together where a device can, else tile by tile."""
        otherwise = self._stage(name, stage)
        self.guesses = self.guesses | _TOGETHER
        stage = with_moments(self.maker, self.cheaper(stage))
        nest = Together(self.text, stage)
        kernel = nest.kernel()
        held = [
            *self.allocated(stage),
            *kernel.before,
            *self.partials(stage, [f for folds in nest.folds for f in folds]),
            *nest.cleared(self.device),
            self.call(f"{name}_together", kernel, kernel.grid),
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
            *self.partials(stage, nest.folds[0]),
            self.call(f"{name}_parts", kernel, f"{kernel.grid}, {part}"),
            *self.launched(f"{name}_joined", Joined(self.text, stage).kernel()),
        ]

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
        nest = Across(self.text, self.cheaper(lean), columns=found)
        kernel, part = nest.kernel(), f"{self.text.unique('part')}s"
        begin = nest.column_folds[0].number
        together = [
            *self.allocated(lean),
            *kernel.before,
            f"{part} = {kernel.grid}",
            *self.partials(columns, nest.column_folds),
            self.call(f"{name}_across", kernel, part),
            *self.launched(
                f"{name}_joined",
                Joined(self.text, self.cheaper(columns), begin_folds=begin).kernel(),
            ),
        ]
        apart = [*self._stage(name, rows), *self._stage(f"{name}_columns", columns)]
        return [f"if {nest.condition()}:", *indented(together), "else:", *indented(apart)]

    @property
    def tunables(self) -> tuple[Tunable, ...]:
        """Those that the text uses, with the first guesses that fit the stages."""
        written = "\n".join([*self.kernels, *self.launches])
        written += " PROGRAMS" if "kw_parts" in written else ""
        of_elements = WINDOWED if self._windowed() else (BLOCK, NUM_WARPS)
        return tuple(
            t.model_copy(update={"default": self.guesses.get(t.name, t.default)})
            for t in (*ATTENTION, *TILES, *of_elements, COLUMNS, PROGRAMS)
            if re.search(rf"\b{t.name}\b", written)
        )

    def _windowed(self) -> bool:
        """Whether all there is are elements made of windows, written out."""
        stages = self.plan.stages
        return all(not s.passes and not s.scans and self._reads(s) >= _WINDOW for s in stages)

    def _reads(self, stage: Stage) -> int:
        """How often an element of `stage` reads one tensor at most."""
        read = walk(self.maker, [s.value for s in stage.stores])
        return max(
            Counter(e.form.tensor for e in read if isinstance(e.form, Load)).values(), default=0
        )

    def _warps(self, stage: Stage, elements: int) -> dict[str, int]:
        """A first guess at warps, each of which holds so many `elements` of a row."""
        wanted = max(-(-self._row_elements(stage) // elements), self.guesses["NUM_WARPS"])
        return {"NUM_WARPS": next((w for w in (8, 16) if wanted <= w), 32)}

    def _row_elements(self, stage: Stage) -> int:
        """How many elements a row has, where it is not its columns that are brought together."""
        return (stage.depth.extent * stage.lane.extent).at(self.sizes) if stage.in_rows else 0
