"""`kernelwright resume`: go on with a run from wherever its log ends."""

from __future__ import annotations

from typing import Annotated

import typer

from kernelwright.agents.elsewhere import equip
from kernelwright.apps.cli.approving import check_terminal
from kernelwright.apps.cli.running import carry_out
from kernelwright.apps.cli.runs import RunArgument, find, opened
from kernelwright.apps.cli.terminal import JSON_OPTION
from kernelwright.run.optimize import resume
from kernelwright.run.regions.whole import resume_regions
from kernelwright.store.fold import fold


def command(
    run: RunArgument,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress.")] = False,
    as_json: Annotated[bool, JSON_OPTION] = False,
) -> int:
    """Go on with a run that was stopped, from its log.

    At most the attempts that were under way are done again, and nothing is judged twice. A run that
    had ended by itself is only delivered and reported again. Exits as `optimize` does.
    """
    folder = find(run)
    with opened(folder) as store:
        past = store.records()
    spec = fold(past).spec
    if spec is not None and spec.approve:
        check_terminal()
    go_on = resume_regions if spec is not None and spec.regions else resume
    return carry_out(
        lambda watch, ask: go_on(folder.path, observer=watch, equip=equip, ask=ask),
        past=past,
        quiet=quiet,
        as_json=as_json,
    )
