"""An outline's nodes as units that a cut does not take apart, and what kind of work each is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from kernelwright.core.graph import Graph, Node, Ref

_VIEW_OPS = """
alias chunk contiguous detach expand expand_as flatten getitem narrow permute reshape select slice
split split_with_sizes squeeze swapaxes t transpose unbind unflatten unsqueeze view view_as
"""
# What is worth a kernel by itself, with what comes before and after it.
_PRODUCT_OPS = """
addbmm addmm addmv baddbmm bmm conv1d conv2d conv3d conv_transpose1d conv_transpose2d
conv_transpose3d convolution einsum linear matmul mm mv scaled_dot_product_attention
"""
_VIEWS, _PRODUCTS = frozenset(_VIEW_OPS.split()), frozenset(_PRODUCT_OPS.split())


def op_name(node: Node) -> str:
    """The operator in one word: ``layer_norm`` for ``aten.layer_norm.default``."""
    parts = node.op.split(".")
    return parts[1] if len(parts) > 1 else node.op


def refs(argument: Any) -> Iterator[str]:
    """The values that an argument names, in order."""
    if isinstance(argument, Ref):
        yield argument.ref
    elif isinstance(argument, tuple | list):
        for each in argument:
            yield from refs(each)


def node_refs(node: Node) -> list[str]:
    """The values that a node is given, each once, in order."""
    return list(dict.fromkeys(refs((*node.args, *node.kwargs.values()))))


@dataclass(frozen=True, kw_only=True)
class Unit:
    """A node, with the ``getitem`` nodes that take its results apart. `name` is the node's."""

    name: str
    nodes: tuple[Node, ...]
    reads: tuple[str, ...]

    @property
    def op(self) -> str:
        """The operator in one word."""
        return op_name(self.nodes[0])

    @property
    def makes(self) -> tuple[str, ...]:
        """The values that others may use: the parts of what has several results."""
        return tuple(n.name for n in self.nodes[1:] or self.nodes)

    @property
    def is_view(self) -> bool:
        """Whether torch does it without touching an element."""
        return self.op in _VIEWS

    @property
    def is_product(self) -> bool:
        """Whether it is worth a kernel by itself."""
        return self.op in _PRODUCTS

    @property
    def is_work(self) -> bool:
        """Whether it computes something from what it is given."""
        return bool(self.reads) and not self.is_view


def units_of(graph: Graph) -> tuple[Unit, ...]:
    """The units of `graph`, in its order."""
    parts: dict[str, list[Node]] = {}
    owner: dict[str, str] = {}
    for node in graph.nodes:
        given = node_refs(node)
        if node.op == "getitem" and given[0] in parts:
            parts[given[0]].append(node)
            owner[node.name] = given[0]
        else:
            parts[node.name] = [node]
    return tuple(
        Unit(name=name, nodes=tuple(nodes), reads=tuple(node_refs(nodes[0])))
        for name, nodes in parts.items()
    )


def makers(units: Sequence[Unit]) -> dict[str, str]:
    """The unit that makes each value, by name."""
    return {node.name: unit.name for unit in units for node in unit.nodes}
