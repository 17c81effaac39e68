"""The whole job with regions: the cut, a search for each, and a search that judges the whole.

`run.optimize` carries out every one of these searches; here is what comes before the whole's.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kernelwright.core import names
from kernelwright.core.candidate import Candidate
from kernelwright.core.cut import Cut
from kernelwright.core.errors import ProblemError, SpecError, UsageError
from kernelwright.core.protocols import Language
from kernelwright.core.run import Budget, RunSpec
from kernelwright.generate.listed_writer import ListedWriter, NoDrafts
from kernelwright.run.approval import Ask
from kernelwright.run.delivery import PLAIN, kernel_file
from kernelwright.run.equipment import Equip, Equipment, equip
from kernelwright.run.folder import RunFolder
from kernelwright.run.log import Observer, RunLog, ignore
from kernelwright.run.optimize import Parts, RunResult, optimize, resume
from kernelwright.run.regions.recombining import RegionKernel, recombined
from kernelwright.run.regions.searching import found_in, search_regions, state_of
from kernelwright.run.spec import device_of
from kernelwright.search.drafting import Drafter

WRITER = "regions"


def optimize_regions(
    spec: RunSpec,
    *,
    folder: Path | None = None,
    observer: Observer = ignore,
    equip: Equip = equip,
    ask: Ask | None = None,
) -> RunResult:
    """As `optimize`, with each region of the program searched by itself in ``regions/N`` of the
    run's folder, and the whole, put together of their kernels, as the only candidate.

    Raises:
        UsageError: what was asked for cannot be done, or there is nothing to cut.
        StoreError: as `optimize`.
        KeyboardInterrupt: a region's search was ended; `resume_regions` goes on.
    """
    first = functools.partial(_regions_first, equip=equip)
    return optimize(spec, folder=folder, observer=observer, equip=equip, ask=ask, before=first)


def resume_regions(
    path: Path, *, observer: Observer = ignore, equip: Equip = equip, ask: Ask | None = None
) -> RunResult:
    """As `resume`, for a run of `optimize_regions`: regions that were done are not searched again.

    Raises:
        UsageError, StoreError, KeyboardInterrupt: as `optimize_regions`.
    """
    first = functools.partial(_regions_first, equip=equip)
    return resume(path, observer=observer, equip=equip, ask=ask, before=first)


def checked_cut(equipment: Equipment) -> Cut:
    """The cut of the problem.

    Raises:
        UsageError: it cannot be traced, or no sketch covers anything of it, or all is one kernel.
    """
    if equipment.cut is None:
        raise SpecError("These parts of a run cannot cut a problem into regions.")
    try:
        cut = equipment.cut()
    except ProblemError as error:
        raise UsageError(f"The problem cannot be cut into regions: {error}") from error
    if not cut.regions:
        # What takes the longest is what somebody would have wanted a kernel for.
        most = max(cut.torch, key=lambda each: each.seconds)
        raise UsageError(
            "There is no region that a sketch covers, so all stays torch; most of its time is in "
            f"{', '.join(most.ops)}: {most.reason}"
        )
    if len(cut.regions) == 1 and not cut.torch:
        raise UsageError(
            "All of it is one kernel's worth of work, which a sketch drafts as it is. Leave "
            "--regions out."
        )
    return cut


def _regions_first(
    log: RunLog, folder: RunFolder, spec: RunSpec, equipment: Equipment, *, equip: Equip
) -> Parts:
    """Cut, search each region, and make the whole of what they came to."""

    def run(own: RunSpec, where: Path) -> object:
        if RunFolder(where).log_path.exists():
            return resume(where, equip=equip)
        return optimize(own, folder=where, equip=equip)

    if log.state.cut is None:
        log.record("cut", checked_cut(equipment))
    cut = log.state.cut
    assert cut is not None
    search_regions(log, folder, spec, cut, run)
    drafts = _drafts(log, folder, spec, equipment, cut)
    drafter = Drafter(writer=WRITER, language=PLAIN, limit=1, listed=True)
    return Parts(
        writers={WRITER: RegionsWriter(drafts=lambda _language: drafts)},
        drafters=lambda dropped: () if WRITER in dropped else (drafter,),
        budget=Budget(max_attempts=1),
    )


@dataclass(frozen=True, kw_only=True)
class Recombined:
    """The whole, in one candidate or in none; `reason` says why in none."""

    candidates: Sequence[Candidate] = field(default_factory=tuple)
    reason: str = ""


class RegionsWriter(ListedWriter):
    """Hands out the whole that is put together of the regions' kernels."""

    def only_drafts(self, kind: str) -> str:
        """See `ListedWriter`."""
        return f"The regions are put together once; that cannot carry out a plan to {kind}."

    def no_more(self, count: int, language: str) -> str:
        """See `ListedWriter`."""
        return f"The regions are put together in {count} way in {language}, and no other."


@dataclass(frozen=True, kw_only=True)
class _Nothing:
    reason: str


def _drafts(
    log: RunLog, folder: RunFolder, spec: RunSpec, equipment: Equipment, cut: Cut
) -> Recombined | NoDrafts:
    kernels = list(_kernels(log, folder, spec, cut))
    if not kernels:
        return _Nothing(
            reason="No region has a kernel that is surely faster than torch, so all stays torch."
        )
    try:
        return Recombined(candidates=(recombined(equipment.problem, cut, kernels),))
    except ProblemError as error:
        return _Nothing(reason=f"The regions cannot be put together again: {error}")


def _kernels(log: RunLog, folder: RunFolder, spec: RunSpec, cut: Cut) -> Sequence[RegionKernel]:
    device, made = device_of(spec), []
    for region in cut.regions:
        said = log.state.regions[region.number]
        found = found_in(state_of(folder, region.number)) if said.status == "kernel" else None
        if found is None:
            continue
        candidate = found.candidate
        language: Language = names.load("language", candidate.language)()
        suffix = Path(candidate.source.main_file).suffix
        file = kernel_file(
            found.problem, candidate, found.evaluation, language,
            device=device, name=f"region_{region.number}{suffix}",
        )  # fmt: skip
        if file.form is not None:
            made.append(RegionKernel(region=region, file=file))
    return made
