"""What usually lies behind a compiler's or an interpreter's message, as a sentence for a writer.

A table of facts about C++, CUDA, Python and Triton. The faults at its top are the ones that small
models make most often.
"""

from __future__ import annotations

import re

_NAME = r"[‘'`\"](?P<name>[\w:.~]+)[’'`\"]"
_HEADERS = {
    "vector": "vector", "max": "algorithm", "min": "algorithm", "fill": "algorithm",
    "accumulate": "numeric", "numeric_limits": "limits", "exp": "cmath", "sqrt": "cmath",
    "thread": "thread", "array": "array", "string": "string", "unique_ptr": "memory",
}  # fmt: skip
_MISSING_FORMULAS = {
    "relu": "max(x, 0)",
    "sigmoid": "1 / (1 + exp(-x))",
    "silu": "x / (1 + exp(-x))",
    "gelu": "0.5 * x * (1 + erf(x / sqrt(2)))",
    "softmax": "exp(x - max) divided by its sum",
    "tanh": "2 / (1 + exp(-2 * x)) - 1",
    "softplus": "log(1 + exp(x)), without overflow for large x",
    "clamp": "min(max(x, low), high)",
    "mean": "the sum divided by the count",
}

_SIGNATURE = re.compile(r"write the function as: ([^\n]+)")
_CAUSES: tuple[tuple[str, str], ...] = (
    (
        r"user defined reduction not found",
        "An OpenMP reduction needs a variable that is a number, not a pointer. Add up in a local "
        "variable and store it at the end.",
    ),
    (
        r"there is no class (?P<name>\w+)",
        "The file must define the class {name}, a subclass of torch.nn.Module.",
    ),
    (
        r"has no member named [‘'](?P<name>\w+)|is not a member of [‘']?(?:torch|at|std)",
        "A name is used that its namespace or type does not have.",
    ),
    (
        r"fatal error: (?P<name>\S+): No such file",
        "The header {name} is not there. Only the standard library and what the guide lists is.",
    ),
    (
        r"too (?:few|many) arguments to function " + _NAME,
        "A function is called with the wrong number of arguments; `{name}` names it.",
    ),
    (
        r"conflicting declaration|ambiguating new declaration|conflicting return type",
        "A function is declared twice with different parameters. Keep one, as the guide gives it.",
    ),
    (
        r"redefinition of|multiple definition of",
        "Something is defined twice. Leave out `main` and whatever the guide says is there.",
    ),
    (
        r"undefined reference to|undefined symbol:? ?(?P<name>\w+)?",
        "A function is declared or called and has no body here. Write it, or do without.",
    ),
    (
        r"expected .{1,12} at end of input|was never closed|unexpected EOF",
        "The program ends too early: a brace or a bracket is never closed.",
    ),
    (
        r"target specific option mismatch|inlining failed in call to .always_inline",
        "An intrinsic is used that this CPU does not have. Write plain loops for the compiler.",
    ),
    (
        r"invalid (?:controlling predicate|increment expression)|loop.{0,40}canonical|"
        r"not .{0,20}OpenMP",
        "OpenMP wants plain `for` loops: an integer, compared with a bound, stepped by a constant.",
    ),
    (r"invalid conversion from [‘']const", "An input is const: do not write through its pointer."),
    (
        r"assignment of read-only|increment of read-only|discards qualifiers",
        "An input is const and is written to. Write to the outputs only.",
    ),
    (
        r"no module named " + _NAME,
        "The package {name} is not there. Import only what the guide names.",
    ),
    (
        r"module 'triton(?:\.language)?' has no attribute " + _NAME,
        "Triton has no `{name}`. Write it with tl.exp, tl.where, tl.maximum, tl.sum and the like.",
    ),
    (
        r"name 'self' is not defined|self\.\w+ .{0,40}(?:jit|kernel)",
        "A kernel has no `self`. Pass what it needs as arguments.",
    ),
    (r"name " + _NAME + r" is not defined", "`{name}` is used and never defined or imported."),
    (
        r"has no attribute " + _NAME,
        "`{name}` does not exist there. Check its spelling, or compute it yourself.",
    ),
    (
        r"(?:forward|__init__)\(\) (?:missing|takes)",
        "ModelNew must take the same arguments as Model, in __init__ and in forward.",
    ),
    (
        r"(?:missing|unexpected) key(?:s|\(s\)) in state_dict|error\(s\) in loading state_dict",
        "ModelNew must have parameters of the same names and shapes as Model.",
    ),
    (r"indentationerror|unexpected indent|expected an indented", "The indentation is broken."),
    (r"syntaxerror|invalid syntax|unterminated string", "The text is not valid in its language."),
    (
        r"expected (?:primary-expression|unqualified-id|[‘'][;,)}])",
        "The text is not valid in its language, at the place that the compiler marks.",
    ),
)
_UNKNOWN = re.compile(
    rf"{_NAME} (?:was not declared|has not been declared|does not name a type|is not a member)"
    rf"|use of undeclared identifier {_NAME.replace('name', 'other')}"
    r"|identifier \"(?P<third>\w+)\" is undefined",
    re.IGNORECASE,
)


def likely_causes(text: str, *, most: int = 4) -> list[str]:
    """Sentences on what is behind the messages in `text`, at most `most`, without repetition.

    >>> likely_causes("k.cpp:2:9: error: 'relu' was not declared in this scope")
    ['`relu` does not exist here. Write it out: max(x, 0).']
    """
    wanted = _SIGNATURE.search(text)
    found = (
        [f"The signature is not the one asked for. Define exactly: {wanted[1]}."] if wanted else []
    )
    found += [_unknown(match) for match in _UNKNOWN.finditer(text)]
    for pattern, sentence in _CAUSES:
        match = re.search(pattern, text, re.IGNORECASE)
        if match is not None:
            name = match.groupdict().get("name")
            if name or "{name}" not in sentence:
                found.append(sentence.replace("{name}", name or ""))
    return list(dict.fromkeys(found))[:most]


def _unknown(match: re.Match[str]) -> str:
    name = next(filter(None, match.groups()))
    bare = name.rpartition("::")[2].rpartition(".")[2]
    plain = (
        bare.lower().removesuffix("f") if bare.lower() not in _MISSING_FORMULAS else bare.lower()
    )
    if plain in _MISSING_FORMULAS:
        return f"`{bare}` does not exist here. Write it out: {_MISSING_FORMULAS[plain]}."
    if bare in _HEADERS:
        return f"`{bare}` needs its `std::` and #include <{_HEADERS[bare]}>."
    if re.fullmatch(r"[A-Z][A-Z0-9_]+", bare):
        return (
            f"`{bare}` is used and has no value. If it is to be tuned, declare it on a line like "
            f"`// tunable: {bare} = 64 in {{16, 64, 256}}`; else define it."
        )
    return f"`{bare}` is used and never defined. Define it, or include what has it."
