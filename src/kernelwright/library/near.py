"""Whether two problems are one, or nearly so: what a result that is reported must not be told of.

Two things are compared, either of which is enough. The graphs, with names, order and sizes taken
out: the key of the normal form, which also takes the spelling out, and that of the plain graph,
which every traced program has. And the texts of the references: the share of runs of tokens that
they have in common, names and numbers taken out, where they also call much the same. So a variant
with another type, axis or constant is found as well, and a forward pass where the backward one is
meant.
"""

from __future__ import annotations

import hashlib
import io
import keyword
import tokenize
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from kernelwright.core.graph import Extent, Graph, Ref, Unexplained
from kernelwright.core.problem import Problem
from kernelwright.generate.features import operations
from kernelwright.library.normal.form import NoForm, normal_form

# Texts are nearly the same that share so much of their runs of tokens, and of what they call. Short
# references are mostly frame, so the first alone would take a softmax for a running sum.
NEAR_TEXTS, NEAR_CALLS = 0.8, 0.5
_RUN = 5
_LAYOUT = (
    tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT,
    tokenize.ENCODING, tokenize.ENDMARKER,
)  # fmt: skip

Runs = frozenset[tuple[str, ...]]


@dataclass(frozen=True, kw_only=True)
class Print:
    """What a problem is recognised by: the keys of its graph, the runs of its text's tokens, and
    what that calls."""

    keys: frozenset[str]
    runs: Runs
    calls: frozenset[str]

    def near(self, other: Print) -> bool:
        """Whether the two are one problem, or nearly."""
        if self.keys & other.keys:
            return True
        called = not (self.calls or other.calls) or alike(self.calls, other.calls) >= NEAR_CALLS
        return called and alike(self.runs, other.runs) >= NEAR_TEXTS


def print_of(text: str, keys: Iterable[str]) -> Print:
    """The print of a problem whose reference is `text` and whose graph has `keys`, none where it
    could not be traced."""
    calls = frozenset(name.replace("_", "") for name in operations(text))
    return Print(keys=frozenset(keys), runs=runs_of(text), calls=calls)


def keys_of(problem: Problem, graph: Graph) -> frozenset[str]:
    """The keys of what `problem` computes, which was traced to `graph`."""
    try:
        return frozenset({plain_key(graph), normal_form(problem, graph).key})
    except NoForm:
        return frozenset({plain_key(graph)})


def plain_key(graph: Graph) -> str:
    """A hash of the operators and of what each is applied to. Tensors are numbered in the order in
    which they are used; sizes, shapes and types are left out."""
    numbers: dict[str, int] = {}

    def said(value: Any) -> Any:
        match value:
            case Ref(ref=name):
                return f"%{numbers.setdefault(name, len(numbers))}"
            case Extent() | Unexplained():
                return "size"
            case tuple():
                return [said(part) for part in value]
            case _:
                return repr(value)

    lines = []
    for node in graph.nodes:
        named = sorted((name, said(value)) for name, value in node.kwargs.items())
        lines.append(repr((node.op, said(node.args), named)))
        numbers.setdefault(node.name, len(numbers))
    lines.append(repr([said(Ref(ref=name)) for name in graph.outputs]))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:32]


def runs_of(text: str) -> Runs:
    """The runs of five tokens in a Python text. Comments, layout, strings, numbers and the names
    that its author chose make no difference; what is called of torch does."""
    tokens = _tokens(text)
    return frozenset(zip(*(tokens[n:] for n in range(_RUN)), strict=False))


def alike(one: frozenset[Any], other: frozenset[Any]) -> float:
    """The share of both that they have in common, from 0 to 1; 0 for nothing."""
    return len(one & other) / len(one | other) if one and other else 0.0


def _tokens(text: str) -> list[str]:
    found: list[str] = []
    before = ("", "")
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type in _LAYOUT:
                continue
            found.append(_plain(token, before))
            before = (before[1], token.string)
    except (tokenize.TokenError, SyntaxError):
        return text.split()
    return found


def _plain(token: tokenize.TokenInfo, before: tuple[str, str]) -> str:
    match token.type:
        case tokenize.NUMBER:
            return "0"
        case tokenize.STRING:
            return '""'
        case tokenize.NAME if not keyword.iskeyword(token.string):
            # Of ``self.weight`` the author chose the name, of ``torch.softmax`` torch did.
            of_module = before[1] == "." and before[0] != "self"
            return token.string if of_module else "_"
        case _:
            return token.string
