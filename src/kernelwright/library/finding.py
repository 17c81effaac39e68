"""Looking a problem up: the kernels that compute it, and those that come near.

What is found is a draft like any other. It is believed when the judge has passed it here.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kernelwright.core.candidate import Candidate
from kernelwright.core.errors import ProblemError
from kernelwright.core.graph import Graph
from kernelwright.core.problem import Problem
from kernelwright.core.protocols import Example
from kernelwright.library.adapting import adapted
from kernelwright.library.matching import NoFit, fit
from kernelwright.library.near import Print, keys_of, print_of
from kernelwright.library.normal.form import NoForm, NormalForm, normal_form
from kernelwright.library.shelf import Kernel

# A kernel is shown to a writer if at least this share of what it does is what is asked for.
NEAR = 0.5
SHOWN = 2
_OPERATION = re.compile(r"= ([\w.\[\]-]+(?::[\w-]+)?)\(", re.MULTILINE)
# What says where an element is, and not what is done to it.
_PLACES = ("add:int64", "mul:int64", "bound", "given", "range", "load", "store")


@dataclass(frozen=True, kw_only=True)
class Found:
    """Drafts from the library; `names` are those of the kernels that they come from."""

    candidates: tuple[Candidate, ...]
    names: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class NotFound:
    """No kernel serves the problem; `reason` says why as a sentence."""

    reason: str


class Shelves:
    """The library as one problem sees it. `trace` is only called when something is asked.

    With `decontaminate` a kernel of that very problem, or of one that is nearly the same, is not
    there, so that a result may be reported.
    """

    def __init__(
        self,
        kernels: Sequence[Kernel],
        problem: Problem,
        trace: Callable[[], Graph],
        device: str | None = None,
        *,
        decontaminate: bool = False,
    ) -> None:
        self._all = kernels
        self._problem = problem
        self._trace = trace
        self._device = device
        self._decontaminate = decontaminate
        self._form: NormalForm | NotFound | None = None

    def drafts(self, language: str) -> Found | NotFound:
        """The kernels in `language` that compute the problem, adapted to it."""
        kernels = self._in(language)
        if not kernels:
            beside = " for another problem" if self._decontaminate else ""
            return NotFound(reason=f"The library has no kernel in {language}{beside}.")
        form = self._normal_form()
        if isinstance(form, NotFound):
            return form
        made: dict[str, tuple[Candidate, str]] = {}
        reasons: list[str] = []
        for kernel in kernels:
            try:
                candidate = adapted(fit(kernel, self._problem, form), self._problem, self._device)
            except NoFit as reason:
                if kernel.form.key == form.key:
                    reasons.append(f"{kernel.name} computes the same, but: {reason}")
            else:
                made.setdefault(candidate.id, (candidate, kernel.name))
        if not made:
            nothing = f"The library has no kernel in {language} that computes this."
            return NotFound(reason=" ".join(reasons) or nothing)
        candidates, names = zip(*made.values(), strict=True)
        return Found(candidates=candidates, names=names)

    def count(self, language: str) -> int:
        """How many drafts there are."""
        found = self.drafts(language)
        return len(found.candidates) if isinstance(found, Found) else 0

    def examples(self, language: str) -> tuple[Example, ...]:
        """Kernels in `language` that do much of what the problem asks for, the nearest first."""
        form = self._normal_form()
        if isinstance(form, NotFound):
            return ()
        near = [(similarity(kernel.form, form), kernel) for kernel in self._in(language)]
        near = sorted((n for n in near if n[0] >= NEAR), key=lambda n: (-n[0], n[1].name))
        return tuple(
            Example(
                title=kernel.about.computes.title,
                reference=kernel.reference.text,
                source=kernel.source.text,
            )
            for _, kernel in near[:SHOWN]
        )

    def to_read(self, language: str) -> tuple[Example, ...]:
        """As `examples`, but a kernel that computes the very problem comes first, adapted to it."""
        found = self.drafts(language)
        same = found if isinstance(found, Found) else None
        adapted_ones = tuple(
            Example(
                title=f"computes this very problem ({name})",
                reference=self._problem.reference.text,
                source=candidate.source.text,
            )
            for candidate, name in (zip(same.candidates, same.names, strict=True) if same else ())
        )
        return adapted_ones + self.examples(language)

    def near(self, other: Print) -> bool:
        """Whether another problem is this one, or nearly the same."""
        return self._print.near(other)

    @functools.cached_property
    def _print(self) -> Print:
        try:
            keys = keys_of(self._problem, self._trace())
        except ProblemError:
            keys = frozenset()
        return print_of(self._problem.reference.text, keys)

    def _in(self, language: str) -> list[Kernel]:
        """The kernels in `language` that may be shown."""
        kernels = [k for k in self._all if k.about.language == language]
        if not self._decontaminate:
            return kernels
        return [k for k in kernels if not self.near(print_of(k.reference.text, (k.form.key,)))]

    def _normal_form(self) -> NormalForm | NotFound:
        if self._form is None:
            try:
                self._form = normal_form(self._problem, self._trace())
            except (NoForm, ProblemError) as error:
                self._form = NotFound(reason=f"The library cannot be searched. {error}")
        return self._form


def similarity(one: NormalForm, other: NormalForm) -> float:
    """How much of what two programs do is the same, from 0 to 1: the share of operations that they
    have in common, and of those together with what they are done to."""
    shares = [
        _share(_operations(one.text), _operations(other.text)),
        _share(_pairs(one.text), _pairs(other.text)),
    ]
    return sum(shares) / len(shares)


def _share(one: Counter[str], other: Counter[str]) -> float:
    together = (one | other).total()
    return (one & other).total() / together if together else 0.0


def _operations(text: str) -> Counter[str]:
    return Counter(op for op in _OPERATION.findall(text) if op not in _PLACES)


def _pairs(text: str) -> Counter[str]:
    """Each operation with each operation that gives it an argument."""
    lines = [line.partition(" = ") for line in text.splitlines()]
    ops = {name: right.partition("(")[0] for name, eq, right in lines if eq}
    found: Counter[str] = Counter()
    for _, eq, right in lines:
        op = right.partition("(")[0]
        if eq and op not in _PLACES:
            used = re.findall(r"%\d+", right.partition("(")[2])
            found.update(f"{op}<{ops[u]}" for u in used if ops.get(u) not in ("bound", None))
    return found
