"""A wheel, built with no network, has everything that the source folder has."""

import importlib.metadata
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_NEEDED = 77


def setuptools_fault():
    try:
        found = importlib.metadata.version("setuptools")
    except importlib.metadata.PackageNotFoundError:
        return "setuptools is not installed, and a wheel is built here without a network"
    if int(found.partition(".")[0]) < _NEEDED:
        return f"setuptools {found} is here, and a wheel needs {_NEEDED} or newer"
    return None


pytestmark = pytest.mark.skipif(setuptools_fault() is not None, reason=str(setuptools_fault()))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    # From a copy, since a build leaves folders beside the source.
    copy = tmp_path_factory.mktemp("copy")
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    shutil.copytree(ROOT / "src", copy / "src", ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy / name)
    done = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation",
         "--no-index", "--wheel-dir", "dist", "."],
        cwd=copy, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = (copy / "dist").glob("*.whl")
    return zipfile.ZipFile(built)


def is_corpus(folder):
    return Path(folder).parent.name == "corpora"


def test_every_file_of_the_package_is_in_the_wheel(wheel):
    # The corpora are links into the tests, which rglob does not follow; the tests stay here.
    here = {
        str(Path(folder, name).relative_to(ROOT / "src"))
        for folder, _, files in os.walk(ROOT / "src" / "kernelwright", followlinks=True)
        for name in files
        if "__pycache__" not in folder and not (is_corpus(folder) and name.endswith(".py"))
    }
    installed = {name for name in wheel.namelist() if name.startswith("kernelwright/")}
    assert here - installed == set()
    # Nothing comes along that the source does not have.
    assert installed - here == set()


def test_the_wheel_says_its_licence_and_its_command(wheel):
    (metadata,) = (n for n in wheel.namelist() if n.endswith(".dist-info/METADATA"))
    (commands,) = (n for n in wheel.namelist() if n.endswith(".dist-info/entry_points.txt"))
    assert "License-Expression: Apache-2.0" in wheel.read(metadata).decode()
    assert any(n.endswith("/licenses/LICENSE") for n in wheel.namelist())
    assert "kernelwright = kernelwright.apps.cli.main:main" in wheel.read(commands).decode()
