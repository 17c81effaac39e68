"""From the calls that a candidate's file made to what is compiled: one plan per source, and links.

The calls come from a process in which the candidate's code ran, so they are a stranger's word: they
are taken apart here, and nothing of that process but this text is used. No code of the candidate
runs in a build that is planned here, so what a compiler made of a text can be kept for the next.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from kernelwright.core.errors import BuildRefused
from kernelwright.core.protocols import HEADER_FOLDER, BuildPlan
from kernelwright.core.record import Record
from kernelwright.languages import extension_flags as flags
from kernelwright.languages.cuda import find_nvcc
from kernelwright.languages.extension_calls import object_name
from kernelwright.languages.machine import cuda_arch
from kernelwright.languages.sources import MAX_BYTES, own_file
from kernelwright.languages.torch_headers import TorchHome, cuda_home, torch_home

SCRIPT = "kw_extension.py"
MODULE = "kw_module.py"
MAX_CALLS = 4
_OBJECT, _SHARED = "unit.o", "extension.so"
_HEADER = "kw_torch.h"
_LANGUAGE = ("-std=c++20", "-O2", "-fPIC", "-DTORCH_API_INCLUDE_EXTENSION_H")
_MESSAGES = ("-fmax-errors=5", "-fdiagnostics-color=never")
# As torch compiles CUDA sources, so that a text means the same.
_DEVICE = (
    "-D__CUDA_NO_HALF_OPERATORS__", "-D__CUDA_NO_HALF_CONVERSIONS__",
    "-D__CUDA_NO_HALF2_OPERATORS__", "-D__CUDA_NO_BFLOAT16_CONVERSIONS__",
    "--expt-relaxed-constexpr",
)  # fmt: skip
_SHADOWED = ("torch/extension.h", "torch/types.h", "torch/all.h", "torch/torch.h")
_SLIM = "kw_slim"
# What the small header has not, seen before a compiler is asked.
_NEEDS_ALL = re.compile(
    r"PYBIND11|pybind11|\bpy::|torch/csrc|torch::(nn|jit|autograd)|TORCH_LIBRARY"
)
_HEADERS_OF_OWN = (".h", ".hpp", ".cuh")

_Name = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,99}$")]
_Function = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_:]{0,199}$")]
_Flags = Annotated[list[Annotated[str, Field(max_length=400)]], Field(max_length=40)]
_Texts = Annotated[list[Annotated[str, Field(max_length=MAX_BYTES)]], Field(max_length=16)]


class Call(Record, strict=True):
    """One call of `load_inline` or `load`, with the fields of `extension_calls.FIELDS`.

    `cpp` and `cuda` are texts, `files` names of the candidate's own files, `checked` whether C++
    errors become torch's, `python` whether it is a Python module.
    """

    name: _Name
    cpp: _Texts
    cuda: _Texts
    files: Annotated[list[str], Field(max_length=16)]
    functions: Annotated[dict[_Function, str], Field(max_length=64)] | None
    cflags: _Flags
    cuda_cflags: _Flags
    ldflags: _Flags
    include_paths: _Flags
    with_cuda: bool | None
    checked: bool
    python: bool


_CALLS: TypeAdapter[list[Call]] = TypeAdapter(Annotated[list[Call], Field(max_length=MAX_CALLS)])


@dataclass(frozen=True)
class Extensions:
    """Plans the extensions of a candidate, whose `files` and `main` file these are."""

    files: Mapping[str, str]
    main: str

    def __call__(self, wrote: bytes) -> BuildPlan:
        """The candidate's files with the extensions that they ask for, as `kw_module.py`.

        Raises:
            BuildRefused: there are none, too many, or one asks for what is not allowed.
        """
        calls = read_calls(wrote)
        if not calls:
            raise BuildRefused(
                f"{self.main} calls neither load_inline nor load when it is imported, so there is "
                "nothing to build. Call it at the top of the file, or use the language python."
            )
        own = {SCRIPT: own_file("extension_calls.py"), MODULE: _module(self.main)}
        return BuildPlan(
            files={**self.files, **own},
            commands=(),
            artifact=MODULE,
            lane="module",
            parts={object_name(call.model_dump()): _linked(call, self.files) for call in calls},
        )


def read_calls(wrote: bytes) -> list[Call]:
    """The calls in `wrote`, as JSON.

    Raises:
        BuildRefused: it is none, or a call is not of the form of one.
    """
    try:
        return _CALLS.validate_python(json.loads(wrote))
    except ValidationError as error:
        first = error.errors()[0]
        where = " of ".join(str(part) for part in reversed(first["loc"][1:])) or "The list of calls"
        raise BuildRefused(
            f"A call of load_inline cannot be built: {where}: {first['msg']}."
        ) from error
    except (ValueError, RecursionError) as error:
        raise BuildRefused("The calls of load_inline could not be read.") from error


def _module(main: str) -> str:
    return (
        f"import kw_extension\n\nModelNew = kw_extension.candidate({json.dumps(main)}).ModelNew\n"
    )


def _linked(call: Call, files: Mapping[str, str]) -> BuildPlan:
    """One shared object, of as many units as it has sources."""
    for path in call.include_paths:
        if path != ".":
            raise BuildRefused(
                f"The path {path!r} in extra_include_paths is not the candidate's own folder. "
                "Headers beside the file are found without it."
            )
    units = _units(call, files)
    cuda = bool(call.with_cuda) or any(name.endswith(".cu") for name in units)
    home = torch_home()
    host = flags.checked(call.cflags, flags.COMPILE, "extra_cflags")
    device = flags.checked(call.cuda_cflags, flags.DEVICE, "extra_cuda_cflags")
    link = flags.checked(call.ldflags, flags.LINK, "extra_ldflags")
    parts = {
        f"{name}.o": _device_unit(call, name, texts, device, home)
        if name.endswith(".cu")
        else _host_unit(call, name, texts, host, home, cuda=cuda)
        for name, texts in units.items()
    }
    if "-fopenmp" in host or any("-fopenmp" in flag for flag in device):
        link = (*link, "-fopenmp")
    command = ("g++", "-shared", *parts, "-o", _SHARED, *home.libraries(cuda=cuda), *link)
    return BuildPlan(
        files={"torch.txt": home.version},
        commands=(command,),
        artifact=_SHARED,
        lane="module",
        reads=home.reads,
        parts=parts,
    )


def _units(call: Call, files: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """What is compiled by the name that a compiler is given: for each the files around it, in which
    it finds itself, the candidate's headers, and what its messages quote."""
    missing = [name for name in call.files if name not in files]
    if missing:
        raise BuildRefused(f"load names {missing[0]!r}, which is not among the candidate's files.")
    odd = [name for name in call.files if Path(name).suffix not in (".cpp", ".cc", ".cxx", ".cu")]
    if odd:
        raise BuildRefused(f"load names {odd[0]!r}, which is neither C++ (.cpp) nor CUDA (.cu).")
    beside = {name: text for name, text in files.items() if name.endswith(_HEADERS_OF_OWN)}
    units = {name: {**beside, name: files[name]} for name in call.files}
    if call.cpp or call.functions:
        shown = _named("cpp_sources", call.cpp)
        units["cpp_sources.cpp"] = (
            beside | shown | {"cpp_sources.cpp": _numbered(shown) + _bindings(call)}
        )
    if call.cuda:
        shown = _named("cuda_sources", call.cuda)
        # In the order of `load_inline`: a text may count on what these bring.
        start = "#include <torch/types.h>\n#include <cuda.h>\n#include <cuda_runtime.h>\n"
        units["cuda_sources.cu"] = beside | shown | {"cuda_sources.cu": start + _numbered(shown)}
    if not units:
        raise BuildRefused(f"The extension {call.name!r} has no source.")
    return units


def _named(argument: str, texts: Sequence[str]) -> dict[str, str]:
    """The texts by the names that messages call them, as ``cpp_sources`` or ``cpp_sources[1]``."""
    if len(texts) == 1:
        return {argument: texts[0]}
    return {f"{argument}[{number}]": text for number, text in enumerate(texts)}


def _numbered(texts: Mapping[str, str]) -> str:
    """The texts one after the other, each with its own count of lines."""
    return "".join(f'#line 1 "{name}"\n{text}\n' for name, text in texts.items())


def _bindings(call: Call) -> str:
    """The text that makes `functions` callable from Python."""
    if call.functions is None:
        return ""
    lines = []
    for function, doc in call.functions.items():
        bound = f"torch::wrap_pybind_function({function})" if call.checked else function
        printable = "".join(c for c in doc if c.isprintable() or c == "\n")
        lines.append(
            f'    m.def("{function}", {bound}, {json.dumps(printable, ensure_ascii=False)});'
        )
    body = "\n".join(lines)
    return f'#line 1 "functions"\nPYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {{\n{body}\n}}\n'


def _host_unit(
    call: Call,
    name: str,
    texts: Mapping[str, str],
    given: tuple[str, ...],
    home: TorchHome,
    *,
    cuda: bool,
) -> BuildPlan:
    include = ("-isystem", str(cuda_home() / "include")) if cuda else ()
    return BuildPlan(
        files=texts,
        commands=((
            "g++", *_LANGUAGE, *_MESSAGES, *home.includes, *include, *given,
            f"-DTORCH_EXTENSION_NAME={call.name}", "-include", f"{HEADER_FOLDER}/{_HEADER}",
            "-c", name, "-o", _OBJECT,
        ),),
        artifact=_OBJECT,
        lane="module",
        reads=home.reads,
        header=header_plan(flags.of_headers(given), home),
    )  # fmt: skip


def header_plan(given: tuple[str, ...], home: TorchHome) -> BuildPlan:
    """torch's headers, precompiled with the flags `given`: about 800 MB."""
    command = ("g++", *_LANGUAGE, *home.includes, *given, "-x", "c++-header", _HEADER)
    return BuildPlan(
        files={_HEADER: f"// torch {home.version}\n#include <torch/extension.h>\n"},
        commands=((*command, "-o", f"{_HEADER}.gch"),),
        artifact=f"{_HEADER}.gch",
        lane="module",
        reads=home.reads,
        ours=True,
    )


def _device_unit(
    call: Call,
    name: str,
    texts: Mapping[str, str],
    given: tuple[str, ...],
    home: TorchHome,
) -> BuildPlan:
    """A CUDA source, at first with a small part of torch's headers: nvcc reads them three times,
    and no header is precompiled for it."""
    nvcc = find_nvcc()
    if nvcc is None:
        raise BuildRefused("There is CUDA source, and no nvcc here to build it with.")
    arch = () if flags.names_an_architecture(given) else (f"-arch={cuda_arch()}",)

    def plan(
        files: Mapping[str, str], first: tuple[str, ...], after: BuildPlan | None
    ) -> BuildPlan:
        command = (
            nvcc, "-std=c++20", "-t", "0", *first, *home.includes, *_DEVICE, *arch,
            "-DTORCH_API_INCLUDE_EXTENSION_H", f"-DTORCH_EXTENSION_NAME={call.name}",
            "-Xcompiler", "-fPIC,-fmax-errors=5", *given, "-c", name, "-o", _OBJECT,
        )  # fmt: skip
        return BuildPlan(
            files={**texts, "torch.txt": home.version, **files},
            commands=(command,), artifact=_OBJECT, lane="module", reads=home.reads, otherwise=after,
        )  # fmt: skip

    whole = plan({}, (), None)
    if _NEEDS_ALL.search("".join(texts.values())):
        return whole
    small = own_file("native", "slim_torch.h")
    slim = {f"{_SLIM}/{shadowed}": '#include "slim_torch.h"\n' for shadowed in _SHADOWED}
    return plan({**slim, f"{_SLIM}/slim_torch.h": small}, (f"-I{_SLIM}",), whole)
