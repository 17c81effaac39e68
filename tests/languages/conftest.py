"""Carrying a build plan out for tests, without the judge's sandbox: what is built here is ours."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from kernelwright.core.protocols import BuildPlan


@dataclass(frozen=True)
class Outcome:
    folder: Path
    status: int
    said: str


@pytest.fixture
def carry_out(tmp_path_factory):
    def run(plan: BuildPlan) -> Outcome:
        folder = tmp_path_factory.mktemp("build")
        for name, text in plan.files.items():
            (folder / name).write_text(text)
        said = ""
        for command in plan.commands:
            done = subprocess.run(
                command, cwd=folder, capture_output=True, text=True, timeout=120, check=False
            )
            said += done.stdout + done.stderr
            if done.returncode:
                return Outcome(folder, done.returncode, said)
        return Outcome(folder, 0, said)

    return run
