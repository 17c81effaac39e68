"""`kernelwright doctor`: what this machine can do, and in words what is missing."""

from __future__ import annotations

from typing import Annotated, Literal

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

import kernelwright
from kernelwright.apps.cli.terminal import JSON_OPTION, emit, show
from kernelwright.core.evaluation import BEST_ISOLATION, Environment, Isolation
from kernelwright.core.record import Record
from kernelwright.evaluate.environment import environment
from kernelwright.evaluate.isolation import cgroup
from kernelwright.evaluate.isolation.levels import isolation_level
from kernelwright.languages.machine import cuda_devices
from kernelwright.languages.survey import LanguageStatus, survey

Purpose = Literal["build", "run", "time"]
_PURPOSES: tuple[Purpose, ...] = ("build", "run", "time")
_DONE: dict[Purpose, str] = {"build": "builds", "run": "runs", "time": "is timed"}


class LanguageReport(Record):
    """One language here. `missing` has a sentence for each purpose that something is lacking."""

    name: str
    ready: bool
    missing: dict[Purpose, str]


class Findings(Record):
    """What `doctor` found.

    `isolation_reason` says why the sandbox is not the best one, `limits_reason` why memory and
    processes of a candidate are not limited as a whole.
    """

    version: str
    environment: Environment
    cuda_devices: int
    isolation: Isolation
    isolation_reason: str | None
    limits_reason: str | None
    languages: tuple[LanguageReport, ...]

    @property
    def ready(self) -> bool:
        """Whether at least one language can be built, run and timed."""
        return any(language.ready for language in self.languages)


def command(as_json: Annotated[bool, JSON_OPTION] = False) -> int:
    """Say what this machine can do, and what is missing.

    Exits with 1 when no language can be built, run and timed here.
    """
    found = examine()
    if as_json:
        emit(found)
    else:
        show(_page(found))
    return 0 if found.ready else 1


def examine() -> Findings:
    """Look at this machine."""
    level, why = isolation_level()
    return Findings(
        version=kernelwright.__version__,
        environment=environment("cpu"),
        cuda_devices=cuda_devices(),
        isolation=level,
        isolation_reason=why or None,
        limits_reason=cgroup.missing(),
        languages=tuple(_language(status) for status in survey()),
    )


def _language(status: LanguageStatus) -> LanguageReport:
    said: dict[Purpose, str | None] = {
        "build": status.build, "run": status.run, "time": status.time,
    }  # fmt: skip
    return LanguageReport(
        name=status.name,
        ready=status.ready,
        missing={purpose: sentence for purpose, sentence in said.items() if sentence},
    )


def _page(found: Findings) -> Group:
    machine = found.environment
    lines: list[RenderableType] = [
        Text(f"kernelwright {found.version}", style="bold"),
        Text(
            f"{machine.cpu}, {machine.cores} cores ({machine.threads} used), "
            f"{machine.memory_gb:.0f} GB, {machine.os}, {found.cuda_devices} CUDA devices"
        ),
        Text(", ".join(f"{name} {version}" for name, version in machine.versions.items())),
        _mark(found.isolation == BEST_ISOLATION, f"isolation: {found.isolation}"),
    ]
    if found.isolation_reason:
        lines.append(_indented(found.isolation_reason))
    if found.limits_reason:
        lines.append(_indented(f"limits: {found.limits_reason}"))
    for language in found.languages:
        lines += _language_lines(language)
    if not found.ready:
        lines.append(Text("No language can be built, run and timed here.", style="bold red"))
    return Group(*lines)


def _language_lines(language: LanguageReport) -> list[RenderableType]:
    works = [_DONE[purpose] for purpose in _PURPOSES if purpose not in language.missing]
    head = _mark(language.ready, f"{language.name}: {', '.join(works) or 'nothing works'}")
    sentences = dict.fromkeys(language.missing.values())
    return [head, *map(_indented, sentences)]


def _indented(sentence: str) -> Padding:
    return Padding(Text(sentence, style="dim"), (0, 0, 0, 4))


def _mark(good: bool, text: str) -> Text:
    return Text.assemble(("ok  ", "green") if good else ("--  ", "yellow"), text)
