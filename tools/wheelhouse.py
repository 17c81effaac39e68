"""Gathers what a host with torch, and no network, still lacks to run Kernelwright: as wheels.

    python tools/wheelhouse.py [--python 3.12] [--out wheelhouse]

The folder holds Kernelwright's own wheel and those of everything that it needs, but for what a
GPU host has of its own kind: torch, and with it NumPy and Triton. For Linux on x86-64 and CPython
3.11 to 3.13. docs/how-to.md says what to do with it.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
# A host's own builds of these belong to its driver, and are some gigabytes.
HAS = frozenset({"torch", "numpy", "triton"})
PYTHONS = ("3.11", "3.12", "3.13")
# glibc 2.28 and older, newest first: pip takes a wheel that is for any of them.
_PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")


def requirements(pyproject: str) -> list[str]:
    """What the text of a pyproject.toml asks for and a host does not have."""
    asked = tomllib.loads(pyproject)["project"]["dependencies"]
    return [one for one in asked if _name(one) not in HAS]


def _name(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found is not None
    return re.sub(r"[-_.]+", "-", found[0]).lower()


def gather(python: str, out: Path) -> None:
    """Fill `out` with wheels for that version of Python.

    Raises:
        subprocess.CalledProcessError: pip found no wheel for something.
    """
    out.mkdir(parents=True, exist_ok=True)
    pip = [sys.executable, "-m", "pip"]
    platforms = [word for name in _PLATFORMS for word in ("--platform", name)]
    wanted = requirements((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    subprocess.run(
        [*pip, "download", "--quiet", "--only-binary=:all:", "--implementation", "cp",
         "--python-version", python, *platforms, "--dest", str(out), *wanted],
        check=True,
    )  # fmt: skip
    for wheel in out.glob("*.whl"):
        if _name(wheel.name.partition("-")[0]) in HAS | {"kernelwright"}:
            wheel.unlink()
    subprocess.run(
        [*pip, "wheel", "--quiet", "--no-deps", "--wheel-dir", str(out), str(ROOT)], check=True
    )


def main() -> int:
    """Gather the wheels and say what was gathered."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--python", choices=PYTHONS, default=PYTHONS[1])
    parser.add_argument("--out", type=Path, default=ROOT / "wheelhouse")
    asked = parser.parse_args()
    try:
        gather(asked.python, asked.out)
    except subprocess.CalledProcessError as error:
        print(f"pip could not gather the wheels (status {error.returncode}); see above.")
        return 1
    wheels = sorted(asked.out.glob("*.whl"))
    size = sum(wheel.stat().st_size for wheel in wheels) / 2**20
    print(f"{len(wheels)} wheels for Python {asked.python}, {size:.0f} MiB, in {asked.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
