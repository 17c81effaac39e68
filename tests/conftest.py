"""What every test starts from: no real language model can be called by accident."""

import pytest


@pytest.fixture(autouse=True)
def no_models(monkeypatch):
    monkeypatch.setenv("KERNELWRIGHT_NO_MODELS", "1")
