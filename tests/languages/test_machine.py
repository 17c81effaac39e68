"""CUDA devices, counted from device files."""

import pytest

from kernelwright.languages.machine import cuda_devices


@pytest.mark.parametrize(
    ("visible", "count"),
    [(None, 2), ("0", 1), ("0,1", 2), ("0,1,2", 2), ("", 0), ("-1", 0), ("GPU-3f2a", 1)],
)
def test_devices_are_those_present_and_visible(tmp_path, monkeypatch, visible, count):
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert cuda_devices(tmp_path) == count
