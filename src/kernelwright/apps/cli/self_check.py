"""`kernelwright judge --self-check`: the corpora before the judge of this machine."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from kernelwright.apps.cli.terminal import emit, say, show
from kernelwright.core.evaluation import Isolation
from kernelwright.corpora.self_check import Corpus, SelfCheck, self_check
from kernelwright.problems.reference import Device

_NOTE = 300  # characters of a note that a person is shown


def run_self_check(
    *, only: str, corpus: Corpus, device: Device, require_isolation: Isolation, as_json: bool
) -> int:
    """Judge the corpora, print what was found, and return the exit code: 0 when all is well."""
    found = self_check(
        only=only,
        corpus=corpus,
        modules_on=device,
        require_isolation=require_isolation,
        say=lambda line: say(Text(line)),
    )
    if as_json:
        emit(found)
    else:
        show(_summary(found))
        for row in found.rows:
            if row.ok is False:
                show(Text(f"{row.name}: {row.verdict}\n  {row.note[:_NOTE]}"))
    return 0 if found.clean else 1


def _summary(found: SelfCheck) -> Table:
    table = Table(show_header=False, box=None)
    rate = found.attack_success_rate
    for name, value in (
        ("classes", found.classes),
        ("programs", found.programs),
        ("skipped", found.skipped),
        ("escapes", found.escapes),
        ("attack success rate", "not measured" if rate is None else f"{rate:.1%}"),
        ("honest", found.honest),
        ("false alarms", found.false_alarms),
        ("wall time", f"{found.wall_s:g} s"),
    ):
        table.add_row(name, str(value))
    return table
