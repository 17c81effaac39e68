"""The C function that a native candidate writes for a problem: its parameters, in order, in C.

Everything that names a parameter (the shim, the guides, the sketches) takes the name from here,
so that a tensor called ``layers.0.weight`` or ``int`` is the same identifier everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from kernelwright.core.problem import DType, Problem, TensorSpec

C_TYPES: dict[DType, str] = {
    "float64": "double", "float32": "float", "float16": "float16", "bfloat16": "bfloat16",
    "float8_e4m3fn": "float8_e4m3fn", "float8_e5m2": "float8_e5m2", "int64": "int64_t",
    "int32": "int32_t", "int16": "int16_t", "int8": "int8_t", "uint8": "uint8_t", "bool": "bool",
}  # fmt: skip

# Keywords of C++17 that can be a Python name, and what the prelude's headers define as macros.
_WORDS = """
    alignas alignof and_eq asm auto bitand bitor bool case catch char char16_t char32_t
    compl const constexpr const_cast decltype default delete do double dynamic_cast enum
    explicit export extern false float friend goto inline int long mutable namespace new
    noexcept not_eq nullptr operator or_eq private protected public register
    reinterpret_cast short signed sizeof static static_assert static_cast struct switch
    template this thread_local throw true typedef typeid typename union unsigned using
    virtual void volatile wchar_t xor xor_eq and break class continue else for if not or
    return try while NAN INFINITY NULL EOF HUGE_VAL errno assert stream kernel launch
    """
_TAKEN = frozenset(_WORDS.split())


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One parameter. `spec` is the tensor or scalar that it is, None for a size."""

    name: str
    c_type: str
    kind: Literal["tensor", "scalar", "size"]
    spec: TensorSpec | None = None

    def __str__(self) -> str:
        return f"{self.c_type} {self.name}"


@dataclass(frozen=True, kw_only=True)
class Signature:
    """The parameters: the problem's inputs, its outputs, then one size for each axis."""

    inputs: tuple[Parameter, ...]
    outputs: tuple[Parameter, ...]
    sizes: tuple[Parameter, ...]

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """All of them, in calling order."""
        return self.inputs + self.outputs + self.sizes

    @property
    def names(self) -> tuple[str, ...]:
        """Their names, in calling order."""
        return tuple(p.name for p in self.parameters)

    def declaration(self, entry: str, *, after: Iterable[str] = ()) -> str:
        """The function's declaration on one line, without a semicolon.

        `after` are further parameters, as written.
        """
        listed = ", ".join([*map(str, self.parameters), *after])
        return f'extern "C" void {entry}({listed})'


def signature(problem: Problem) -> Signature:
    """What a native candidate for `problem` is called with."""
    taken: set[str] = set()
    return Signature(
        inputs=tuple(_of_tensor(spec, taken) for spec in problem.inputs),
        outputs=tuple(_of_tensor(spec, taken) for spec in problem.outputs),
        sizes=tuple(
            Parameter(name=_identifier(axis, taken), c_type="int64_t", kind="size")
            for axis in problem.axes
        ),
    )


def _of_tensor(spec: TensorSpec, taken: set[str]) -> Parameter:
    name, c_type = _identifier(spec.name, taken), C_TYPES[spec.dtype]
    if spec.role == "scalar":
        return Parameter(name=name, c_type=c_type, kind="scalar", spec=spec)
    const = "" if spec.role == "output" else "const "
    return Parameter(name=name, c_type=f"{const}{c_type}*", kind="tensor", spec=spec)


def _identifier(name: str, taken: set[str]) -> str:
    """`name` as a C identifier that is not in `taken`, to which it is added."""
    base = re.sub(r"\W", "_", name, flags=re.ASCII)
    # Names with `__`, or with `_` and a capital, belong to the compiler.
    base = re.sub(r"__+", "_", base).strip("_") or "x"
    base = f"t{base}" if base[0].isdigit() else base
    base = f"{base}_" if base in _TAKEN else base
    found, count = base, 2
    while found in taken:
        found, count = f"{base.rstrip('_')}_{count}", count + 1
    taken.add(found)
    return found
