"""What names a plan, here and on this machine, and which plans have others in them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from kernelwright.core.protocols import BuildPlan
from kernelwright.evaluate.building.compile_cache import full_hash, machine_parts, tool_version


def plan_key(plan: BuildPlan) -> str:
    """The whole hash: with a short one, two texts could be made to share a binary."""
    inner = {name: plan_key(part) for name, part in plan.parts.items()}
    others = [plan_key(other) if other else None for other in (plan.header, plan.otherwise)]
    return full_hash(
        dict(plan.files), plan.commands, plan.artifact, dict(plan.environment),
        plan.reads, inner, others, repr(plan.follow) if plan.follow else None, plan.ours,
    )  # fmt: skip


def is_composed(plan: BuildPlan) -> bool:
    """Whether other builds come before `plan`, after it or in its place."""
    return bool(plan.parts or plan.header or plan.otherwise or plan.follow)


def cache_key(plan: BuildPlan) -> str | None:
    """`plan_key` with the tools and the machine; None when a build depends on more than we can
    name, as what Python runs does."""
    names = [argv[0] for argv in plan.commands]
    if any(Path(name).name == "nvcc" for name in names):
        names.append("g++")  # which nvcc calls
    parts = []
    for tool in map(shutil.which, names):
        if tool is None or tool == sys.executable:
            return None
        found = Path(tool).stat()
        try:
            parts.append(tool_version(tool, found.st_size, found.st_mtime_ns))
        except subprocess.TimeoutExpired:
            return None
    return full_hash(plan_key(plan), parts, machine_parts()) if parts else None
