"""What Triton does in every process before its first kernel, done once for many.

It reads and hashes its own library (0.35 s), imports its second language (0.1 s) and has a C
compiler build its link to the driver (0.25 s): on an H100 host half of what a short life took.
Nothing here depends on a candidate, and nothing makes a device context, which no fork survives.
"""

from __future__ import annotations

import contextlib
import importlib
from pathlib import Path

# By name, since what they are called differs between versions; what is not there is done later.
_IMPORTED = ("triton", "triton.language", "triton.experimental.gluon.nvidia.hopper")
_CACHE = Path(".triton") / "cache"


def get_ready(home: Path) -> dict[Path, bytes]:
    """Do it in this process, whose home folder is `home`; what was built, by its place there.

    Whatever fails is left for each life to do for itself.
    """
    for module in _IMPORTED:
        with contextlib.suppress(Exception):
            importlib.import_module(module)
    for module, function in (
        ("triton.runtime.cache", "triton_key"),
        ("triton.backends.nvidia.driver", "CudaUtils"),
    ):
        with contextlib.suppress(Exception):
            getattr(importlib.import_module(module), function)()
    built = [file for file in (home / _CACHE).rglob("*") if file.is_file()]
    return {file.relative_to(home): file.read_bytes() for file in built}


def put(built: dict[Path, bytes], home: Path) -> None:
    """Give another home folder what was built."""
    for place, content in built.items():
        file = home / place
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
