"""Facts about this machine that decide which language works here. No torch."""

from __future__ import annotations

import functools
import os
import platform
import subprocess
from pathlib import Path

from kernelwright.core.cards import Card, first_card

DEFAULT_ARCH = "sm_90"


def cuda_devices(dev: Path = Path("/dev")) -> int:
    """How many CUDA devices this process may use, from what the driver shows in the folder `dev`.

    Loading the driver to ask it would leave threads behind in a process that may fork.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    present = len(list(dev.glob("nvidia[0-9]*")))
    if "microsoft" in platform.release().lower() and (dev / "dxg").exists():
        present = max(present, 1)  # Windows shows its GPUs to Linux as one device file
    if visible is None:
        return present
    chosen = [name for name in visible.split(",") if name.strip() not in ("", "-1")]
    return min(present, len(chosen))


def cuda_arch() -> str:
    """The architecture of the first CUDA device as ``sm_90``; without one, `DEFAULT_ARCH`."""
    return _arch_of(first_card()) if cuda_devices() else DEFAULT_ARCH


@functools.cache
def _arch_of(card: Card) -> str:
    """What the driver's own tool says, which takes a while to ask."""
    which = [f"--id={card.uuid}"] if card.uuid else []
    command = ["nvidia-smi", *which, "--query-gpu=compute_cap", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return DEFAULT_ARCH
    first = done.stdout.split()[:1]
    return f"sm_{first[0].replace('.', '')}" if first else DEFAULT_ARCH
