"""One module for all sizes, from the modules that were generated at some: its numbers know their
axes, as those of a traced graph do."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from kernelwright.core.compiled import Compiled
from kernelwright.core.graph import Extent, Size, Unexplained
from kernelwright.knowledge.compiled.parts import (
    Allocated,
    Launched,
    Layout,
    Module,
    Named,
    NoSeed,
    Step,
    View,
)
from kernelwright.problems.sizes import explain

# A number of C++, without the letters behind it that say its type.
_NUMBER = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)[LUf]*(?![\w.])")
_OFFSETS = (0, 1, -1, 2, -2)
_PRAGMA = re.compile(r"^[ \t]*#pragma .*$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Scalar:
    """In the place of a number: a float that the caller gives, by its name."""

    name: str


# A kernel's source: its text, and what stands in place of numbers that follow from the sizes.
Piece = str | Extent | Scalar


def free_names(
    source: Sequence[Piece], wanted: Mapping[str, str], taken: Iterable[str]
) -> dict[str, str]:
    """For what is `wanted`, by key, the name that it has there, or one like it that neither
    `source` nor `taken` has for something else."""
    text = " ".join(piece for piece in source if isinstance(piece, str))
    used = {*re.findall(r"\w+", text), *taken}
    names = {}
    for key, name in wanted.items():
        while name in used:
            name += "_"
        names[key] = name
        used.add(name)
    return names


@dataclass(frozen=True, kw_only=True)
class Joined:
    """A module for all sizes. `module.kernels` are the sources at the report's sizes."""

    module: Module
    kernels: Mapping[str, tuple[Piece, ...]]


def joined(compiled: Sequence[Compiled], read: Callable[[str], Module]) -> Joined:
    """One module from those at several sizes, of which the first are those that are timed.

    Of the modules the largest number that differ in numbers only are taken; where there are as many
    of others, those with the first.

    Raises:
        NoSeed: a module cannot be read, or the modules are too different.
    """
    modules = [read(each.text) for each in compiled]
    forms = [_form(module) for module in modules]
    most = max(forms, key=lambda form: (_told_apart(compiled, forms, form), forms.count(form)))
    same = [at for at, form in enumerate(forms) if form == most]
    alone = len(same) == 1 and len(forms) > 1
    if alone or _told_apart(compiled, forms, most) < _moving(compiled):
        raise NoSeed(
            "torch.compile generates different code for different sizes of this problem, and no "
            "one text for all of them."
        )
    return _Joiner([compiled[at] for at in same]).joined([modules[at] for at in same])


def _told_apart(compiled: Sequence[Compiled], forms: Sequence[object], form: object) -> int:
    """How many axes can be told apart by their sizes in the modules of one form."""
    return _moving([c for c, f in zip(compiled, forms, strict=True) if f == form])


def _moving(compiled: Sequence[Compiled]) -> int:
    """How many axes have sizes that are neither always the same nor always those of another."""
    seen = {tuple(c.axes[axis] for c in compiled) for axis in compiled[0].axes}
    return sum(len(set(sizes)) > 1 for sizes in seen)


def _form(module: Module) -> tuple[object, ...]:
    """What modules that differ only in numbers have alike. How loops are shared out among threads
    and vectors is left out: that follows from the sizes, and holds for any."""
    kernels = tuple(
        (name, _NUMBER.sub("0", _PRAGMA.sub("", source)).split())
        for name, source in module.kernels.items()
    )
    steps = tuple(_form_of_step(step) for step in module.steps)
    results = tuple(_form_of_view(view) for view in module.results)
    return str(kernels), steps, results, module.arguments


def _form_of_step(step: Step) -> tuple[object, ...]:
    match step:
        case Allocated():
            return step.name, step.dtype, len(step.layout.sizes)
        case Named():
            return step.name, _form_of_view(step.view)
        case Launched():
            return step.kernel, tuple(_form_of_argument(given) for given in step.arguments)


def _form_of_argument(given: View | Size) -> object:
    return _form_of_view(given) if isinstance(given, View) else "number"


def _form_of_view(view: View) -> tuple[object, ...]:
    return view.name, None if view.layout is None else len(view.layout.sizes)


class _Joiner:
    """Joins modules of one form, each generated as `compiled` says."""

    def __init__(self, compiled: Sequence[Compiled]) -> None:
        self._axes = [each.axes for each in compiled]
        self._scalars = [each.scalars for each in compiled]

    def joined(self, modules: Sequence[Module]) -> Joined:
        """One module of them all."""
        first = modules[0]
        kernels = {
            name: tuple(self._pieces([module.kernels[name] for module in modules]))
            for name in first.kernels
        }
        steps = zip(*(module.steps for module in modules), strict=True)
        results = zip(*(module.results for module in modules), strict=True)
        module = Module(
            language=first.language,
            arguments=first.arguments,
            kernels=first.kernels,
            steps=tuple(self._step(same) for same in steps),
            results=tuple(self._view(same) for same in results),
        )
        return Joined(module=module, kernels=kernels)

    def _step(self, same: Sequence[Step]) -> Step:
        match same[0]:
            case Allocated() as first:
                layouts = [s.layout for s in same if isinstance(s, Allocated)]
                return Allocated(name=first.name, dtype=first.dtype, layout=self._layout(layouts))
            case Named() as first:
                views = [s.view for s in same if isinstance(s, Named)]
                return Named(name=first.name, view=self._view(views))
            case Launched() as first:
                arguments = zip(
                    *(s.arguments for s in same if isinstance(s, Launched)), strict=True
                )
                return Launched(
                    kernel=first.kernel, arguments=tuple(self._argument(each) for each in arguments)
                )

    def _argument(self, same: Sequence[View | Size]) -> View | Size:
        views = [given for given in same if isinstance(given, View)]
        if views:
            return self._view(views)
        return self._size([given for given in same if not isinstance(given, View)])

    def _view(self, same: Sequence[View]) -> View:
        layouts = [view.layout for view in same if view.layout is not None]
        return View(name=same[0].name, layout=self._layout(layouts) if layouts else None)

    def _layout(self, same: Sequence[Layout]) -> Layout:
        return Layout(
            sizes=self._sizes([layout.sizes for layout in same]),
            strides=self._sizes([layout.strides for layout in same]),
            offset=self._size([layout.offset for layout in same]),
        )

    def _sizes(self, same: Sequence[tuple[Size, ...]]) -> tuple[Size, ...]:
        return tuple(self._size(each) for each in zip(*same, strict=True))

    def _size(self, same: Sequence[Size]) -> Size:
        found = self._explained([size for size in same if isinstance(size, int)])
        return found if isinstance(found, Extent) else int(found)

    def _pieces(self, sources: Sequence[str]) -> list[Piece]:
        """The first source with its numbers replaced; pragmas stay as they are there."""
        plain = [_PRAGMA.sub("", source) for source in sources]
        values = zip(*(_NUMBER.findall(source) for source in plain), strict=True)
        pieces: list[Piece] = []
        end = 0
        pragmas = [match.span() for match in _PRAGMA.finditer(sources[0])]
        for match in _NUMBER.finditer(sources[0]):
            if any(begin <= match.start() < stop for begin, stop in pragmas):
                continue
            number = self._number(next(values))
            if number is not None:
                pieces += [sources[0][end : match.start()], number]
                end = match.end()
        return [*pieces, sources[0][end:]]

    def _number(self, same: Sequence[str]) -> Extent | Scalar | None:
        """What stands for a number that is written as in `same`; None where it is one number."""
        numbers = [int(text) if text.isdigit() else float(text) for text in same]
        for name in self._scalars[0]:
            if numbers == [scalars[name] for scalars in self._scalars]:
                return Scalar(name=name)
        found = self._explained(numbers)
        return found if isinstance(found, Extent) else None

    def _explained(self, numbers: Sequence[int | float]) -> int | float | Extent:
        """What `numbers`, one at each of the sizes, are in terms of the axes."""
        found = [n for n in map(self._shifted(numbers), _OFFSETS) if not isinstance(n, Unexplained)]
        if not found:
            seen = ", ".join(f"{number:g}" for number in numbers)
            raise NoSeed(
                f"In what torch.compile generates a number is {seen} at the sizes that were tried, "
                "and how it follows from them is not known."
            )
        return min(found, key=_length)

    def _shifted(
        self, numbers: Sequence[int | float]
    ) -> Callable[[int], int | float | Extent | Unexplained]:
        """From an offset to an explanation of `numbers` that has it. Code is full of sizes less
        one, which a product may be by chance."""

        def explained(offset: int) -> int | float | Extent | Unexplained:
            found = explain([number - offset for number in numbers], self._axes)
            if not isinstance(found, Extent):
                return found + offset if isinstance(found, int | float) else found
            if offset and (found.power != 1.0 or found.offset):
                return Unexplained(seen=tuple(map(float, numbers)))
            return found.model_copy(update={"offset": found.offset + offset})

        return explained


def _length(found: int | float | Extent) -> int:
    """How much an explanation takes for granted."""
    if not isinstance(found, Extent):
        return 0
    factors = found.numerator + found.denominator - 2
    return 2 * len(found.axes + found.over) + factors + abs(found.offset)
