"""Options of commands that make many searches, as a person writes them."""

from __future__ import annotations

from kernelwright.core.errors import UnknownName, UsageError
from kernelwright.core.run import Budget


def listed(said: str | None) -> list[str]:
    """The parts of ``a,b,c``."""
    return [part.strip() for part in (said or "").split(",") if part.strip()]


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
