"""An MCP server over stdio whose judge is made of paper: RUNS [DELAY_S]."""

import os
import sys
from pathlib import Path

from kernelwright.agents.benches import Benches
from kernelwright.agents.hall import Hall
from kernelwright.agents.limits import Turns
from kernelwright.apps.mcp.serving import over_stdio
from kernelwright.testing.agents import AgentEquip


def hall():
    Path(f"{sys.argv[1]}.pid").write_text(str(os.getpid()))
    delay_s = float(sys.argv[2]) if len(sys.argv) > 2 else 0.0
    return Hall(Benches(Chatty(delay_s=delay_s), Turns()), Path(sys.argv[1]), device="cpu")


class Chatty(AgentEquip):
    """Prints where a part of a run might."""

    def __call__(self, spec, origin, known):
        print("this must not get into the protocol", flush=True)
        return super().__call__(spec, origin, known)


if __name__ == "__main__":
    over_stdio(hall)
