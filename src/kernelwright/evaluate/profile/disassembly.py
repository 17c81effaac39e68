"""From an artifact to facts about its code: which disassembler, run where, and what it lacked.

A disassembler reads a file that a candidate had a say in, so it runs with the same walls around
it as the compiler did. Nothing here is timed or judged, and no device is needed.
"""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kernelwright.core.evaluation import Isolation
from kernelwright.core.protocols import BuildPlan
from kernelwright.core.record import Record
from kernelwright.evaluate.building.builder import Built
from kernelwright.evaluate.isolation import sandbox
from kernelwright.evaluate.profile.sass import GpuKernel, kernels
from kernelwright.evaluate.profile.x86 import Loop, loops
from kernelwright.languages.cuda import resources

_LIMIT_S = 30.0
_LONGEST = 32 << 20  # bytes of a disassembly that are read
_CUDA_TOOLKIT = Path("/usr/local/cuda/bin")
# Where nvcc puts a shared object's machine code for the GPU.
_DEVICE_CODE = b".nv_fatbin"
_NO_OBJDUMP = (
    "what the compiler made of it: objdump is not installed (Debian: apt install binutils)"
)
_NO_CUOBJDUMP = (
    "the GPU's machine code: cuobjdump is not here. It comes with NVIDIA's CUDA toolkit, and with "
    "the package triton (`pip install triton`)"
)
_A_MODULE = "the code of its kernels: a Python module compiles them when it is called"


class Facts(Record):
    """What is known of a candidate's machine code with no run: the loops of what runs on the CPU,
    the kernels of what runs on a GPU, and what could not be looked at."""

    loops: tuple[Loop, ...] = ()
    kernels: tuple[GpuKernel, ...] = ()
    not_known: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Failed:
    """Why a disassembler said nothing useful."""

    why: str


def look(plan: BuildPlan, built: Built, level: Isolation) -> Facts:
    """The facts about the artifact that `plan` was built to.

    Raises:
        SandboxError: the operating system refused to start a process.
    """
    if plan.lane != "native":
        return Facts(not_known=(_A_MODULE,))
    if _DEVICE_CODE in built.artifact.read_bytes():
        return gpu_facts(built, level)
    return _cpu_facts(built, level)


def look_at(cubins: Sequence[Path], level: Isolation) -> Facts:
    """The facts about the kernels in `cubins`, files that lie in one folder.

    Raises:
        SandboxError: the operating system refused to start a process.
    """
    found = [gpu_facts(Built(file.parent, file, ""), level) for file in cubins]
    return Facts(
        kernels=tuple(kernel for facts in found for kernel in facts.kernels),
        not_known=tuple(dict.fromkeys(why for facts in found for why in facts.not_known)),
    )


def gpu_facts(built: Built, level: Isolation) -> Facts:
    """The kernels in a shared object of nvcc or in a cubin, with what the build's log says."""
    tool = cuobjdump()
    if tool is None:
        return Facts(not_known=(_NO_CUOBJDUMP,))
    code = _run([str(tool), "--dump-sass"], built, level)
    usage = _run([str(tool), "-res-usage"], built, level)
    if isinstance(code, _Failed):
        return Facts(not_known=(f"the GPU's machine code: {code.why}",))
    spilled = {one.kernel: one.spill_bytes for one in resources(built.log)}
    found = kernels(code, "" if isinstance(usage, _Failed) else usage)
    known = [k.model_copy(update={"spill_bytes": spilled.get(k.name)}) for k in found]
    return Facts(kernels=tuple(known))


def cuobjdump() -> Path | None:
    """NVIDIA's disassembler: the toolkit's, else the one that comes with triton."""
    on_path = shutil.which("cuobjdump")
    spec = importlib.util.find_spec("triton")
    places = [Path(on_path)] if on_path else []
    places.append(_CUDA_TOOLKIT / "cuobjdump")
    if spec is not None and spec.origin is not None:
        places.append(Path(spec.origin).parent / "backends" / "nvidia" / "bin" / "cuobjdump")
    # Resolved, since inside the sandbox nothing can be put behind a link like /usr/local/cuda.
    return next((place.resolve() for place in places if place.is_file()), None)


def _cpu_facts(built: Built, level: Isolation) -> Facts:
    tool = shutil.which("objdump")
    if tool is None:
        return Facts(not_known=(_NO_OBJDUMP,))
    said = _run([tool, "-d", "--no-show-raw-insn", "-M", "intel"], built, level)
    if isinstance(said, _Failed):
        return Facts(not_known=(f"what the compiler made of it: {said.why}",))
    if "elf64-x86-64" not in said[:500]:
        return Facts(not_known=("what the compiler made of it: only x86-64 code is understood",))
    return Facts(loops=loops(said))


def _run(argv: list[str], built: Built, level: Isolation) -> str | _Failed:
    """What a disassembler prints about the artifact of `built`."""
    command = sandbox.Command(
        argv=[*argv, str(built.artifact)],
        reads=[built.folder, Path(argv[0]).parent],
        # cuobjdump starts nvdisasm.
        processes=True,
    )
    name = Path(argv[0]).name
    with tempfile.TemporaryDirectory(prefix="kernelwright-look-") as folder:
        log = Path(folder) / "said"
        child = sandbox.start(command, level, log)
        try:
            code, signal = child.ending(_LIMIT_S)
        finally:
            child.kill()
        with log.open("rb") as file:
            said = file.read(_LONGEST).decode("utf-8", "replace")
    if code == 0:
        return said
    if code is None:
        return _Failed(f"{name} took longer than {_LIMIT_S:g} s")
    return _Failed(f"{name} ended with {signal or f'status {code}'}")
