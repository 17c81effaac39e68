"""What a compiler made of C++: the innermost loops of an x86-64 disassembly, and what is in them.

Whole files say little: a vectorised loop comes with scalar ones for what remains, and most of the
instructions of a file run once. So the loops of each function are found (`cycles`), and only those
with no other loop in them are counted. Text in, values out; who runs objdump is
`evaluate.profile.disassembly`.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from kernelwright.core.record import Record
from kernelwright.evaluate.profile.cycles import innermost

# What the compiler's own start-up files put into every shared object.
_START_UP = {
    "_init", "_fini", "deregister_tm_clones", "register_tm_clones", "__do_global_dtors_aux",
    "frame_dummy",
}  # fmt: skip
_NO_WAY_ON = {"jmp", "ret", "ud2", "hlt"}
_FUNCTION = re.compile(r"^[0-9a-f]+ <(.+)>:$")
_LINE = re.compile(r"^\s*([0-9a-f]+):\s+(.*?)\s*(?:#.*)?$")
_PREFIX = re.compile(r"^(?:(?:lock|bnd|notrack|data16|cs|ds|rep[nz]?e?|repz|repnz)\s+)+")
_TARGET = re.compile(r"^([0-9a-f]+) <([^>]+)>$")
_FP = re.compile(
    r"^v?(add|sub|mul|div|max|min|sqrt|rsqrt14|rcp14|rsqrt|rcp|cmp\w*|fn?m(?:add|sub)(?:\d{3})?)"
    r"([sp])([sdh])$"
)
_COMPARES = re.compile(r"^v?u?comis[sdh]$")
_PACKED_INTEGER = re.compile(r"^v?p(?:add|sub|mul|max|min|sad|madd|abs|avg)\w*$")
_REGISTER_BITS = {"xmm": 128, "ymm": 256, "zmm": 512}
_LOAD_BYTES = {
    "BYTE": 1, "WORD": 2, "DWORD": 4, "QWORD": 8, "XMMWORD": 16, "YMMWORD": 32, "ZMMWORD": 64,
}  # fmt: skip
_MEMORY = re.compile(r"(?:(\w+) (?:PTR|BCST) )(?:\w\w:)?\[([^\]]*)\]")
_STEP = re.compile(r"^(?:add|sub) +(r\w+),(r\w+|0x[0-9a-f]+|-?\d+)$")
_LEA_STEP = re.compile(r"^lea +(r\w+),\[(r\w+)\+(r\w+)\*\d\]$")
# The names of libm's functions on one element, which a loop that calls one cannot be vectorised
# for; those of libmvec begin with _ZGV and work on a whole vector.
_LIBM = re.compile(
    r"^(?:__)?(?:exp|exp2|expm1|log|log2|log10|log1p|pow|sin|cos|sincos|tan|tanh|sinh|cosh|asin|"
    r"acos|atan|atan2|erf|erfc|cbrt|hypot|fmod|lgamma|tgamma|round|floor|ceil|fma|sqrt)[fl]?"
    r"(?:_finite)?$"
)


@dataclass(frozen=True, kw_only=True)
class Instruction:
    """One line of a disassembly. `target` is where a branch or a call goes: address and name."""

    address: int
    text: str
    target: tuple[int, str] | None = None

    @property
    def mnemonic(self) -> str:
        """Its name, such as ``vaddps``."""
        return self.text.split(" ", 1)[0]

    @property
    def operands(self) -> str:
        """What follows the name."""
        return self.text.partition(" ")[2].strip()


class Loop(Record):
    """What is in an innermost loop, as numbers of instructions.

    Floating-point arithmetic and comparisons count in `scalar` or `packed`, packed integer
    arithmetic in `packed`, and a multiply-add in `fma` beside one of the two. `widths` has
    the packed ones by the width of their registers in bits. `gathers` load a vector element by
    element. `calls` are those of libm's functions on one element, by name. `strided` says that it
    steps through memory by more than it reads. `kinds` are the operations, without their width.
    """

    function: str
    address: int
    instructions: int
    loads: int = 0
    stores: int = 0
    scalar: int = 0
    packed: int = 0
    fma: int = 0
    branches: int = 0
    gathers: int = 0
    widths: dict[int, int] = {}
    calls: dict[str, int] = {}
    kinds: tuple[str, ...] = ()
    strided: bool = False

    @property
    def computes(self) -> bool:
        """Whether it does arithmetic on data, and not on its own counters alone."""
        return bool(self.scalar or self.packed or self.calls)

    @property
    def vectorised(self) -> bool:
        """Whether its arithmetic is on vectors; a call on one element is as scalar as it gets."""
        return self.packed > self.scalar + sum(self.calls.values())


def loops(disassembly: str) -> tuple[Loop, ...]:
    """The innermost loops in what ``objdump -d --no-show-raw-insn -M intel`` prints, in its order.

    >>> text = '''0000000000001000 <kernel>:
    ...     1000:\\tvaddps ymm0,ymm0,YMMWORD PTR [rdi+rax*1]
    ...     1005:\\tadd    rax,0x20
    ...     1009:\\tcmp    rdx,rax
    ...     100c:\\tjne    1000 <kernel>'''
    >>> [(loop.loads, loop.packed, loop.widths) for loop in loops(text)]
    [(1, 1, {256: 1})]
    """
    return tuple(
        _loop(name, body)
        for name, instructions in _functions(disassembly)
        if name not in _START_UP and "@plt" not in name
        for body in _innermost(instructions)
    )


def hot(found: Sequence[Loop]) -> tuple[Loop, ...]:
    """The loops that compute, less those that stand by for a vectorised one.

    A compiler puts scalar loops beside a vectorised one, for what remains after the last whole
    vector and for arrays that overlap. They do the same operations within the same function, and
    are left out by that; so is a scalar loop of the candidate's own that does nothing else. A
    function that was copied into its caller and is there by itself too counts once.
    """
    computing = _once([loop for loop in found if loop.computes])
    wide = [loop for loop in computing if loop.vectorised]
    return tuple(
        loop for loop in computing if loop.vectorised or not any(_stands_by(loop, w) for w in wide)
    )


def _once(found: Sequence[Loop]) -> list[Loop]:
    """Less the loops that are in another function already, with the same counts."""
    first: dict[str, Loop] = {}
    alike = [(loop.model_dump_json(exclude={"function", "address"}), loop) for loop in found]
    return [loop for key, loop in alike if first.setdefault(key, loop).function == loop.function]


def _stands_by(loop: Loop, wide: Loop) -> bool:
    return loop.function == wide.function and not loop.calls and set(loop.kinds) <= set(wide.kinds)


def _functions(disassembly: str) -> Iterator[tuple[str, list[Instruction]]]:
    name, body = "", list[Instruction]()
    for line in disassembly.splitlines():
        if opened := _FUNCTION.match(line):
            if body:
                yield name, body
            name, body = opened[1], []
        elif found := _LINE.match(line):
            body.append(_instruction(int(found[1], 16), found[2]))
    if body:
        yield name, body


def _instruction(address: int, said: str) -> Instruction:
    text = _PREFIX.sub("", said.replace("\t", " "))
    aimed = _TARGET.match(text.partition(" ")[2].strip())
    target = (int(aimed[1], 16), aimed[2]) if aimed else None
    return Instruction(address=address, text=text, target=target)


def _innermost(body: Sequence[Instruction]) -> Iterator[Sequence[Instruction]]:
    """The instructions of each innermost loop of a function, in the order of their addresses."""
    graph: dict[int, list[int]] = {}
    known = {one.address for one in body}
    for one, after in itertools.pairwise([*body, None]):
        assert one is not None
        to = [after.address] if after and one.mnemonic not in _NO_WAY_ON else []
        if one.mnemonic.startswith("j") and one.target and one.target[0] in known:
            to.append(one.target[0])
        graph[one.address] = to
    named = {one.address: one for one in body}
    for loop in innermost(graph):
        yield [named[address] for address in loop]


def _loop(function: str, body: Sequence[Instruction]) -> Loop:
    counts = Counter[str]()
    widths, calls, kinds = Counter[int](), Counter[str](), set[str]()
    for one in body:
        counts += _counted(one)
        if kind := _kind(one):
            kinds.add(kind)
        if _packed(one):
            widths[_bits(one)] += 1
        if name := _libm(one):
            calls[name] += 1
    return Loop(
        function=function,
        address=body[0].address,
        instructions=sum(not one.mnemonic.startswith("nop") for one in body),
        widths=dict(sorted(widths.items())),
        calls=dict(sorted(calls.items())),
        kinds=tuple(sorted(kinds)),
        strided=bool(counts["gathers"]) or _strided(body),
        **counts,
    )


def _counted(one: Instruction) -> Counter[str]:
    """What one instruction adds to the counts of a loop."""
    made = Counter[str]()
    name = one.mnemonic
    if name.startswith("j"):
        made["branches"] += 1
    if "gather" in name:
        made["gathers"] += 1
    made[_memory(one)] += 1
    arithmetic = _FP.match(name)
    if arithmetic and arithmetic[1].startswith("f"):
        made["fma"] += 1
    if _packed(one):
        made["packed"] += 1
    elif arithmetic or _COMPARES.match(name):
        made["scalar"] += 1
    del made[""]
    return made


def _memory(one: Instruction) -> str:
    """``"loads"``, ``"stores"``, or nothing; what reads and writes one place counts as a store."""
    name = one.mnemonic
    if name in ("lea", "call", "prefetcht0", "prefetcht1", "prefetcht2") or name.startswith("nop"):
        return ""
    if not _MEMORY.search(one.operands):
        return ""
    first = one.operands.split(",", 1)[0]
    written = _MEMORY.search(first) and not re.match(r"^(?:cmp|test|push|j|v?u?comis)", name)
    return "stores" if written else "loads"


def _packed(one: Instruction) -> bool:
    found = _FP.match(one.mnemonic)
    if found is not None:
        return found[2] == "p"
    return bool(_PACKED_INTEGER.match(one.mnemonic))


def _kind(one: Instruction) -> str | None:
    """The operation without its width: ``add`` for vaddss and vaddps alike."""
    if _COMPARES.match(one.mnemonic):
        return "cmp"
    found = _FP.match(one.mnemonic)
    if found is None:
        return None
    # Both a comparison's condition and a multiply-add's order of operands depend on the width.
    return "cmp" if found[1].startswith("cmp") else re.sub(r"\d+$", "", found[1])


def _bits(one: Instruction) -> int:
    names: Iterable[str] = re.findall(r"\b([xyz]mm)\d+", one.operands)
    return max((_REGISTER_BITS[name] for name in names), default=128)


def _libm(one: Instruction) -> str | None:
    if one.mnemonic not in ("call", "jmp") or one.target is None:
        return None
    name = one.target[1].partition("@")[0]
    return name if _LIBM.match(name) else None


def _strided(body: Sequence[Instruction]) -> bool:
    """Whether a register that data is read through moves by more than twice what is read there.

    A step in another register counts as large: for neighbours a compiler knows the number. A loop
    that goes by an index, ``[base+index*4]``, steps with the index and is no such loop.
    """
    steps = _steps(body)
    read = Counter[str]()
    for one in body:
        found = _MEMORY.search(one.operands)
        if found and _memory(one) == "loads" and re.search(r"[xyz]mm", one.operands):
            base = re.match(r"r\w+", found[2])
            if base and "*" not in found[2]:
                read[base[0]] += _LOAD_BYTES.get(found[1], 0)
    return any(_far(steps[base], nbytes) for base, nbytes in read.items() if base in steps)


def _far(step: int | None, nbytes: int) -> bool:
    return step is None or step > 2 * nbytes


def _steps(body: Sequence[Instruction]) -> dict[str, int | None]:
    """How far each register moves in one round, in bytes; None when that is in a register."""
    steps: dict[str, int | None] = {}
    for one in body:
        if found := _STEP.match(one.text):
            number = found[2]
            known = None if number.startswith("r") else _distance(number)
            steps[found[1]] = known
        elif (found := _LEA_STEP.match(one.text)) and found[1] == found[2]:
            steps[found[1]] = None
    return steps


def _distance(number: str) -> int:
    value = int(number, 0)
    # objdump prints a negative number as its 64 bits.
    return abs(value - (1 << 64)) if value >= 1 << 63 else abs(value)
