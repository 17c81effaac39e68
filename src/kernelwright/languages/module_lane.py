"""What the languages of the module lane share: the build's only step, a look at the file."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from kernelwright.core.candidate import Candidate
from kernelwright.core.protocols import BuildPlan
from kernelwright.languages.sources import own_file

CHECKER = "kw_module_check.py"
CLASS = "ModelNew"


def module_plan(
    candidate: Candidate,
    files: Mapping[str, str],
    environment: Mapping[str, str],
    *,
    ahead: bool = False,
) -> BuildPlan:
    """`files` as they are; the build fails when the main file does not parse or has no class.

    Parsing happens in the builder: even a parser may be made to crash by what it reads.
    """
    main = candidate.source.main_file
    return BuildPlan(
        files={**files, CHECKER: own_file("module_check.py")},
        # Isolated and without site-packages: it needs neither, and starts in 15 ms.
        commands=((sys.executable, "-I", "-S", CHECKER, main, candidate.source.name),),
        artifact=main,
        lane="module",
        environment=environment,
        ahead=ahead,
    )
