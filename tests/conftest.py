"""What every test starts from: no real language model can be called by accident."""

import subprocess
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def no_models(monkeypatch):
    monkeypatch.setenv("KERNELWRIGHT_NO_MODELS", "1")


@pytest.fixture(scope="session")
def fake_nvml(tmp_path_factory):
    """A library that stands in for NVML; what it says is set by variables (see its source)."""
    library = tmp_path_factory.mktemp("nvml") / "libnvidia-ml.so.1"
    source = Path(__file__).parent / "fake_nvml.c"
    subprocess.run(["cc", "-shared", "-fPIC", str(source), "-o", str(library)], check=True)
    return str(library)
