"""`kernelwright bench`: a whole suite, one run for each problem, and the table of what came out.

Each run lies in a folder of its own and is an ordinary one. What is there and finished is not made
again, so a bench that was stopped goes on; the table is written anew after every problem. Ctrl-C
ends the runs that are made with what they have, and the bench with them.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from kernelwright.apps.cli.checkout import commit
from kernelwright.apps.cli.runs import opened, result_in, write_reports
from kernelwright.apps.cli.side_by_side import MakeRun, SideBySide, check_jobs
from kernelwright.apps.cli.terminal import JSON_OPTION, emit, say, show
from kernelwright.core.cards import only_card
from kernelwright.core.errors import KernelwrightError, UsageError
from kernelwright.core.run import RunSpec
from kernelwright.evaluate.environment import environment
from kernelwright.problems import suite
from kernelwright.report import html
from kernelwright.report.plain import visible
from kernelwright.report.story import Story
from kernelwright.report.table import Entry, Table, cells, entry, markdown, summary
from kernelwright.run.folder import RunFolder
from kernelwright.run.loop import INTERRUPTED
from kernelwright.run.optimize import optimize, resume
from kernelwright.run.spec import SKETCH, device_of, load_spec

BUILTIN, KERNELBENCH = "builtin", "kernelbench"
_MOST_ATTEMPTS = 5

_SUITE = typer.Argument(metavar="SUITE", help="builtin or kernelbench.")
_NAMES = typer.Argument(help="Some of its problems, by name or by the start of it; else all.")
_ROOT = typer.Option(help="Where a checkout of KernelBench is.")
_LEVEL = typer.Option(help="The level of KernelBench.")
_DEVICE = typer.Option(help="auto, cpu, cuda, or one of several GPUs as cuda:N.")
_CONFIG = typer.Option(
    help="A TOML file with settings, as for optimize; flags go before it. Else sketches write."
)
_DECONTAMINATE = typer.Option(
    help="Show writers nothing of other runs and of the library that is for the problem itself, or "
    "nearly the same."
)
_LANGUAGE = typer.Option(help="What to write in; may be repeated.")
_ATTEMPTS = typer.Option(help="Stop each problem after so many attempts; 5 without a file.")
_JOBS = typer.Option(help="So many runs at once, dealt out to all GPUs; a GPU takes several.")
_OUT = typer.Option(help="Where the table and the runs go.")


def command(
    suite_name: Annotated[str, _SUITE],
    names: Annotated[list[str] | None, _NAMES] = None,
    root: Annotated[Path | None, _ROOT] = None,
    level: Annotated[int, _LEVEL] = 1,
    device: Annotated[str | None, _DEVICE] = None,
    language: Annotated[list[str] | None, _LANGUAGE] = None,
    max_attempts: Annotated[int | None, _ATTEMPTS] = None,
    config: Annotated[Path | None, _CONFIG] = None,
    decontaminate: Annotated[bool, _DECONTAMINATE] = True,
    jobs: Annotated[int, _JOBS] = 1,
    out: Annotated[Path, _OUT] = Path("bench"),
    as_json: Annotated[bool, JSON_OPTION] = False,
) -> int:
    """Optimize every problem of a suite, and write a table of what came out, losses included.

    Writes SUITE-DEVICE.json, .md and .html, which say whether writers could be shown something of
    the problem itself. Exits with 0 when every problem was run.
    """
    problems = _chosen(_problems(suite_name, root, level), names or ())
    given = {
        "problem": next(iter(problems.values())),
        "writers": None if config else (SKETCH,),
        "languages": language or None,
        "budget": {"max_attempts": max_attempts or (None if config else _MOST_ATTEMPTS)},
        "device": device,
        # A kernel of the library for a problem of the suite would report its own result again.
        "decontaminate": decontaminate,
    }
    spec = load_spec(config, given)
    label = suite_name if suite_name == BUILTIN else f"{suite_name}-level{level}"
    check_jobs(jobs, device_of(spec))
    bench = _Bench(label, spec, out)
    bench.run(problems, jobs)
    if as_json:
        emit(bench.table)
    else:
        show(Text(visible(summary(bench.table))))
    say(Text(str(bench.file(".html"))))
    return 0 if all(e.outcome != "not_run" for e in bench.table.problems) else 1


def _problems(suite_name: str, root: Path | None, level: int) -> dict[str, str]:
    """The problems of a suite, from names to where they are read."""
    if suite_name == BUILTIN:
        return {name: f"builtin:{name}" for name in suite.names()}
    if suite_name != KERNELBENCH:
        raise UsageError(f"There is no suite {suite_name!r}: {BUILTIN} or {KERNELBENCH}.")
    if root is None:
        raise UsageError("Where is KernelBench? Give a checkout of it with --root.")
    folders = [root / "KernelBench" / f"level{level}", root / f"level{level}"]
    folder = next((f for f in folders if f.is_dir()), None)
    if folder is None:
        raise UsageError(f"There is no folder {folders[0]}; does {root} hold KernelBench?")
    files = sorted(folder.glob("*.py"), key=lambda file: (_number(file.stem), file.stem))
    if not files:
        raise UsageError(f"There are no problems in {folder}.")
    return {file.stem: str(file) for file in files}


def _number(stem: str) -> int:
    found = re.match(r"\d+", stem)
    return int(found.group()) if found else 0


def _chosen(problems: Mapping[str, str], names: Sequence[str]) -> dict[str, str]:
    if not names:
        return dict(problems)
    found: dict[str, str] = {}
    for name in names:
        exactly = {name: problems[name]} if name in problems else {}
        some = exactly or {n: o for n, o in problems.items() if n.startswith(name)}
        if not some:
            raise UsageError(
                f"No problem of the suite is called {name!r}, or begins like that. "
                "Give no name for all of them."
            )
        found |= some
    return found


class _Bench:
    """A bench in its folder, and the table as far as it is."""

    def __init__(self, label: str, spec: RunSpec, out: Path):
        self._label, self._spec, self._out = label, spec, out
        self._entries: dict[str, Entry | None] = {}
        self._writing = threading.Lock()

    def run(self, problems: Mapping[str, str], jobs: int) -> None:
        """Run each of `problems`, as far as that is not done yet, so many at once."""
        self._entries = dict.fromkeys(problems)  # in whatever order they end
        if jobs == 1:
            for name, origin in problems.items():
                self._run(name, origin, make_run)
            return
        with only_card(self._spec.device):
            runs = SideBySide(jobs)
        apart = partial(runs.make, make_run)
        runs.carry_out([partial(self._run, *item, apart) for item in problems.items()])

    def _run(self, name: str, origin: str, make: MakeRun) -> None:
        """Run one problem, and write the table."""
        folder = self._out / "runs" / name
        spec = self._spec.model_copy(update={"problem": origin})
        try:
            if not folder.exists() or _stopped(_read(folder)):
                make(spec, folder)
            found = self._story(folder)
            made = entry(name, found, result_in(RunFolder.existing(folder), found))
        except KernelwrightError as error:
            made = Entry(id=name, outcome="not_run", reason=str(error))
        with self._writing:
            self._entries[name] = made
            self._write()
            say(Text(visible(" · ".join(c for c in cells(self.table, made) if c))))

    def _story(self, folder: Path) -> Story:
        """The run of one problem, which was made, and has its reports now."""
        made = RunFolder.existing(folder)
        with opened(made) as store:
            write_reports(made, store)
        story = _read(folder)
        if _stopped(story):
            raise typer.Abort
        return story

    @property
    def table(self) -> Table:
        """What has come out so far."""
        with only_card(self._spec.device):
            here = environment(device_of(self._spec))
        return Table(
            suite=self._label,
            device=here.device,
            versions=here.versions,
            commit=commit(),
            environment=here,
            problems=tuple(entry for entry in self._entries.values() if entry is not None),
        )

    def file(self, suffix: str) -> Path:
        """The table's file; its name carries the device."""
        return self._out / f"{self._label}-{_short(self.table.device)}{suffix}"

    def _write(self) -> None:
        self._out.mkdir(parents=True, exist_ok=True)
        table = self.table
        self.file(".json").write_text(table.model_dump_json(indent=1) + "\n")
        self.file(".md").write_text(markdown(table))
        self.file(".html").write_text(html.render_table(table))


def make_run(spec: RunSpec, folder: Path) -> None:
    """Make the run of a problem, or go on with the one that is in `folder`."""
    if folder.exists():
        resume(folder)
    else:
        optimize(spec, folder=folder)


def _read(folder: Path) -> Story:
    with opened(RunFolder.existing(folder)) as store:
        return Story.of(store.records())


def _stopped(story: Story) -> bool:
    """Whether somebody stopped the run before its end."""
    finish = story.state.finish
    return finish is None or finish.reason == INTERRUPTED


def _short(device: str) -> str:
    """A device in a file's name.

    >>> _short("NVIDIA H100 80GB HBM3, 580.159.04"), _short("cpu")
    ('h100', 'cpu')
    """
    found = re.search(r"\b[A-Z]+\d+[A-Z]*\b", device.replace("NVIDIA", ""))
    return (found.group() if found else device.split(",")[0]).lower().replace(" ", "-")
