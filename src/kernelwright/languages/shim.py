"""The text that joins a native candidate to the judge's C ABI, in one translation unit.

The judge calls ``kw_entry(tensors, axes)``; the candidate writes a typed function. The shim
includes the candidate, checks its signature at compile time and passes the arguments on. What is
the same for every problem lives in ``native/*.h``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from kernelwright.core.candidate import Candidate
from kernelwright.core.problem import Problem
from kernelwright.languages.signature import Parameter, Signature, signature
from kernelwright.languages.sources import own_file

HEADERS = {
    "kw_prelude.h": "prelude.h",
    "kw_accept.h": "accept.h",
    "kw_entry.h": "entry.h",
}

# Slow to compile, so included only for a text that seems to use them.
_ON_DEMAND = {
    "immintrin.h": r"\b_mm|\b__m(128|256|512)",
    "array": r"\barray\b",
    "atomic": r"\batomic",
    "complex": r"\bcomplex\b",
    "cstdio": r"printf\b|\bput[sc]",
    "functional": r"\bfunction\b|\bfunctional\b",
    "memory": r"_ptr\b|\bmake_unique\b",
    "numeric": r"\b(accumulate|iota|inner_product|reduce|gcd)\b",
    "string": r"\bstring\b",
    "thread": r"\bthread\b",
    "tuple": r"\b(tuple|tie)\b",
    "type_traits": r"\b(is|enable|conditional|decay)_\w+",
    "utility": r"\b(pair|move|swap|forward)\b",
    "vector": r"\bvector\b",
}


def headers() -> dict[str, str]:
    """Our own header files, by the name that the shim includes them under."""
    return {name: own_file("native", original) for name, original in HEADERS.items()}


def includes(text: str) -> list[str]:
    """The standard headers that `text` seems to need beyond those of the prelude.

    >>> includes("std::vector<float> rows(n);")
    ['vector']
    """
    return [header for header, use in _ON_DEMAND.items() if re.search(use, text)]


def shim(
    candidate: Candidate,
    problem: Problem,
    *,
    after: Sequence[Parameter] = (),
) -> str:
    """The C++ translation unit of `candidate`; it includes the candidate's main file.

    `after` are parameters that the language adds behind the sizes.
    """
    sig, entry = signature(problem), candidate.source.name
    extra = includes("\n".join(candidate.source.files.values()))
    return "\n".join(
        [
            '#include "kw_prelude.h"',
            *(f"#include <{header}>" for header in extra),
            # Defined here and not for the whole unit: a tunable `T` must not reach a header.
            *(f"#define {name} {value}" for name, value in candidate.values.items()),
            f'#include "{candidate.source.main_file}"',
            *(f"#undef {name}" for name in candidate.values),
            '#include "kw_accept.h"',
            *_check(entry, sig, after),
            *_call(entry, sig, after),
            '#include "kw_entry.h"',
            "",
        ]
    )


def _check(entry: str, sig: Signature, after: Sequence[Parameter]) -> list[str]:
    declared = sig.declaration(entry, after=map(str, after))
    wanted = ", ".join(_pattern(p) for p in [*sig.parameters, *after])
    return [
        f"using kw_expected = kw_signature<{wanted}>;",
        # The compiler prints this line when there is no such function at all.
        f"static_assert(kw_expected::matches(&{entry}), // expected: {declared}",
        f"              {json.dumps(f'write the function as: {declared}')});",
    ]


def _pattern(parameter: Parameter) -> str:
    if parameter.kind == "tensor":
        return f"kw_pointer<{parameter.c_type.removesuffix('*')}>"
    return f"kw_value<{parameter.c_type}>"


def _call(entry: str, sig: Signature, after: Sequence[Parameter]) -> list[str]:
    """``kw_call``, which has the judge's untyped arguments and calls the candidate's function."""
    arguments = [
        f"*static_cast<const {parameter.c_type}*>(tensors[{at}])"
        if parameter.kind == "scalar"
        else f"kw_tensor{{tensors[{at}]}}"
        for at, parameter in enumerate(sig.inputs + sig.outputs)
    ]
    arguments += [f"axes[{at}]" for at in range(len(sig.sizes))]
    arguments += [p.name for p in after]
    taken = ", ".join(["void* const* tensors", "const int64_t* axes", *map(str, after)])
    return [
        f"static void kw_call({taken}) {{",
        "    (void)tensors, (void)axes;",
        f"    {entry}({', '.join(arguments)});",
        "}",
    ]
