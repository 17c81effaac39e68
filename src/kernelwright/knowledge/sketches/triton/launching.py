"""A module while kernels are added to it: what they are given, and the lines that launch them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from kernelwright.core.problem import Problem
from kernelwright.knowledge.sketches.poly import Poly
from kernelwright.knowledge.sketches.rewrites import by_one_load, by_reciprocal
from kernelwright.knowledge.sketches.stages import Plan, Stage, Temporary, mapped
from kernelwright.knowledge.sketches.text import grouped
from kernelwright.knowledge.sketches.triton.folds import FoldText
from kernelwright.knowledge.sketches.triton.module import device
from kernelwright.knowledge.sketches.triton.nests import Kernel, indented
from kernelwright.knowledge.sketches.triton.split import partial, results
from kernelwright.knowledge.sketches.triton.text import TritonText

# Fewer programs than this leave much of a device idle.
MANY_PROGRAMS = 264


@dataclass
class Launching:
    """The texts of the `kernels`, and the lines of the `launches`, in order.

    `temporaries` are tensors that one kernel keeps for others. `guesses` are first guesses at
    tunables, and `spaces` how many elements something is done for.
    """

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
        self.guesses: dict[str, int] = {}
        self.keep(self.plan.temporaries)

    def launched(self, name: str, kernel: Kernel) -> list[str]:
        """The lines that launch `kernel` by itself."""
        return [*kernel.before, self.call(name, kernel, kernel.grid)]

    def call(self, name: str, kernel: Kernel, grid: str) -> str:
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

    def keep(self, temporaries: Sequence[Temporary]) -> None:
        """Give each of `temporaries` a name of its own."""
        for temporary in temporaries:
            name = self.text.unique(temporary.name)
            self.text.tensors[temporary.name] = name
            self.text.taken.add(name)  # of `kept_1` the first element read is `kept_10`
            self.text.stored[temporary.name] = temporary.dtype
            self.temporaries[temporary.name] = temporary

    def allocated(self, stage: Stage) -> list[str]:
        """Memory for what `stage` keeps for others."""
        lines = []
        for store in stage.stores:
            if (found := self.temporaries.get(store.target)) is not None:
                name, size = self.text.tensors[found.name], self.text.poly(found.elements)
                kind = f"dtype=torch.{found.dtype}"
                lines.append(f"{name} = torch.empty({size}, {kind}, {self.device})")
        return lines

    def partials(self, stage: Stage, folds: Sequence[FoldText]) -> list[str]:
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

    def cheaper(self, stage: Stage) -> Stage:
        """`stage` with one load for several, and reciprocals of what loops do not change."""
        inner = {"depth"} if not stage.in_rows else {"depth", "lane", "own"}
        maker = self.maker
        return mapped(stage, lambda e: by_one_load(maker, by_reciprocal(maker, e, inner)))
