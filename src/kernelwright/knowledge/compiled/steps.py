"""The steps of a generated ``call`` as the lines of an entry point: memory for what kernels keep
for each other, and their calls. What a line looks like is for each language to say."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from kernelwright.core.problem import DType, Problem, TensorSpec
from kernelwright.knowledge.compiled.layouts import contiguous, elements, poly, rows, span
from kernelwright.knowledge.compiled.parts import (
    Allocated,
    Launched,
    Layout,
    Module,
    Named,
    NoSeed,
    View,
)
from kernelwright.knowledge.sketches.poly import ZERO, Poly


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a tensor is: in the memory that `root` names, from an offset on. An input has no layout
    but the one that it is seen in."""

    root: str
    dtype: DType
    offset: Poly = ZERO
    layout: Layout | None = None


class Entry(ABC):
    """Writes the entry point that does the steps of `module`, whose tensors are `inputs`, by
    `TensorSpec` name. What stands for them is called as in `tensors`, and nothing else as anything
    in `taken`."""

    def __init__(
        self,
        problem: Problem,
        inputs: Sequence[str],
        module: Module,
        tensors: Mapping[str, str],
        taken: set[str],
    ) -> None:
        if len(inputs) != len(module.arguments):
            raise NoSeed(
                f"torch.compile generates code for {len(module.arguments)} tensors, and the "
                f"problem has {len(inputs)}."
            )
        self._problem, self._module = problem, module
        self._outputs = [tensors[spec.name] for spec in problem.outputs]
        self._taken = taken
        self._places: dict[str, Place] = {}  # what each name of ``call`` stands for
        self._roots: dict[str, str] = {}  # what the memory is called here
        self._inputs: set[str] = set()
        specs = {spec.name: spec for spec in problem.inputs}
        for argument, name in zip(module.arguments, inputs, strict=True):
            self._places[argument] = Place(root=argument, dtype=specs[name].dtype)
            self._roots[argument] = tensors[name]
            self._inputs.add(argument)

    def lines(self) -> list[str]:
        """All of them.

        Raises:
            NoSeed: an input is written to, or a tensor is laid out in a way that is not known.
        """
        for step in self._module.steps:
            self._place(step)
        outputs = zip(self._outputs, self._problem.outputs, self._module.results, strict=True)
        copied = [each for each in outputs if not self._given_as(*each)]
        lines = [line for step in self._module.steps for line in self._step(step)]
        return [*lines, *(line for each in copied for line in self._from_elsewhere(*each))]

    @abstractmethod
    def _new(self, name: str, step: Allocated) -> Iterator[str]:
        """The lines that call memory for a tensor by `name`."""

    @abstractmethod
    def _called(self, step: Launched) -> str:
        """The line that calls a kernel."""

    @abstractmethod
    def _copied(self, output: str, place: Place, layout: Layout) -> Iterator[str]:
        """The lines that copy what is at `place`, seen in `layout`, to an output."""

    def _place(self, step: Allocated | Named | Launched) -> None:
        match step:
            case Allocated():
                self._places[step.name] = Place(
                    root=step.name, dtype=step.dtype, layout=step.layout
                )
            case Named():
                self._places[step.name] = self._seen(step.view)

    def _seen(self, view: View) -> Place:
        place = self._places.get(view.name)
        if place is None:
            raise NoSeed(f"torch.compile uses {view.name}, which its code does not make.")
        if view.layout is None:
            return place
        return Place(
            root=place.root,
            dtype=place.dtype,
            offset=place.offset + poly(view.layout.offset),
            layout=view.layout,
        )

    def _given_as(self, output: str, spec: TensorSpec, view: View) -> bool:
        """Whether the memory of an output can be the one that `view` is in; then it is from now."""
        place = self._seen(view)
        whole = (
            place.root not in self._roots
            and place.dtype == spec.dtype
            and place.offset == ZERO
            and place.layout is not None
            and contiguous(place.layout)
            and elements(place.layout) == span(self._memory(place.root))
        )
        if whole:
            self._roots[place.root] = output
        return whole

    def _memory(self, root: str) -> Layout:
        layout = self._places[root].layout
        assert layout is not None
        return layout

    def _step(self, step: Allocated | Named | Launched) -> Iterator[str]:
        match step:
            case Allocated() if step.name not in self._roots:
                yield from self._allocated(step)
            case Launched():
                yield self._called(step)

    def _allocated(self, step: Allocated) -> Iterator[str]:
        name = step.name
        while name in self._taken:
            name += "_"
        self._taken.add(name)
        self._roots[step.name] = name
        yield from self._new(name, step)

    def _tensors(self, step: Launched, written: Sequence[bool]) -> list[Place]:
        """Where the tensors are that a kernel is given, which writes to some of its arguments."""
        places = []
        for given, is_written in zip(step.arguments, written, strict=True):
            if not isinstance(given, View):
                continue
            place = self._seen(given)
            if is_written and place.root in self._inputs:
                raise NoSeed(
                    f"{step.kernel}, which torch.compile generates, writes to the input "
                    f"{self._roots[place.root]}, and a candidate may not."
                )
            places.append(place)
        return places

    def _from_elsewhere(self, output: str, spec: TensorSpec, view: View) -> Iterator[str]:
        """An output that is a view of something else, element by element."""
        place = self._seen(view)
        if place.dtype != spec.dtype:
            raise NoSeed(f"torch.compile returns {output} as {place.dtype}, not as {spec.dtype}.")
        yield from self._copied(output, place, place.layout or rows(spec))
