"""Which languages work on this machine, and in words what is missing for the others."""

from __future__ import annotations

from dataclasses import dataclass

from kernelwright.core import names
from kernelwright.core.protocols import Language


@dataclass(frozen=True, kw_only=True)
class LanguageStatus:
    """One language on this machine. A sentence says what a purpose lacks; None is nothing."""

    name: str
    build: str | None
    run: str | None
    time: str | None

    @property
    def ready(self) -> bool:
        """Whether candidates can be built, run and timed here."""
        return self.build is None and self.run is None and self.time is None


def survey() -> tuple[LanguageStatus, ...]:
    """Every known language, plug-ins included, by name."""
    return tuple(_status(name) for name in names.known("language"))


def _status(name: str) -> LanguageStatus:
    language: Language = names.load("language", name)()
    return LanguageStatus(
        name=name,
        build=language.missing("build"),
        run=language.missing("run"),
        time=language.missing("time"),
    )
