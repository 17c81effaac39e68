"""The body of the entry point: memory for what kernels keep for each other, and their calls."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from kernelwright.core.problem import DType, Problem, TensorSpec
from kernelwright.knowledge.compiled.functions import MANY, Function
from kernelwright.knowledge.compiled.layouts import Numbers, contiguous, elements, poly, rows, span
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
from kernelwright.languages.signature import C_TYPES, Signature, signature


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a tensor is: in the memory that `root` names, from an offset on. An input has no layout
    but the one that it is seen in."""

    root: str
    dtype: DType
    offset: Poly = ZERO
    layout: Layout | None = None


def entry_lines(
    problem: Problem, inputs: Sequence[str], module: Module, kernels: Mapping[str, Function]
) -> list[str]:
    """The lines of the entry point that does the steps of `module`; `inputs` are its tensors, by
    `TensorSpec` name.

    Raises:
        NoSeed: an input is written to, or a tensor is laid out in a way that is not known.
    """
    return _Entry(problem, inputs, module, kernels).lines()


class _Entry:
    """Writes one entry point. `_places` has what each name of ``call`` stands for."""

    def __init__(
        self,
        problem: Problem,
        inputs: Sequence[str],
        module: Module,
        kernels: Mapping[str, Function],
    ) -> None:
        if len(inputs) != len(module.arguments):
            raise NoSeed(
                f"torch.compile generates code for {len(module.arguments)} tensors, and the "
                f"problem has {len(inputs)}."
            )
        self._problem, self._module, self._kernels = problem, module, kernels
        sig = signature(problem)
        self._numbers = Numbers(
            names=dict(zip(problem.axes, (p.name for p in sig.sizes), strict=True))
        )
        self._places: dict[str, Place] = {}
        self._roots: dict[str, str] = {}  # what the memory is called here
        self._inputs: set[str] = set()
        self._take_inputs(sig, dict(zip(module.arguments, inputs, strict=True)))
        self._outputs = [p.name for p in sig.outputs]
        self._taken = {*sig.names, *kernels, MANY}

    def _take_inputs(self, sig: Signature, inputs: Mapping[str, str]) -> None:
        specs = {p.spec.name: (p.spec, p.name) for p in sig.inputs if p.spec}
        for argument, name in inputs.items():
            spec, called = specs[name]
            self._places[argument] = Place(root=argument, dtype=spec.dtype)
            self._roots[argument] = called
            self._inputs.add(argument)

    def lines(self) -> list[str]:
        """All of them."""
        for step in self._module.steps:
            self._place(step)
        outputs = zip(self._outputs, self._problem.outputs, self._module.results, strict=True)
        copied = [each for each in outputs if not self._given_as(*each)]
        lines = [line for step in self._module.steps for line in self._step(step)]
        return [*lines, *(line for each in copied for line in self._copied(*each))]

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
                yield self._launched(step)

    def _allocated(self, step: Allocated) -> Iterator[str]:
        name = step.name
        while name in self._taken:
            name += "_"
        self._taken.add(name)
        self._roots[step.name] = name
        kind, count = C_TYPES[step.dtype], span(step.layout).text(self._numbers.names)
        memory = f"new {kind}[static_cast<std::size_t>({count})]"
        yield f"const std::unique_ptr<{kind}[]> {name}_memory({memory});"
        yield f"{kind}* const {name} = {name}_memory.get();"

    def _launched(self, step: Launched) -> str:
        kernel = self._kernels[step.kernel]
        places = [self._seen(view) for view in step.arguments]
        for place, constant in zip(places, kernel.constant, strict=True):
            if place.root in self._inputs and not constant:
                raise NoSeed(
                    f"{step.kernel}, which torch.compile generates, writes to the input "
                    f"{self._roots[place.root]}, and a candidate may not."
                )
        given = [*(self._pointer(place) for place in places), *kernel.more]
        return f"{step.kernel}({', '.join(given)});"

    def _pointer(self, place: Place) -> str:
        root = self._roots[place.root]
        return root if place.offset == ZERO else f"{root} + {self._text(place.offset)}"

    def _text(self, number: Poly) -> str:
        text = number.text(self._numbers.names)
        return text if text.isalnum() else f"({text})"

    def _copied(self, output: str, spec: TensorSpec, view: View) -> Iterator[str]:
        """An output that is a view of something else, element by element."""
        place = self._seen(view)
        layout = place.layout or rows(spec)
        if place.dtype != spec.dtype:
            raise NoSeed(f"torch.compile returns {output} as {place.dtype}, not as {spec.dtype}.")
        to, source, indent = "0", "0", ""
        for at, (size, stride) in enumerate(zip(layout.sizes, layout.strides, strict=True)):
            count = self._text(poly(size))
            yield f"{indent}for (int64_t i{at} = 0; i{at} < {count}; ++i{at})"
            to = f"({to}) * {count} + i{at}"
            source += f" + {self._text(poly(stride))} * i{at}"
            indent += "    "
        yield f"{indent}{output}[{to}] = ({self._pointer(place)})[{source}];"
