"""The whole job with regions: the cut, a search for each, and a search that judges the whole.

`run.optimize` carries out every one of these searches; here is what comes before the whole's.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kernelwright.core import names
from kernelwright.core.candidate import Candidate
from kernelwright.core.cut import Cut, RegionVerdict
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
_MOST_WHOLES = 4  # each is judged


def optimize_regions(
    spec: RunSpec,
    *,
    folder: Path | None = None,
    observer: Observer = ignore,
    equip: Equip = equip,
    ask: Ask | None = None,
) -> RunResult:
    """As `optimize`, with each region of the program searched by itself in ``regions/N`` of the
    run's folder. The candidates are the whole, put together of their kernels, or of fewer.

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
    count = len(drafts.candidates) if isinstance(drafts, Recombined) else 1
    drafter = Drafter(writer=WRITER, language=PLAIN, limit=count, listed=True)
    return Parts(
        writers={WRITER: RegionsWriter(drafts=lambda _language: drafts)},
        drafters=lambda dropped: () if WRITER in dropped else (drafter,),
        budget=Budget(max_attempts=count),
    )


@dataclass(frozen=True, kw_only=True)
class Recombined:
    """The whole, with the kernels of all regions and with those of fewer and fewer."""

    candidates: Sequence[Candidate]


class RegionsWriter(ListedWriter):
    """Hands out the whole that is put together of the regions' kernels."""

    def only_drafts(self, kind: str) -> str:
        """See `ListedWriter`."""
        return f"The regions are put together; that cannot carry out a plan to {kind}."

    def no_more(self, count: int, language: str) -> str:
        """See `ListedWriter`."""
        return f"The regions are put together in {count} ways in {language}, and in no other."


@dataclass(frozen=True, kw_only=True)
class _Nothing:
    reason: str


def _drafts(
    log: RunLog, folder: RunFolder, spec: RunSpec, equipment: Equipment, cut: Cut
) -> Recombined | NoDrafts:
    kernels = _kernels(log, folder, spec, cut)
    if not kernels:
        return _Nothing(
            reason="No region has a kernel that is surely faster than torch, so all stays torch."
        )
    try:
        wholes = nested(kernels, log.state.regions)
        return Recombined(candidates=[recombined(equipment.problem, cut, w) for w in wholes])
    except ProblemError as error:
        return _Nothing(reason=f"The regions cannot be put together again: {error}")


def nested(
    kernels: Sequence[RegionKernel], verdicts: Mapping[int, RegionVerdict]
) -> list[list[RegionKernel]]:
    """Which kernels to put together, some sets in turn: all, and each time without the one that
    saves the least of torch's time. Where a kernel is called, what is beside it can be slower: a
    copy of what it reads, or launches that torch would have made one of."""

    def saved_s(kernel: RegionKernel) -> float:
        eager = verdicts[kernel.region.number].eager
        return kernel.region.seconds * (1 - 1 / eager[0]) if eager else 0.0

    left = sorted(kernels, key=saved_s, reverse=True)
    sets = [left[:count] for count in range(len(left), 0, -1)]
    return [sorted(each, key=lambda k: k.region.number) for each in sets[:_MOST_WHOLES]]


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
