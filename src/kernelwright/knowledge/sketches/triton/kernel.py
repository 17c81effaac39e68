"""A whole Triton candidate: kernels for each stage of a plan, and the module that calls them."""

from __future__ import annotations

import importlib.resources
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from kernelwright.core.candidate import Candidate, Tunable
from kernelwright.core.graph import Extent
from kernelwright.core.problem import Problem, Source, TensorSpec
from kernelwright.knowledge.sketches.poly import Poly, product
from kernelwright.knowledge.sketches.rewrites import by_reciprocal
from kernelwright.knowledge.sketches.site import NoSketch
from kernelwright.knowledge.sketches.stages import Plan, Stage, Temporary, mapped
from kernelwright.knowledge.sketches.text import grouped
from kernelwright.knowledge.sketches.triton.across import Across, beside, tensors_read
from kernelwright.knowledge.sketches.triton.folds import FoldText, with_moments
from kernelwright.knowledge.sketches.triton.nests import Kernel, Looped, Pointwise, indented
from kernelwright.knowledge.sketches.triton.resident import Whole
from kernelwright.knowledge.sketches.triton.split import Joined, Parts, partial, results
from kernelwright.knowledge.sketches.triton.text import TritonText
from kernelwright.knowledge.sketches.triton.unfold import is_single, unfolded
from kernelwright.problems.sizes import explain

FILE = "kernel.py"
CLASS = "ModelNew"

BLOCK = Tunable(name="BLOCK", choices=(512, 1024, 2048, 4096, 8192), default=1024)
NUM_WARPS = Tunable(name="NUM_WARPS", choices=(2, 4, 8, 16, 32), default=4)
COLUMNS = Tunable(name="COLUMNS", choices=(32, 64, 128, 256), default=128)
PROGRAMS = Tunable(name="PROGRAMS", choices=(128, 256, 512, 1024), default=512)
_MEANING = {
    "BLOCK": "elements that a program works on at once, unless it holds longer rows",
    "NUM_WARPS": "warps of a program",
    "COLUMNS": "neighbouring columns that a program brings together",
    "PROGRAMS": "programs that few rows or columns are shared among",
}

# First guesses where rows are brought together; where a program keeps results of all columns as
# well; and where rows are so long that they are read from memory again and again.
_ROWS = {"BLOCK": 2048, "NUM_WARPS": 8}
_ACROSS = _ROWS | {"PROGRAMS": 256}
_LONG_ROWS = {"BLOCK": 4096, "NUM_WARPS": 8}
_LONG = 65536

# Fewer programs than this leave much of a device idle, if each has more elements than a few.
_MANY_PROGRAMS = 264
_MANY_ELEMENTS = 8192


def resident(problem: Problem, plan: Plan) -> Candidate | None:
    """A row is held by one program as a whole; None where no stage has such rows."""
    draft = _Draft(problem, plan)
    if not any(draft.can_reside(stage) for stage in plan.stages):
        return None
    return draft.candidate(resident=True)


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
        self.device = _device(self.problem, self.text)
        self.temporaries: dict[str, Temporary] = {}
        self.spaces: list[Poly] = []
        self.guesses = _ROWS if any(s.passes for s in self.plan.stages) else {}

    def candidate(self, *, resident: bool = False, spread: bool = False) -> Candidate:
        """The plan with its stages in the forms that fit the sizes that will be timed."""
        self._keep(self.plan.temporaries)
        left = list(enumerate(self.plan.stages))
        while left:
            number, stage = left.pop(0)
            name = f"kw_stage_{number}"
            lines = self._beside(name, stage, left[0][1]) if resident and left else []
            if lines:
                left.pop(0)
            else:
                lines = self._stage(name, stage, resident=resident, spread=spread)
            self.launches += lines
        return _candidate(self)

    # Which form a stage takes.

    def can_reside(self, stage: Stage) -> bool:
        """Whether a program can hold a row of `stage`, and has a reason to."""
        if not stage.passes or (not stage.in_rows and is_single(stage)):
            return False
        return Whole(self.text, stage).fits(self.sizes)

    def is_long(self, stage: Stage) -> bool:
        """Whether rows of `stage` are read more than once, and never held."""
        return bool(stage.passes) and not is_single(stage) and not self.can_reside(stage)

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
        if not stage.passes:
            return self._launched(name, Pointwise(self.text, self._cheaper(stage)).kernel())
        if resident and self.can_reside(stage):
            return self._allocated(stage) + self._held(name, stage)
        stage = with_moments(self.maker, self._cheaper(stage))
        apart = self._is_few(stage) or (spread and self.is_long(stage))
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
        return mapped(stage, lambda e: by_reciprocal(self.maker, e, inner))

    # The forms.

    def _launched(self, name: str, kernel: Kernel) -> list[str]:
        return [*kernel.before, self._call(name, kernel, kernel.grid)]

    def _held(self, name: str, stage: Stage) -> list[str]:
        """Rows as a whole where they are short enough, else tile by tile."""
        # On an H100 rows of 4,096 are fastest with 16 warps, and with 8 where a position is sought.
        places = any(f.kind.startswith("arg") for each in stage.passes for f in each)
        self.guesses = self.guesses | self._warps(stage, 512 if places else 256)
        nest = Whole(self.text, self._cheaper(stage))
        held = self._launched(f"{name}_whole", nest.kernel())
        longer = Looped(self.text, with_moments(self.maker, self._cheaper(stage)))
        walked = self._launched(name, longer.kernel())
        return [f"if {nest.condition()}:", *indented(held), "else:", *indented(walked)]

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
        given = [*self._used(body), *(f"{c}={tile[c]}" for c in constants), "num_warps=NUM_WARPS"]
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
            self.text.tensors[temporary.name] = self.text.unique(temporary.name)
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
            for t in (BLOCK, NUM_WARPS, COLUMNS, PROGRAMS)
            if re.search(rf"\b{t.name}\b", written)
        )

    def _warps(self, stage: Stage, elements: int) -> dict[str, int]:
        """A first guess at warps, each of which holds so many `elements` of a row."""
        wanted = max(-(-self._row_elements(stage) // elements), self.guesses["NUM_WARPS"])
        return {"NUM_WARPS": next((w for w in (8, 16) if wanted <= w), 32)}

    def _row_elements(self, stage: Stage) -> int:
        """How many elements a row has, where it is not its columns that are brought together."""
        return (stage.depth.extent * stage.lane.extent).at(self.sizes) if stage.in_rows else 0


def _candidate(draft: _Draft) -> Candidate:
    problem, tunables = draft.problem, draft.tunables
    for tunable in tunables:
        if re.search(rf"^{tunable.name}\b", problem.reference.text, re.MULTILINE):
            raise NoSketch(f"The reference has a constant {tunable.name} of its own.")
    module = _module(draft)
    written = "\n".join([*draft.kernels, module])
    parts = [
        "# The program that this file replaces; its constructor and its weights are kept.\n"
        + problem.reference.text.strip(),
        "import operator\n\nimport torch\nimport torch.nn as nn\nimport triton\n"
        "import triton.language as tl",
        *("\n".join(_tunable_lines(t)) for t in tunables),
        *pieces(written),
        *draft.kernels,
        module,
    ]
    return Candidate(
        problem_id=problem.id,
        language="triton",
        lane="module",
        source=Source(files={FILE: "\n\n".join(parts) + "\n"}, entry_point=f"{FILE}::{CLASS}"),
        tunables=tunables,
    )


def _tunable_lines(tunable: Tunable) -> list[str]:
    choices = ", ".join(map(str, tunable.choices))
    return [
        f"# {_MEANING[tunable.name]}",
        f"# tunable: {tunable.name} = {tunable.default} in {{{choices}}}",
        f"{tunable.name} = {tunable.default}",
    ]


def _module(draft: _Draft) -> str:
    """The class: the reference's constructor, and a forward that launches the kernels."""
    problem, text = draft.problem, draft.text
    names = text.tensors
    given = [names[s.name] for s in problem.inputs if s.role != "weight"]
    weights = [names[s.name] for s in problem.inputs if s.role == "weight"]
    lines = [f"class {CLASS}({problem.reference.name}):"]
    if weights:
        lines += indented(_constructor())
    lines.append(f"    def forward(self, {', '.join(given)}):")
    work = _allocated(draft) + draft.launches
    if any("INDEX=" in line for line in work):
        work.insert(0, _index(draft))
    sizes = _sizes(text, "\n".join(work))
    body = _unpacked(problem, weights, names)
    body += _axes(problem, text, "\n".join([*sizes, *work])) + sizes + work
    outputs = ", ".join(names[s.name] for s in problem.outputs)
    lines += indented(indented([*body, f"return {outputs}"]))
    return "\n".join(lines)


def _sizes(text: TritonText, work: str) -> list[str]:
    """What kernels and launches need that is more than an axis."""
    return [
        f"{name} = {size.text(text.axes, text.division)}"
        for size, name in text.sizes.items()
        if re.search(rf"\b{name}\b", work)
    ]


def _index(draft: _Draft) -> str:
    """The type of positions, from the number of elements of whatever is read, written or walked."""
    problem, text = draft.problem, draft.text
    found = [_elements(s) for s in (*problem.inputs, *problem.outputs) if s.role != "scalar"]
    by_text = {s.text(text.axes, text.division): s for s in [*found, *draft.spaces]}
    sizes = ", ".join(
        name
        for name, size in by_text.items()
        if not any(_is_part(size, other) for other in by_text.values() if other is not size)
    )
    return f"{text.unique('index')} = kw_index({sizes})"


def _elements(spec: TensorSpec) -> Poly:
    return product([Poly.axis(d) if isinstance(d, str) else Poly.number(d) for d in spec.shape])


def _is_part(size: Poly, other: Poly) -> bool:
    """Whether `other` is certainly a multiple of `size`, and so never smaller."""
    ratio = other / size
    return ratio is not None and ratio.whole and ratio.never_negative


def _constructor() -> list[str]:
    return [
        "def __init__(self, *args, **kwargs):",
        "    super().__init__(*args, **kwargs)",
        "    # Each tensor once, by the first of its names, in the order of the state_dict.",
        "    state = self.state_dict(keep_vars=True)",
        "    names = {id(v): n for n, v in reversed(state.items()) if isinstance(v, torch.Tensor)}",
        "    ordered = [n for n in state if n in names.values()]",
        "    self.kw_weights = [operator.attrgetter(n) for n in ordered]",
        "",
    ]


def _unpacked(problem: Problem, weights: list[str], names: dict[str, str]) -> list[str]:
    lines = []
    if weights:
        listed = ", ".join(weights) + ("," if len(weights) == 1 else "")
        lines.append(f"{listed} = [get(self).contiguous() for get in self.kw_weights]")
    lines += [
        f"{names[s.name]} = {names[s.name]}.contiguous()"
        for s in problem.inputs
        if s.role == "input"
    ]
    return lines


def _axes(problem: Problem, text: TritonText, work: str) -> list[str]:
    """Each axis that `work` names, from the shape of the first input that has it."""
    lines = []
    tensors = [s for s in problem.inputs if s.role != "scalar"]
    for axis in [a for a in problem.axes if re.search(rf"\b{text.axes[a]}\b", work)]:
        lines.append(f"{text.axes[axis]} = {_size(problem, text, axis, tensors)}")
    return lines


def _size(problem: Problem, text: TritonText, axis: str, tensors: list[TensorSpec]) -> str:
    """The size of `axis`: a dimension of an input, or what follows from those (half of one)."""

    def given(one: str) -> str | None:
        owner = next((s for s in tensors if one in s.shape), None)
        if owner is None:
            return None
        return f"{text.tensors[owner.name]}.shape[{owner.shape.index(one)}]"

    if (found := given(axis)) is not None:
        return found
    owned = {a: shape for a in problem.axes if (shape := given(a)) is not None}
    values = [w.axes[axis] for w in problem.workloads]
    sizes = [{a: w.axes[a] for a in owned} for w in problem.workloads]
    follows = explain(values, sizes)
    if not isinstance(follows, Extent):
        raise NoSketch(f"No input has the axis {axis}, so a Triton kernel cannot be told it.")
    return Poly.from_extent(follows).text(owned, text.division)


def _device(problem: Problem, text: TritonText) -> str:
    tensors = [s for s in problem.inputs if s.role != "scalar"]
    if not tensors:
        raise NoSketch("The reference takes no tensor, so there is no device to launch on.")
    return f"device={text.tensors[tensors[0].name]}.device"


def _allocated(draft: _Draft) -> list[str]:
    """Memory for the outputs."""
    names = draft.text.tensors
    return [
        f"{names[s.name]} = torch.empty({_shape(s, draft.text)}, dtype=torch.{s.dtype}, "
        f"{draft.device})"
        for s in draft.problem.outputs
    ]


def _shape(spec: TensorSpec, text: TritonText) -> str:
    sizes = [text.axes[d] if isinstance(d, str) else str(d) for d in spec.shape]
    return f"({', '.join(sizes)}{',' if len(sizes) == 1 else ''})"


def pieces(written: str) -> list[str]:
    """The functions of ``pieces.txt`` that `written` uses, and those that they use, in order."""
    text = importlib.resources.files(__package__).joinpath("pieces.txt").read_text()
    functions = text.strip().split("\n\n")[1:]
    names = [re.findall(r"^def (kw_\w+)", f, re.MULTILINE)[0] for f in functions]
    wanted, chosen = set(re.findall(r"\bkw_\w+", written)), set[int]()
    while True:
        more = {n for n, name in enumerate(names) if name in wanted and n not in chosen}
        if not more:
            return [functions[n] for n in sorted(chosen)]
        chosen |= more
        for n in more:
            wanted |= set(re.findall(r"\bkw_\w+", functions[n]))
