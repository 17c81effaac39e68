"""The drafts of the writer ``compiler``: what torch.compile generates, asked for once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kernelwright.core.compiled import Compiled
from kernelwright.core.errors import ProblemError, WorkerError
from kernelwright.core.problem import Problem
from kernelwright.knowledge.compiled import LANGUAGES, NoSeeds, Seeds, no_language, seeds


class CompilerSeeds:
    """The compiler seeds of `problem` in a language. `compiled` asks the reference's process for
    the generated text, when the first draft is wanted."""

    def __init__(self, problem: Problem, compiled: Callable[[], Sequence[Compiled]]) -> None:
        self._problem = problem
        self._compiled = compiled
        self._found: dict[str, Seeds | NoSeeds] = {}

    def __call__(self, language: str) -> Seeds | NoSeeds:
        """The drafts, or why there are none; a reference that cannot be compiled has none, and no
        run ends because of it."""
        if language not in LANGUAGES:
            return NoSeeds(reason=no_language(language))
        if language not in self._found:
            try:
                self._found[language] = seeds(self._problem, self._compiled(), language)
            except (ProblemError, WorkerError) as error:
                self._found[language] = NoSeeds(reason=str(error))
        return self._found[language]
