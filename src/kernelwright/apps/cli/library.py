"""`kernelwright library`: verified kernels, looked at, judged again, and put in."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from kernelwright.apps.cli.checkout import commit
from kernelwright.apps.cli.runs import RunArgument, find, opened
from kernelwright.apps.cli.terminal import JSON_OPTION, emit, emit_line, group, say, show
from kernelwright.core.cards import kind_of, only_card
from kernelwright.core.errors import UnknownName, UsageError
from kernelwright.core.evaluation import Evaluation, Isolation, Passed
from kernelwright.core.problem import Problem
from kernelwright.core.record import Record
from kernelwright.core.statistics import Estimate, versus_best
from kernelwright.evaluate.opening import open_judge
from kernelwright.languages.machine import cuda_devices
from kernelwright.languages.reading import candidate_from_file
from kernelwright.library.adding import Promoted, add
from kernelwright.library.normal.form import NoForm, NormalForm, normal_form
from kernelwright.library.records import Judgement, Provenance
from kernelwright.library.shelf import Broken, Kernel, folders_of, read_library
from kernelwright.library.verifying import Verified, verify
from kernelwright.problems.reference import Device, Reference
from kernelwright.report.formats import estimated
from kernelwright.report.plain import visible
from kernelwright.report.story import Story

command = group()

_LIBRARY = typer.Option(help="A folder of kernels beside the one that ships; may be repeated.")
_DEVICE = typer.Option(metavar="cpu|cuda|cuda:N", help="Where to judge; on a GPU if there is one.")
_ISOLATION = typer.Option(help="Refuse to judge with less isolation than this.")
_INTO = typer.Option("--library", help="The folder that it goes into; made if it is not there.")
_NAME = typer.Option(help="The kernel's name; by default the problem's and the language.")
_WRITER = typer.Option(help="Who wrote it, such as agent:NAME; by default as the run's log says.")
_PROBLEM = typer.Option(help="With a file: the problem that it is for. It is judged first.")

LibraryOption = Annotated[list[Path] | None, _LIBRARY]


class Listed(Record):
    """One kernel in the list. `faster` are its speedups over the best baseline, by device."""

    name: str
    language: str
    title: str
    writer: str
    faster: dict[str, str]


class LeftOut(Record):
    """A folder that is no kernel, and why."""

    name: str
    reason: str


@command.command("list")
def list_kernels(
    library: LibraryOption = None, as_json: Annotated[bool, JSON_OPTION] = False
) -> None:
    """List the kernels, with their speedups over the best baseline."""
    kernels, broken = _read(library)
    listed = [_listed(kernel) for kernel in kernels]
    if as_json:
        emit(listed)
    else:
        show(_list_table(listed))
    _complain(broken)


@command.command("show")
def show_kernel(
    name: Annotated[str, typer.Argument(help="A kernel's name.")],
    library: LibraryOption = None,
    as_json: Annotated[bool, JSON_OPTION] = False,
) -> None:
    """Show one kernel: what it computes, who wrote it, what was checked, and its source."""
    (kernel,) = _chosen(_read(library)[0], [name])
    if as_json:
        emit(kernel.about)
        return
    about = kernel.about
    rows = [
        ("computes", f"{about.computes.title} ({about.computes.direction})"),
        ("language", about.language),
        ("written by", f"{about.provenance.writer}, {about.provenance.day}"),
        ("may be set", ", ".join(c.name for c in about.constants) or "no constant"),
        ("tuned", "; ".join(f"{t.device}: {t.settings}" for t in about.tuned) or "nothing"),
    ]
    for label, said in rows:
        show(Text(visible(f"{label:<12}{said}")))
    for judgement in kernel.certificate.judgements:
        show(Text(visible(f"{'judged':<12}{_sentence(judgement)}")))
        for left in judgement.evaluation.not_checked:
            show(Text(visible(f"{'not checked':<12}{left}")))
    show(Text("\n" + visible(kernel.source.text), no_wrap=True, overflow="ignore"))


@command.command("verify")
def verify_kernels(
    names: Annotated[list[str] | None, typer.Argument(help="Which; else all.")] = None,
    device: Annotated[str | None, _DEVICE] = None,
    library: LibraryOption = None,
    require_isolation: Annotated[Isolation, _ISOLATION] = "process",
    as_json: Annotated[bool, JSON_OPTION] = False,
) -> int:
    """Judge kernels again, with fresh seeds, as on promotion.

    Those of other devices are said as skipped. There is a line for each, and with --json a JSON
    value on each line, as soon as it is known. Exits with 1 when one no longer holds, or its folder
    is broken.
    """
    kernels, broken = _read(library)
    where: Device = kind_of(device) if device else "cuda" if cuda_devices() else "cpu"
    wanted = [b for b in broken if not names or b.folder.name in names]
    _complain(wanted)
    good = not wanted
    for left in wanted if as_json else ():
        emit_line(LeftOut(name=left.folder.name, reason=left.reason))
    with only_card(device):
        for kernel in _chosen(kernels, names) if names else kernels:
            say(Text(visible(f"Judging {kernel.name} ({kernel.about.language}) …")))
            found = verify(kernel, where, require_isolation=require_isolation)
            good &= found.good
            if as_json:
                emit_line(found)
            else:
                show(_verified(found))
    return 0 if good else 1


@command.command("add")
def add_kernel(
    run: RunArgument,
    into: Annotated[Path, _INTO] = Path("library"),
    name: Annotated[str | None, _NAME] = None,
    writer: Annotated[str | None, _WRITER] = None,
    problem: Annotated[str | None, _PROBLEM] = None,
) -> None:
    """Put the promoted best of a finished run into a library.

    With --problem, RUN is the file of a kernel, which is judged as on promotion first.
    """
    promoted = _judged(Path(run), problem, writer) if problem else _promoted(run, writer)
    usual = f"{Path(promoted.problem.reference.main_file).stem}-{promoted.candidate.language}"
    folder = add(into, name or usual.lower(), promoted)
    show(Text(visible(str(folder))))


def _promoted(run: str, writer: str | None) -> Promoted:
    """The best candidate of a run, with the verdict of its promotion."""
    folder = find(run)
    with opened(folder) as store:
        story = Story.of(store.records())
    step = story.best_step
    if step is None or step.candidate is None or story.headline is None:
        raise UsageError(f"The run in {folder.path} has no best candidate to put into a library.")
    problem, candidate = story.problem, step.candidate
    # The last call of an attempt is the one that wrote it.
    model = step.model_calls[-1].model if step.model_calls else None
    return Promoted(
        problem=problem,
        form=_form(problem),
        candidate=candidate,
        evaluation=story.headline,
        provenance=Provenance(
            writer=writer or story.author(step), model=model, day=_today(), run=folder.path.name
        ),
        commit=commit(),
    )


def _judged(path: Path, origin: str, writer: str | None) -> Promoted:
    """A kernel in a file, judged here and now."""
    device: Device = "cpu" if path.suffix == ".cpp" or not cuda_devices() else "cuda"
    with open_judge(origin, device=device) as judge:
        candidate = candidate_from_file(judge.problem, path)
        say(Text(visible(f"Judging {path} …")))
        evaluation: Evaluation = judge.judge(candidate, "promotion")
        problem: Problem = judge.problem
    return Promoted(
        problem=problem,
        form=_form(problem),
        candidate=candidate,
        evaluation=evaluation,
        provenance=Provenance(writer=writer or "hand", day=_today()),
        commit=commit(),
    )


def _form(problem: Problem) -> NormalForm:
    """The normal form; for that a CPU will do, wherever the kernel was judged."""
    with Reference.open(problem.reference, direction=problem.direction, known=problem) as reference:
        try:
            return normal_form(problem, reference.trace())
        except NoForm as error:
            raise UsageError(f"{error} So it could never be found in a library.") from error


def _today() -> str:
    return datetime.datetime.now(tz=datetime.UTC).date().isoformat()


def _read(library: Sequence[Path] | None) -> tuple[tuple[Kernel, ...], tuple[Broken, ...]]:
    return read_library(folders_of(library or ()))


def _chosen(kernels: Sequence[Kernel], names: Sequence[str]) -> list[Kernel]:
    known = {kernel.name: kernel for kernel in kernels}
    for name in names:
        if name not in known:
            raise UnknownName.of("kernel of the library", name, known)
    return [known[name] for name in dict.fromkeys(names)]


def _complain(broken: Sequence[Broken]) -> None:
    for each in broken:
        say(Text(visible(each.reason)))


def _listed(kernel: Kernel) -> Listed:
    return Listed(
        name=kernel.name,
        language=kernel.about.language,
        title=kernel.about.computes.title,
        writer=kernel.about.provenance.writer,
        faster={j.device: _speed(j) for j in kernel.certificate.judgements},
    )


def _speed(judgement: Judgement) -> str:
    outcome = judgement.evaluation.outcome
    found = versus_best(outcome.measurements) if isinstance(outcome, Passed) else None
    return "not timed" if found is None else f"{estimated(found[1])} {found[0]}"


def _sentence(judgement: Judgement) -> str:
    count = sum(check.count for check in judgement.evaluation.checks)
    return (
        f"on {judgement.device}, {judgement.day}, version {judgement.version}: "
        f"{_speed(judgement)}, {count} checks"
    )


def _list_table(listed: Sequence[Listed]) -> Table:
    table = Table("kernel", "language", "computes", "over the best baseline", box=None)
    for each in listed:
        speeds = "\n".join(f"{speed} on {device}" for device, speed in each.faster.items())
        table.add_row(visible(each.name), each.language, visible(each.title), visible(speeds))
    return table


def _verified(one: Verified) -> Text:
    """A line for what came of one kernel."""
    now = f": {estimated(_estimate(one.speedup))} over {one.baseline}" if one.speedup else ""
    outcome = one.outcome.replace("_", " ")
    return Text(visible(f"{one.name} ({one.language}): {outcome}{now}. {one.reason}"))


def _estimate(figures: tuple[float, float, float]) -> Estimate:
    median, low, high = figures
    return Estimate(median=median, ci_low=low, ci_high=high)
