"""What an assembler made of a GPU kernel: the machine code's instruction mix, and its resources.

Text in, values out, from what ``cuobjdump --dump-sass`` and ``cuobjdump -res-usage`` print. Who
runs them is `evaluate.profile.disassembly`; what fits on a multiprocessor is in `occupancy`.
"""

from __future__ import annotations

import re
from collections import Counter

from kernelwright.core.record import Record

_ARCH = re.compile(r"^\s*(?:code for|\.target)\s+(sm_\d+)")
_FUNCTION = re.compile(r"^\s*Function : (\S+)")
# An address between comment marks, a predicate or none, and the name with its modifiers.
_INSTRUCTION = re.compile(r"^\s*/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9]*)((?:\.\w+)*)")
_USAGE = re.compile(r"Function (\S+):\s*\n\s*REG:(\d+) STACK:(\d+) SHARED:(\d+)")
_CLASSES = {
    "global_loads": {"LDG"},
    "global_stores": {"STG"},
    "shared_accesses": {"LDS", "STS", "LDSM", "STSM"},
    "local_loads": {"LDL"},
    "local_stores": {"STL"},
    "fp32": {"FFMA", "FADD", "FMUL", "FMNMX", "FSETP", "FSEL"},
    "tensor_core": {"HMMA", "IMMA", "DMMA", "BMMA", "QMMA", "HGMMA", "IGMMA", "QGMMA", "BGMMA"},
    "special": {"MUFU"},
    "barriers": {"BAR", "SYNCS", "WARPSYNC"},
    "atomics": {"ATOM", "ATOMG", "ATOMS", "RED", "REDG", "UREDGR"},
    "bulk_copies": {"LDGSTS", "UBLKCP", "UTMALDG", "UTMASTG"},
}


class GpuKernel(Record):
    """What is in one kernel's machine code, as numbers of instructions, and what it takes.

    `loads` and `stores` are of global memory, by how many bits a thread moves at once.
    `mix` has the classes of `sass`; local loads and stores are registers that were spilled, or
    arrays with a computed index. `stack_bytes` are per thread, `shared_bytes` static and per
    block; both and `registers` are None when only the machine code was seen. `spill_bytes` is what
    the assembler said itself, None when its words are not at hand.
    """

    name: str
    arch: str
    instructions: int
    loads: dict[int, int] = {}
    stores: dict[int, int] = {}
    mix: dict[str, int] = {}
    registers: int | None = None
    stack_bytes: int | None = None
    shared_bytes: int | None = None
    spill_bytes: int | None = None

    @property
    def local_accesses(self) -> int:
        """Instructions that move a thread's own values to memory or back."""
        return self.mix.get("local_loads", 0) + self.mix.get("local_stores", 0)

    @property
    def spills(self) -> bool:
        """Whether registers went to memory. Without the assembler's word, a stack frame with code
        that writes to it is taken for it."""
        if self.spill_bytes is not None:
            return self.spill_bytes > 0
        return bool(self.stack_bytes) and self.mix.get("local_stores", 0) > 0

    @property
    def narrow(self) -> bool:
        """Whether every access of global memory is of 32 bits or fewer."""
        seen = {*self.loads, *self.stores}
        return bool(seen) and max(seen) <= 32


def kernels(code: str, usage: str = "") -> tuple[GpuKernel, ...]:
    """The kernels in a dump of machine code, in its order, with their resources from `usage`."""
    known = {name: tuple(map(int, rest)) for name, *rest in _USAGE.findall(usage)}
    found, arch = list[GpuKernel](), ""
    for part in re.split(r"(?=^\s*Function : )", code, flags=re.MULTILINE):
        if opened := _FUNCTION.match(part):
            found.append(_kernel(opened[1], arch, part, known.get(opened[1])))
        for line in part.splitlines():
            if target := _ARCH.match(line):
                arch = target[1]
    return tuple(found)


def _kernel(name: str, arch: str, text: str, usage: tuple[int, ...] | None) -> GpuKernel:
    lines = [found.groups() for line in text.splitlines() if (found := _INSTRUCTION.match(line))]
    mix, loads, stores = Counter[str](), Counter[int](), Counter[int]()
    for operation, modifiers in lines:
        mix.update(group for group, names in _CLASSES.items() if operation in names)
        if operation == "LDG":
            loads[_bits(modifiers)] += 1
        if operation == "STG":
            stores[_bits(modifiers)] += 1
    registers, stack, shared = usage or (None, None, None)
    return GpuKernel(
        name=name,
        arch=arch,
        # Each kernel is filled up with these to a whole cache line.
        instructions=sum(operation != "NOP" for operation, _ in lines),
        loads=dict(sorted(loads.items())),
        stores=dict(sorted(stores.items())),
        mix=dict(sorted(mix.items())),
        registers=registers,
        stack_bytes=stack,
        shared_bytes=shared,
    )


def _bits(modifiers: str) -> int:
    """How much one thread moves: 32 bits unless a modifier says otherwise."""
    names = modifiers.split(".")
    for bits in (128, 64):
        if str(bits) in names:
            return bits
    return 8 if {"U8", "S8"} & {*names} else 16 if {"U16", "S16"} & {*names} else 32
