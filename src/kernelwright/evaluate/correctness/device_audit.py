"""Audit on a GPU: a candidate's calls under NVIDIA's compute-sanitizer, one life for each tool.

The tool runs inside the sandbox, in front of the runner, and its library in the runner itself, as
those of the CPU's sanitizers do. It is for mistakes: a hostile candidate can silence it. A finding
is a verdict. A tool that does not work here, or under which a candidate does not run to its end, is
none, and said in `not_checked`: tools need memory and registers, for want of which a launch fails.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kernelwright.core.candidate import Lane
from kernelwright.core.errors import SandboxError
from kernelwright.core.evaluation import Crashed, Isolation, Rejected, TimedOut
from kernelwright.evaluate.correctness.cases import CaseSet, Step
from kernelwright.evaluate.correctness.sanitizer_report import Finding, Report, Tool, read
from kernelwright.evaluate.correctness.verify import Failure, make_call, no_wait, order
from kernelwright.evaluate.defences import Defences
from kernelwright.evaluate.running.life import Life, LifeEnded
from kernelwright.evaluate.running.runner import Body, life

_CUDA_TOOLKIT = Path("/usr/local/cuda/bin")
_NAME = "compute-sanitizer"
_MISSING = (
    f"{_NAME}: not found, neither on PATH nor in {_CUDA_TOOLKIT}; it comes with the CUDA toolkit"
)
_SUBJECTS: Mapping[Tool, str] = {
    "memcheck": "memory errors on the GPU",
    "racecheck": "races in shared memory",
    "initcheck": "reads of device memory that nobody wrote",
    "synccheck": "misused barriers",
}
_RULES: Mapping[Tool, str] = {
    "racecheck": "data_race", "initcheck": "uninitialised_read", "synccheck": "misused_barrier",
}  # fmt: skip
# The library of a module starts its own kernels on memory of its own, so in that lane only what is
# found in the candidate's files counts; shared memory and barriers are its compiler's there.
_OF_LANE: Mapping[Lane, tuple[Tool, ...]] = {
    "native": ("memcheck", "racecheck", "initcheck", "synccheck"),
    "module": ("memcheck", "initcheck"),
}
# NVIDIA's release notes list what these do not understand.
_FALSE_ALARMS: Mapping[Tool, tuple[re.Pattern[str], str]] = {
    "initcheck": (
        re.compile(r"tensormap|bulk\.tensor|CUtensorMap|[Tt]ensor_?[Dd]escriptor"),
        "it does not see what is written through tensor maps",
    ),
    "synccheck": (
        re.compile(r"cooperative_groups"),
        "it refuses barriers of cooperative groups as nvcc 13.0 compiles them",
    ),
}
_FOUND = 97  # the status that the tool ends with when it found something
_OPTIONS = (
    # A call of the driver that fails is no error of a kernel; under a tool launches may be too big.
    "--error-exitcode", str(_FOUND), "--report-api-errors", "no", "--show-backtrace", "device",
    "--demangle", "simple", "--print-limit", "20", "--target-processes", "application-only",
    "--launch-timeout", "120",
)  # fmt: skip
_OPTIONS_OF: Mapping[Tool, tuple[str, ...]] = {
    # The driver puts allocations side by side: an element past one would be the next one's first.
    "memcheck": ("--padding", "65536"),
    "racecheck": ("--racecheck-detect-level", "error"),
    # The runner copies outputs as a whole; what is not written in them the poison tells.
    "initcheck": ("--check-api-memory-access", "no"),
    "synccheck": (),
}
_SETTINGS = {
    # Its own socket may be one of a network otherwise.
    "NV_COMPUTE_SANITIZER_LOCAL_CONNECTION_OVERRIDE": "uds",
    # One allocation for each tensor of torch, so that what is past an end is nobody's.
    "PYTORCH_NO_CUDA_MEMORY_CACHING": "1",
}
_LOAD_LIMIT_S = 120.0
_CALLS_LIMIT_S = 120.0  # all calls of one life
_ENDING_S = 30.0
_REPORT_BYTES = 1 << 20


@dataclass(frozen=True)
class NotLearnt:
    """Why a tool says nothing about a candidate, in a sentence for `not_checked`."""

    why: str


@dataclass(frozen=True)
class Watched:
    """No finding in so many calls, whose outputs were right."""

    calls: int


@dataclass(frozen=True)
class _Run:
    """One life under a tool: how many calls were made, and what kept it from going well, if
    anything did.

    `shown` is how long the report was when hidden workloads came; None when none did. `status` is
    the tool's own, where it ended by itself.
    """

    calls: int = 0
    trouble: str | None = None
    shown: int | None = None
    status: int | None = None


def subject(tool: Tool) -> str:
    """What `tool` looks for."""
    return _SUBJECTS[tool]


def find() -> Path | None:
    """The sanitizer: what is on the path, else the toolkit's."""
    on_path = shutil.which(_NAME)
    places = [*([Path(on_path)] if on_path else []), _CUDA_TOOLKIT / _NAME]
    # Resolved, since inside the sandbox nothing can be put behind a link like /usr/local/cuda.
    return next((place.resolve() for place in places if place.is_file()), None)


def tools(lane: Lane, defences: Defences) -> tuple[Tool, ...]:
    """The tools that look at candidates of `lane`."""
    wanted = {"racecheck": defences.thread_sanitizer}
    return tuple(tool for tool in _OF_LANE[lane] if wanted.get(tool, defences.sanitizers))


def left_out(lane: Lane) -> Iterator[str]:
    """What no tool looks for in `lane`, for `not_checked`."""
    if find() is None:
        yield f"memory errors and data races: {_MISSING}"
    if lane == "module":
        yield "races in shared memory and misused barriers: they are looked for in the native lane"
    yield f"data races in global memory: {_NAME} looks at shared memory only"


@dataclass(frozen=True, kw_only=True)
class Audit:
    """What each tool looks at: the calls of a candidate on every case, in lives of their own.

    `source` has the texts of its files by name; it is built with line numbers. `between` is called
    before each call.
    """

    runner: Body
    lane: Lane
    source: Mapping[str, str]
    cases: CaseSet
    level: Isolation
    log: Path
    defences: Defences
    between: Callable[[], None] = no_wait

    def watch(self, tool: Tool) -> Failure | NotLearnt | Watched:
        """Make the calls under `tool`."""
        program = find()
        if program is None:
            return NotLearnt(_MISSING)
        pattern, why = _FALSE_ALARMS.get(tool, (None, ""))
        if pattern is not None and any(pattern.search(text) for text in self.source.values()):
            return NotLearnt(f"{_NAME} {tool} is not run: {why}")
        run, report = self._look(program, tool)
        found = self._against(report)
        if found is not None and not found.shown:
            # The tool may say late what it found early. Where nothing is hidden all may be shown.
            found = self._against(self._look(program, tool, hidden=False)[1]) or found
        if found is not None:
            return _failure(tool, found)
        problem = _problem(run, report)
        return Watched(run.calls) if problem is None else NotLearnt(f"{_NAME} {tool}: {problem}")

    def _look(self, program: Path, tool: Tool, *, hidden: bool = True) -> tuple[_Run, Report]:
        """One life under `tool`, with or without the hidden workloads."""
        steps = [
            step
            for step in order(self.cases, "sanitize", self.defences)
            if hidden or not self._is_hidden(step)
        ]
        with _report_file() as descriptor:
            run = self._run(_under(program, tool, self.runner, descriptor), steps)
            return run, read(_written(descriptor), tool, run.shown)

    def _is_hidden(self, step: Step) -> bool:
        return self.cases.cases[step.case][0].split == "hidden"

    def _run(self, body: Body, steps: Sequence[Step]) -> _Run:
        """Make every call, and let the tool end by itself, since only then is its report whole."""
        cases = self.cases
        cases.empty()
        try:
            with life(
                body, cases.table_fd, cases.inputs, cases.outputs, self.level, self.log
            ) as running:
                run = self._calls(running, steps, body.kept[-1])
                if not running.leave(_ENDING_S):
                    late = f"it did not end within {_ENDING_S:g} s of the last call"
                    return dataclasses.replace(run, trouble=run.trouble or late)
                return dataclasses.replace(run, status=running.status)
        except SandboxError:
            return _Run(trouble="the runner did not come up under it")

    def _calls(self, running: Life, steps: Sequence[Step], report: int) -> _Run:
        made, trouble, shown = 0, None, None
        end_s = time.monotonic() + _CALLS_LIMIT_S
        try:
            running.ask("load", stage="load", limit_s=_LOAD_LIMIT_S)
            for step in steps:
                if shown is None and self._is_hidden(step):
                    shown = os.fstat(report).st_size
                asked_s = time.monotonic()
                self.between()
                end_s += time.monotonic() - asked_s
                self.cases.prepare(step, poison=self.defences.poison)
                left_s = max(end_s - time.monotonic(), 1.0)
                make_call(self.cases, step, running, self.lane, "sanitize", at_most_s=left_s)
                made += 1
                if self.cases.check(step, guards=self.defences.guards).mismatches:
                    trouble = trouble or "under it outputs were wrong that are right otherwise"
        except LifeEnded as ended:
            trouble = _in_words(ended.outcome)
        return _Run(made, trouble, shown)

    def _against(self, report: Report) -> Finding | None:
        """The first finding that counts against the candidate."""
        files = {Path(name).name for name in self.source}
        found = (f for f in report.findings if self.lane == "native" or f.files & files)
        return None if report.doubted else next(found, None)


@contextlib.contextmanager
def _report_file() -> Iterator[int]:
    """Memory that a report is written to; nothing in the sandbox's folders leads there."""
    descriptor = os.memfd_create("kernelwright-report", os.MFD_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _written(descriptor: int) -> str:
    return os.pread(descriptor, _REPORT_BYTES, 0).decode("latin-1")


def _under(program: Path, tool: Tool, runner: Body, report: int) -> Body:
    """`runner`, started anew as the child of `program`, which has the variables that it has."""
    options = ("--tool", tool, "--log-file", f"/proc/self/fd/{report}")
    inside = (str(program), *options, *_OPTIONS, *_OPTIONS_OF[tool])
    at = 1 + sum(1 for _ in _variables(runner.argv))
    # The toolkit's own file of that name may be a script that starts the one in this folder.
    folders = (program.parent, program.parent.parent / _NAME)
    return dataclasses.replace(
        runner,
        argv=(*runner.argv[:at], *inside, *runner.argv[at:]),
        reads=(*runner.reads, *(folder for folder in folders if folder.is_dir())),
        environment={**runner.environment, **_SETTINGS},
        processes=True,
        watched=True,
        kept=(*runner.kept, report),
        forked=None,
    )


def _variables(argv: Sequence[str]) -> Iterator[str]:
    """What `env`, which every runner starts with, sets."""
    assert argv[0].endswith("/env")
    for word in argv[1:]:
        if "=" not in word:
            return
        yield word


def _in_words(outcome: Failure) -> str:
    """What ended a life; of its own words nothing, which may tell of hidden workloads."""
    if isinstance(outcome, TimedOut):
        return f"a call took longer than {outcome.limit_s:.3g} s under it"
    if isinstance(outcome, Crashed):
        return f"the candidate ended under it with {outcome.signal or 'an error'}"
    return "the candidate did not answer as it does otherwise"


def _problem(run: _Run, report: Report) -> str | None:
    """Why nothing was learnt, where nothing counts against the candidate; None when it is clean.

    The tool's own status has to say so too: what a candidate writes into the report leaves it be.
    """
    said = report.complaints[0] if report.complaints else None
    if run.trouble is not None:
        return run.trouble if said is None else f"{run.trouble}; it says: {said}"
    if said is not None:
        return f"it says: {said}"
    if report.errors is None:
        return "its report has no last line"
    if run.status == _FOUND or report.errors > 0:
        return "it counts errors, and none of them is of a known kind and in the candidate's files"
    return None if run.status == 0 else f"it ended with status {run.status}"


def _failure(tool: Tool, found: Finding) -> Crashed | Rejected:
    """The verdict that a sanitizer on a CPU would lead to."""
    evidence = f"{_NAME} {tool}: {found}"
    if tool == "memcheck":
        return Crashed(stage="sanitize", signal=None, detail=evidence)
    return Rejected(rule=_RULES[tool], evidence=evidence)
