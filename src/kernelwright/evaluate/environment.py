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

from kernelwright.core.cards import Card, first_card
from kernelwright.core.evaluation import Environment, Gpu
from kernelwright.core.nvml import NotTold, nvml
from kernelwright.evaluate.running.runner import threads
from kernelwright.problems.reference import Device

_PACKAGES = ("torch", "numpy", "triton", "kernelwright")


def environment(device: Device) -> Environment:
    """This machine, as the judge found it; `device` is named in full where it is a GPU."""
    return _on(device, first_card() if device == "cuda" else None)


@functools.cache
def _on(device: Device, card: Card | None) -> Environment:
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
    gpu = _gpu(card) if card else None
    return Environment(
        device=f"{gpu.name}, {gpu.driver}" if gpu else device,
        cpu=_cpu_model(),
        cores=os.cpu_count() or 1,
        threads=threads(),
        memory_gb=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        os=f"{platform.system()} {platform.machine()}",
        versions=versions,
        gpu=gpu,
    )


def _gpu(card: Card) -> Gpu | None:
    """The GPU as NVML or else nvidia-smi tells; None where neither does."""
    try:
        facts = nvml().ask(lambda asked: asked.facts(card.uuid or card.name))
    except NotTold:
        return _listed(card)
    return Gpu(**dataclasses.asdict(facts))


def _listed(card: Card) -> Gpu | None:
    query = "--query-gpu=name,driver_version,uuid,index"
    command = ["nvidia-smi", f"--id={card.uuid or card.name}", query, "--format=csv,noheader"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return None
    fields = [field.strip() for field in (said.stdout.splitlines() or [""])[0].split(",")]
    if len(fields) != 4 or not fields[3].isdecimal():
        return None
    return Gpu(name=fields[0], driver=fields[1], uuid=fields[2], index=int(fields[3]))


def cpu_flags() -> frozenset[str]:
    """What this machine's processor can do, by the names that Linux gives it; none elsewhere."""
    return frozenset((_of_cpu("flags") or "").split())


def _cpu_model() -> str:
    return _of_cpu("model name") or platform.processor() or platform.machine()


def _of_cpu(name: str) -> str | None:
    """A line of what Linux tells of the first processor."""
    info = Path("/proc/cpuinfo")
    for line in info.read_text().splitlines() if info.exists() else []:
        if line.startswith(name):
            return line.partition(":")[2].strip()
    return None
