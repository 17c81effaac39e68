"""Which level of isolation this machine reaches: tried, not concluded from what is installed.

A level counts when a process was started at it, came up, and could not do what the level forbids.
The levels, and what each is good for, are in ``docs/judge.md``.
"""

from __future__ import annotations

import functools
import platform
import sys
import tempfile
from pathlib import Path
from typing import get_args

from kernelwright.core.errors import SandboxError, Unavailable
from kernelwright.core.evaluation import Isolation
from kernelwright.evaluate.isolation import sandbox, seccomp
from kernelwright.evaluate.isolation.landlock import kernel_abi
from kernelwright.evaluate.isolation.walls import find_bubblewrap

_LIMIT_S = 20.0
_UP, _FILTERED = "came up", "filtered"
# It must come up and be filtered; whatever else it prints is something that it must not reach.
_PROBE = f"""
echo {_UP}
while read -r key value; do [ "$key $value" = "Seccomp: 2" ] && echo {_FILTERED}
done < /proc/self/status
cat "$1" >/dev/null 2>&1 && echo "files of the host can be read"
(: >> "$1") 2>/dev/null && echo "files of the host can be written"
[ -n "$2" ] && ls "$2" >/dev/null 2>&1 && echo "Landlock has no effect"
exit 0
"""


def isolation_level() -> tuple[Isolation, str]:
    """The best level that works here, and a sentence that says why not a better one."""
    level, reasons = _tried()
    return level, " ".join(reasons)


@functools.cache
def _tried() -> tuple[Isolation, tuple[str, ...]]:
    reasons: list[str] = []
    for level in reversed(get_args(Isolation)):
        reason = why_not(level)
        if reason is None:
            return level, tuple(dict.fromkeys(reasons))
        reasons.append(reason)
    return "process", tuple(dict.fromkeys(reasons))


def why_not(level: Isolation) -> str | None:
    """None when `level` works here, else a sentence that says what is in its way."""
    return lacking(level) or _probe(level)


def lacking(level: Isolation) -> str | None:
    """What `level` needs and this machine obviously lacks; None when nothing."""
    if level == "process":
        return None
    if sys.platform != "linux":
        return "Sandboxing needs Linux; candidates run as plain processes."
    if not seccomp.known():
        return f"There is no system-call filter for this type of machine ({platform.machine()})."
    if "landlock" in level and kernel_abi() == 0:
        return "The kernel has no Landlock; it needs Linux 5.13 with landlock among its lsm=."
    if "bubblewrap" in level and find_bubblewrap() is None:
        return "bubblewrap is not installed; install the package 'bubblewrap'."
    return None


def _probe(level: Isolation) -> str | None:
    """None when `level` holds here, else a sentence."""
    if level == "process":
        return None
    with tempfile.TemporaryDirectory(prefix="kernelwright-probe-") as folder:
        secret = Path(folder) / "secret"
        secret.write_text("not for you")
        # A folder that is there inside bubblewrap and that our rules leave out.
        shut = "/dev" if "landlock" in level else ""
        argv = ["/bin/sh", "-c", _PROBE, "sh", str(secret), shut]
        try:
            child = sandbox.start(
                sandbox.Command(argv=argv, processes=True), level, Path(folder) / "log"
            )
        except (SandboxError, Unavailable) as error:
            return str(error)
        try:
            code, _ = child.ending(_LIMIT_S)
            said = child.log_text().strip().splitlines()
        finally:
            child.kill()
    if code == 0 and said == [_UP, _FILTERED]:
        return None
    return f"{level} does not work here ({_first_problem(said)})."


def _first_problem(said: list[str]) -> str:
    unexpected = [line for line in said if line not in (_UP, _FILTERED)]
    return unexpected[-1] if unexpected else "it does not come up, or without its filter"
