"""Where torch's headers and libraries are, and CUDA's beside them. torch is not loaded."""

from __future__ import annotations

import functools
import importlib.util
import shutil
import sysconfig
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

_USUAL_CUDA = Path("/usr/local/cuda")


@dataclass(frozen=True, kw_only=True)
class TorchHome:
    """An installed torch: its folder, its version, and the folder of Python's own headers."""

    folder: Path
    version: str
    python: Path

    @property
    def includes(self) -> tuple[str, ...]:
        """The flags with which a compiler finds the headers."""
        include = self.folder / "include"
        folders = (include, include / "torch/csrc/api/include", self.python)
        return tuple(word for folder in folders for word in ("-isystem", str(folder)))

    @property
    def reads(self) -> tuple[str, ...]:
        """What a build must be able to read."""
        return (str(self.folder), str(self.python))

    def libraries(self, *, cuda: bool) -> tuple[str, ...]:
        """The flags that link an extension to torch, and to CUDA where it is for a GPU."""
        names = ["c10", "torch_cpu", "torch", "torch_python"]
        flags = [f"-L{self.folder / 'lib'}"]
        if cuda:
            names += ["c10_cuda", "torch_cuda"] if self.has_cuda else []
            flags.append(f"-L{cuda_home() / 'lib64'}")
            names.append("cudart")
        return (*flags, *(f"-l{name}" for name in names))

    @property
    def has_cuda(self) -> bool:
        """Whether this torch was made for CUDA."""
        return (self.folder / "lib/libtorch_cuda.so").exists()


@functools.cache
def torch_home() -> TorchHome:
    """The torch that this process would load."""
    spec = importlib.util.find_spec("torch")
    assert spec is not None  # Kernelwright depends on it
    assert spec.origin is not None
    return TorchHome(
        folder=Path(spec.origin).parent,
        version=version("torch"),
        python=Path(sysconfig.get_path("include")),
    )


def cuda_home() -> Path:
    """The folder of NVIDIA's toolkit: its usual place, else the one around the nvcc on the PATH."""
    found = shutil.which("nvcc")
    if _USUAL_CUDA.exists() or found is None:
        return _USUAL_CUDA
    return Path(found).resolve().parents[1]
