"""Judging a folder of candidates for many problems, in front of a person or a program."""

from __future__ import annotations

from collections import Counter
from contextlib import AbstractContextManager
from pathlib import Path

from rich.text import Text

from kernelwright.apps.cli.judging import FileNotJudged, JudgedFile
from kernelwright.apps.cli.terminal import emit_line, say, show
from kernelwright.core.evaluation import Fault, Isolation
from kernelwright.core.problem import Direction, Source
from kernelwright.evaluate.batch import ProblemJudge
from kernelwright.evaluate.batches import RESULTS, Judged, Opening, judge_batch
from kernelwright.evaluate.opening import open_judges
from kernelwright.problems.reference import Device
from kernelwright.report import text
from kernelwright.report.formats import counted
from kernelwright.report.plain import visible
from kernelwright.report.result import judged


def judge_folder(
    folder: Path,
    *,
    device: Device,
    require_isolation: Isolation,
    as_json: bool,
    opening: Opening | None = None,
) -> int:
    """Print a line for each verdict as it comes; 0 when every file has a result afterwards."""

    def opened(
        origin: str | Path | Source, direction: Direction | None
    ) -> AbstractContextManager[ProblemJudge]:
        say(Text(f"Loading {visible(str(origin))} …"))
        return open_judges(
            origin, direction=direction, device=device, require_isolation=require_isolation
        )

    seen = Counter[str]()
    for one in judge_batch(folder, opening or opened):
        line, what = _line(one, folder)
        seen[line.outcome] += 1
        seen["without result"] += isinstance(one.found, Fault)
        if as_json:
            emit_line(line)
        else:
            word = line.outcome.replace("_", " ")
            show(Text(f"{visible(line.file)}: {word}: {visible(what)}"))
    faults = seen.pop("without result", 0)
    parts = [f"{count} {kind.replace('_', ' ')}" for kind, count in sorted(seen.items())]
    say(f"{', '.join(parts) or 'Nothing was left to judge'}. Results are in {folder / RESULTS}.")
    if faults:
        say(f"{counted(faults, 'file')} got no result: judge the folder again for those.")
    return 1 if faults else 0


def _line(one: Judged, folder: Path) -> tuple[JudgedFile | FileNotJudged, str]:
    name, found = str(one.path.relative_to(folder)), one.found
    if isinstance(found, Fault):
        return FileNotJudged(file=name, reason=found.message), found.message
    if found.evaluation is None:
        reason = found.reason or ""
        return FileNotJudged(file=name, reason=reason), reason
    said = judged(found.evaluation, found.problem)
    speedup = text.speedup_of(found.evaluation)
    what = f"{speedup} against the best baseline" if speedup else said.reason
    return JudgedFile(file=name, **dict(said)), what
