"""One call of a candidate under Nsight Compute, in a sandboxed life of its own.

`ncu` runs inside the sandbox, in front of the runner. It repeats every launch until all counters
were read, so it takes seconds, and is asked for by `kernelwright profile` alone. The candidate
shares a log with it and could write figures of its own there: they decide nothing.

The driver gives counters to administrators only, unless it was told otherwise, and in the sandbox
nobody is one. That, or no `ncu`, is said and is no error.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kernelwright.core.candidate import Lane
from kernelwright.core.errors import SandboxError
from kernelwright.core.evaluation import Isolation, TimedOut
from kernelwright.evaluate.correctness.cases import CaseSet
from kernelwright.evaluate.profile.counters import METRICS, MOST_LAUNCHES, Counters, kernels
from kernelwright.evaluate.running.life import Life, LifeEnded
from kernelwright.evaluate.running.runner import Body, life

_CUDA_TOOLKIT = Path("/usr/local/cuda/bin")
_LOAD_LIMIT_S = 60.0
_CALL_LIMIT_S = 120.0  # for every launch some ten times, with its memory put back in between
_ENDING_S = 60.0
_LONGEST = 4 << 20  # bytes of what it printed that are read, from the end
_TRIES = 3
_QUOTED = 200
# Its own socket is one of a network otherwise, and its files are copied to the user's home first.
_SETTINGS = {
    "NV_COMPUTE_PROFILER_LOCAL_CONNECTION_OVERRIDE": "uds",
    "NV_COMPUTE_PROFILER_DISABLE_STOCK_FILE_DEPLOYMENT": "1",
}
_WHAT = "hardware counters"
_MISSING = (
    f"{_WHAT}: ncu (NVIDIA Nsight Compute) is neither on PATH nor in {_CUDA_TOOLKIT}; it comes "
    "with the CUDA toolkit"
)
_NOT_PERMITTED = (
    f"{_WHAT}: the driver gives them to administrators only (ERR_NVGPUCTRPERM), and in the sandbox "
    "nobody is one, root neither; put `options nvidia NVreg_RestrictProfilingToAdminUsers=0` in a "
    "file in /etc/modprobe.d of the host and restart it"
)
_TAKEN = (
    f"{_WHAT}: another tool holds them; stop it, for DCGM with `dcgmi profile --pause`, and try "
    "again"
)
_NO_LAUNCH = f"{_WHAT}: ncu saw the call and no kernel in it"
_NO_FIGURE = (
    f"{_WHAT}: ncu printed no figure that can be read; `ncu --version` tells whether it works"
)


@dataclass(frozen=True)
class NotCounted:
    """Why there are no counters, in a sentence that says what to do where something can be done."""

    why: str


def find() -> Path | None:
    """Nsight Compute: what is on the path, else the toolkit's."""
    on_path = shutil.which("ncu")
    places = [*([Path(on_path)] if on_path else []), _CUDA_TOOLKIT / "ncu"]
    # Resolved, since inside the sandbox nothing can be put behind a link like /usr/local/cuda.
    return next((place.resolve() for place in places if place.is_file()), None)


def count(
    runner: Body, lane: Lane, cases: CaseSet, level: Isolation, log: Path
) -> Counters | NotCounted:
    """What the device counts while `runner` makes one call on the first row of `cases`, after one
    that is not counted."""
    tool = find()
    if tool is None:
        return NotCounted(_MISSING)
    metrics: Sequence[str] = METRICS
    for _ in range(_TRIES):
        late = _call(_under(tool, metrics, runner), lane, cases, level, log)
        said = _printed(log)
        if found := kernels(said):
            return Counters(kernels=found)
        # Which there are depends on the device and on the version.
        known = [name for name in metrics if name not in _unknown(said, metrics)]
        if not known or len(known) == len(metrics):
            break
        metrics = known
    return NotCounted(_why(said, late))


def _under(tool: Path, metrics: Sequence[str], runner: Body) -> Body:
    """`runner`, started anew behind `tool`, which starts processes."""
    options = [
        "--csv", "--page", "raw", "--metrics", ",".join(metrics), "--clock-control", "none",
        "--target-processes", "all", "--profile-from-start", "off", "--config-file", "off",
        "--launch-count", str(MOST_LAUNCHES),
    ]  # fmt: skip
    return dataclasses.replace(
        runner,
        argv=(str(tool), *options, *runner.argv),
        reads=(*runner.reads, tool.parent),
        environment={**runner.environment, **_SETTINGS},
        processes=True,
        watched=True,
        forked=None,
    )


def _call(body: Body, lane: Lane, cases: CaseSet, level: Isolation, log: Path) -> str:
    """Make the calls, and let all processes end by themselves; what was waited for in vain, or
    nothing. Whatever else goes wrong shows in the log."""
    cases.empty()
    late = ""
    try:
        with life(body, cases.table_fd, cases.inputs, cases.outputs, level, log) as running:
            try:
                _make_calls(running, lane)
            except LifeEnded as ended:
                if isinstance(ended.outcome, TimedOut):
                    return f"the call took longer than {ended.outcome.limit_s:g} s under it"
            if not running.leave(_ENDING_S):
                late = f"it did not end within {_ENDING_S:g} s of the call"
    except SandboxError:
        late = late or "the runner did not come up under it"
    return late


def _make_calls(running: Life, lane: Lane) -> None:
    """Load, and call twice: the first call may compile, and is not counted."""
    running.ask("load", stage="load", limit_s=_LOAD_LIMIT_S)
    for operation in ("returned", "profile"):
        if lane == "module":
            running.ask("stage", stage="core", limit_s=_CALL_LIMIT_S, count=1)
        running.ask(operation, stage="core", limit_s=_CALL_LIMIT_S, count=1)
        running.ask("collect", stage="core", limit_s=_CALL_LIMIT_S)


def _printed(log: Path) -> str:
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _LONGEST))
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""


def _errors(said: str) -> list[str]:
    """What `ncu` called an error, in its order."""
    mark = "==ERROR== "
    return [line.removeprefix(mark) for line in said.splitlines() if line.startswith(mark)]


def _unknown(said: str, metrics: Sequence[str]) -> set[str]:
    """Those of `metrics` that this version does not find."""
    lines = [line for line in _errors(said) if "ind metric" in line]
    return {name for name in metrics if any(name.partition(".")[0] in line for line in lines)}


def _why(said: str, late: str) -> str:
    errors = _errors(said)
    if any("ERR_NVGPUCTRPERM" in line for line in errors):
        return _NOT_PERMITTED
    if any("driver resource was unavailable" in line for line in errors):
        return _TAKEN
    if errors:
        return f"{_WHAT}: ncu says: {errors[0][:_QUOTED]}"
    if late:
        return f"{_WHAT}: {late}; what it printed last: {_last(said)}"
    return _NO_LAUNCH if "No kernels were profiled" in said else _NO_FIGURE


def _last(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return lines[-1][:_QUOTED] if lines else "nothing"
