"""Options of commands that make many searches, as a person writes them."""

from __future__ import annotations

from collections.abc import Iterable

from kernelwright.core import names
from kernelwright.core.errors import UnknownName, UsageError
from kernelwright.core.run import Budget
from kernelwright.problems import suite
from kernelwright.run.spec import FROM_OUTSIDE


def listed(said: str | None) -> list[str]:
    """The parts of ``a,b,c``."""
    return [part.strip() for part in (said or "").split(",") if part.strip()]


def strategies_named(said: Iterable[str]) -> list[str]:
    """The strategies of these names, each once; all that search by themselves for none.

    Raises:
        UnknownName: there is no such strategy.
    """
    known = [name for name in names.known("strategy") if name != FROM_OUTSIDE]
    chosen = list(dict.fromkeys(said))
    for name in chosen:
        if name not in known:
            raise UnknownName.of("strategy", name, known)
    return chosen or known


def origins(problems: Iterable[str]) -> dict[str, str]:
    """Where each of `problems`, a built-in name or a file, is read.

    Raises:
        UsageError: there is no such problem.
    """
    return {name: suite.read_source(suite.named(name))[1] for name in problems}


def budget_of(said: str) -> Budget:
    """What ``attempts=N,seconds=S`` means.

    Raises:
        UsageError: it means nothing.
    """
    fields = {"attempts": "max_attempts", "seconds": "max_wall_s"}
    limits: dict[str, float | None] = {"max_attempts": None}
    for part in listed(said):
        name, _, value = part.partition("=")
        if name not in fields:
            raise UnknownName.of("limit of a search", name, fields)
        try:
            limits[fields[name]] = float(value) if name == "seconds" else int(value)
            Budget.model_validate(limits)
        except ValueError as error:
            raise UsageError(f"{part!r} is no limit; say {name}=40 or the like.") from error
    return Budget.model_validate(limits)
