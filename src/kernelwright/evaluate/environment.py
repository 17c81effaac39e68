"""Facts about this machine that go into every evaluation."""

from __future__ import annotations

import functools
import os
import platform
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from kernelwright.core.evaluation import Environment
from kernelwright.evaluate.runner import threads

_PACKAGES = ("torch", "numpy", "triton", "kernelwright")


@functools.cache
def environment() -> Environment:
    """This machine, as the judge found it."""
    versions = {"python": platform.python_version(), "kernel": platform.release()}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    compiler = shutil.which("g++")
    if compiler:
        said = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=False)
        versions["g++"] = (said.stdout.splitlines() or ["unknown"])[0]
    return Environment(
        device="cpu",
        cpu=_cpu_model(),
        cores=os.cpu_count() or 1,
        threads=threads(),
        memory_gb=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        os=f"{platform.system()} {platform.machine()}",
        versions=versions,
    )


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    for line in info.read_text().splitlines() if info.exists() else []:
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
