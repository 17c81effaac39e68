"""Facts about this machine that go into every evaluation."""

from __future__ import annotations

import dataclasses
import functools
import os
import platform
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from kernelwright.core.cards import first_card
from kernelwright.core.evaluation import Environment, Gpu
from kernelwright.core.nvml import NotTold, nvml
from kernelwright.evaluate.running.runner import threads
from kernelwright.problems.reference import Device

_PACKAGES = ("torch", "numpy", "triton", "kernelwright")


@functools.cache
def environment(device: Device) -> Environment:
    """This machine, as the judge found it; `device` is named in full where it is a GPU."""
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
    gpu = _gpu() if device == "cuda" else None
    return Environment(
        device=device if device == "cpu" else f"{gpu.name}, {gpu.driver}" if gpu else _gpu_name(),
        cpu=_cpu_model(),
        cores=os.cpu_count() or 1,
        threads=threads(),
        memory_gb=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        os=f"{platform.system()} {platform.machine()}",
        versions=versions,
        gpu=gpu,
    )


def _gpu() -> Gpu | None:
    """The GPU that this process uses; None where NVML does not tell."""
    card = first_card()
    try:
        facts = nvml().ask(lambda asked: asked.facts(card.uuid or card.name))
    except NotTold:
        return None
    return Gpu(**dataclasses.asdict(facts))


def _gpu_name() -> str:
    """The first GPU and its driver, as nvidia-smi names them."""
    query = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        said = subprocess.run(query, capture_output=True, text=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return "cuda"
    return (said.stdout.splitlines() or ["cuda"])[0]


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    for line in info.read_text().splitlines() if info.exists() else []:
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
