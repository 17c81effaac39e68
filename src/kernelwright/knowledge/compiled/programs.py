"""A generated Triton kernel as one that knows neither torch nor the sizes that it was made for.

What it calls of torch's runtime becomes a function of ours (``pieces.txt`` of the sketches) or
Triton's own; what has none is refused by its name. Positions are of a type that the launch chooses.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kernelwright.core.graph import Extent
from kernelwright.knowledge.compiled.joining import Piece, Scalar, free_names
from kernelwright.knowledge.compiled.parts import NoSeed
from kernelwright.knowledge.sketches.poly import Poly
from kernelwright.knowledge.sketches.text import grouped

INDEX = "INDEX"

_HEURISTICS = re.compile(r"@triton_heuristics\.(\w+)\(")
_GRID = re.compile(r"'grid_type': '(\w+)'")
_HINT = re.compile(r"ReductionHint\.(\w+)")
_BEGIN = "@triton.jit\n"
# A number of elements that is written down again, instead of the one that the launch gives.
_NUMEL = re.compile(r"^    (xnumel|ynumel|r0_numel) = \d+\n", re.MULTILINE)
_SHORT = re.compile(r"#pragma (\w+) (\w+) (\w+)\n@triton\.jit\n")
_HEAD = re.compile(r"def \w+\((?P<parameters>[^)]*)\):\n")
_POSITIONS = re.compile(r"tl\.program_id\(\d\)|tl\.arange\(0, \w+\)")

_THEIRS = {
    "triton_helpers.maximum(": "kw_max(",
    "triton_helpers.minimum(": "kw_min(",
    "triton_helpers.div_floor_integer(": "kw_floor_div(",
    "triton_helpers.remainder_integer(": "kw_remainder(",
    "triton_helpers.max2(": "kw_max_along(",
    "triton_helpers.min2(": "kw_min_along(",
    "triton_helpers.prod(": "kw_prod_along(",
    "triton_helpers.any(": "kw_any_along(",
    "triton_helpers.max_with_index(": "kw_argmax_along(",
    "triton_helpers.min_with_index(": "kw_argmin_along(",
    "triton_helpers.maximum_with_index(": "kw_larger_at(",
    "triton_helpers.minimum_with_index(": "kw_smaller_at(",
    "triton_helpers.welford_reduce(": "kw_welford_add(",
    "triton_helpers.welford_combine(": "kw_welford_both(",
    "triton_helpers.welford(": "kw_welford_along(",
    "triton_helpers.promote_to_tensor(": "kw_block(",
}
# Functions of numbers: Triton's own, or ours.
_FUNCTIONS = {
    **{name: f"tl.{name}" for name in (
        "abs", "exp", "exp2", "log", "log2", "sin", "cos", "erf", "floor", "ceil",
    )},
    "sqrt": "tl.sqrt_rn", "rsqrt": "kw_rsqrt", "tanh": "kw_tanh", "expm1": "kw_expm1",
    "log1p": "kw_log1p", "trunc": "kw_trunc", "nearbyint": "kw_round", "rint": "kw_round",
    "isnan": "kw_isnan", "isinf": "kw_isinf", "signbit": "kw_signbit",
}  # fmt: skip
_FUNCTION = re.compile(r"\b(?:libdevice|tl_math)\.(\w+)")
_ONLY_TORCH = re.compile(r"\b(?:triton_helpers|libdevice|tl_math)\.\w+|_triton_helper_fn\w*")
_ROOTS = {
    0.5: "tl.sqrt_rn({0})", -1.0: "(1.0 / {0})", -0.5: "(1.0 / tl.sqrt_rn({0}))",
}  # fmt: skip


def in_short(source: str) -> str:
    """The function of a kernel's generated `source`, behind a line that says how it is launched:
    of what kind it is, in how many dimensions, and what its tiles had better be like. That line is
    a pragma, which `joining` lets differ between sizes.

    Raises:
        NoSeed: it is of a form that is not known.
    """
    kind, grid, hint = (found.search(source) for found in (_HEURISTICS, _GRID, _HINT))
    begin = source.rfind(_BEGIN)
    if kind is None or grid is None or begin < 0 or source.count(_BEGIN) > 1:
        raise NoSeed("torch.compile generates a kernel in Triton in a form that is not known.")
    said = f"#pragma {kind[1]} {grid[1]} {hint[1] if hint else 'NONE'}\n"
    return said + _NUMEL.sub("", source[begin:].strip() + "\n")


@dataclass(frozen=True, kw_only=True)
class Program:
    """A kernel of a candidate. It is given tensors and numbers of elements as the generated one is,
    then `more`, each size and scalar as it is called here and in a launch; last come INDEX and its
    `blocks`. `written` says of each of its own arguments whether it may be written to, and
    `constants` are those of `more` that must be known when it is compiled."""

    text: str
    kind: str
    grid: str
    hint: str
    written: tuple[bool, ...]
    more: tuple[tuple[str, str], ...]
    constants: frozenset[str]
    blocks: tuple[str, ...]


def program(name: str, source: Sequence[Piece], known: Mapping[str, str]) -> Program:
    """The kernel `name`. `known` are the sizes and scalars that there are, with their names in a
    launch.

    Raises:
        NoSeed: it calls what only torch has.
    """
    names = free_names(source, known, (INDEX,))
    text = "".join(_written(piece, names) for piece in source)
    short = _SHORT.match(text)
    head = _HEAD.search(text)
    if short is None or head is None:
        raise NoSeed(f"torch.compile generates {name} in a form that is not known.")
    body = _ours(name, text[head.end() :])
    own, blocks = _parameters(head["parameters"])
    used = [n for n in known if re.search(rf"\b{names[n]}\b", body)]
    constants = _divided_by(source) & set(used)
    more = [f"{names[n]}: tl.constexpr" if n in constants else names[n] for n in used]
    listed = [*own, *more, *(f"{each}: tl.constexpr" for each in (INDEX, *blocks))]
    return Program(
        text=f"@triton.jit\ndef {name}({', '.join(listed)}):\n{body}".rstrip(),
        kind=short[1],
        grid=short[2],
        hint=short[3],
        written=tuple(not parameter.startswith("in_ptr") for parameter in own),
        more=tuple((names[n], known[n]) for n in used),
        constants=frozenset(names[n] for n in constants),
        blocks=tuple(blocks),
    )


def _written(piece: Piece, names: Mapping[str, str]) -> str:
    match piece:
        case str():
            return piece
        case Scalar(name=name):
            return names[name]
        case Extent():
            return _number(piece, names)


def _number(extent: Extent, names: Mapping[str, str]) -> str:
    base = Poly.from_extent(extent.model_copy(update={"power": 1.0})).text(names, "//")
    if extent.power == 1.0:
        return grouped(base)
    if extent.power not in _ROOTS:
        raise NoSeed(
            f"torch.compile generates a size to the power of {extent.power}, which is not known."
        )
    return _ROOTS[extent.power].format(f"tl.full([], {base}, tl.float32)")


def _divided_by(source: Sequence[Piece]) -> set[str]:
    """The axes of sizes that positions are divided by: constants, so that this costs little."""
    found = set[str]()
    for before, piece in itertools.pairwise(source):
        division = isinstance(before, str) and re.search(r"(//|%)\s*$", before)
        if division and isinstance(piece, Extent):
            found |= {*piece.axes, *piece.over}
    return found


def _parameters(listed: str) -> tuple[list[str], list[str]]:
    """The parameters that are given, and the blocks among them."""
    parameters = [parameter.strip() for parameter in listed.split(",")]
    blocks = [p.partition(":")[0].strip() for p in parameters if "constexpr" in p]
    return [p for p in parameters if "constexpr" not in p], blocks


def _ours(name: str, body: str) -> str:
    """The body without torch."""
    for theirs, ours in _THEIRS.items():
        body = body.replace(theirs, ours)
    body = _FUNCTION.sub(lambda found: _FUNCTIONS.get(found[1], found[0]), body)
    if (left := _ONLY_TORCH.search(body)) is not None:
        raise NoSeed(
            f"{name}, which torch.compile generates, calls {left[0]}, which only torch has."
        )
    return _POSITIONS.sub(rf"\g<0>.to({INDEX})", body)
