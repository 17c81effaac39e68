"""The door to compiler seeds: from what torch.compile generates to candidates."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from kernelwright.core.candidate import Candidate
from kernelwright.core.compiled import Compiled
from kernelwright.core.problem import Problem
from kernelwright.knowledge.compiled import cpp, triton
from kernelwright.knowledge.compiled.joining import Joined, joined
from kernelwright.knowledge.compiled.parts import NoSeed
from kernelwright.knowledge.compiled.reading import read


@dataclass(frozen=True, kw_only=True)
class Seeds:
    """What was generated, as candidates."""

    candidates: tuple[Candidate, ...]


@dataclass(frozen=True, kw_only=True)
class NoSeeds:
    """What was generated cannot stand alone; `reason` is a sentence that names what stopped it."""

    reason: str


_RENDER: Mapping[str, Callable[[Problem, Sequence[str], Joined], Candidate]] = {
    "cpp": cpp.candidate,
    "triton": triton.candidate,
}

LANGUAGES = tuple(_RENDER)


def no_language(language: str) -> str:
    """That nothing is taken over in `language`, as a sentence."""
    known = " and ".join(LANGUAGES)
    return f"What torch.compile generates is taken over in {known} only, and not in {language}."


def _elsewhere(generated: str, language: str) -> str:
    return f"For this device torch.compile generates code in {generated}, and not in {language}."


def seeds(problem: Problem, compiled: Sequence[Compiled], language: str) -> Seeds | NoSeeds:
    """The candidate in `language` that `compiled`, the report's sizes first, come to."""
    if language not in _RENDER:
        return NoSeeds(reason=no_language(language))
    try:
        generated = joined(compiled, read)
        if generated.module.language != language:
            return NoSeeds(reason=_elsewhere(generated.module.language, language))
        found = _RENDER[language](problem, compiled[0].inputs, generated)
    except NoSeed as reason:
        return NoSeeds(reason=str(reason))
    except RecursionError:
        return NoSeeds(reason="What torch.compile generates is nested too deep to be read.")
    return Seeds(candidates=(found,))
