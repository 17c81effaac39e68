"""The innermost loops of a graph of instructions: what runs round and round with no loop inside.

A compiler places the parts of a loop in any order, so stretches of addresses do not tell its body
from what lies between. What is strongly connected does: a loop, all of it and nothing else.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

Graph = Mapping[int, Collection[int]]


def innermost(graph: Graph) -> list[list[int]]:
    """The nodes of each innermost loop, sorted, in the order of their first.

    A loop without its header, where it is entered, leaves the loops that it holds.

    >>> innermost({1: [2], 2: [2, 3], 3: [1, 4], 4: []})
    [[2]]
    """
    found, waiting = list[list[int]](), _loops(graph)
    while waiting:
        loop = waiting.pop()
        header = _header(graph, loop)
        inside = {node: [n for n in graph[node] if n in loop] for node in loop if node != header}
        held = _loops({node: [n for n in to if n != header] for node, to in inside.items()})
        if held:
            waiting += held
        else:
            found.append(sorted(loop))
    return sorted(found)


def _header(graph: Graph, loop: set[int]) -> int:
    """Where control comes in from outside; the first address when it comes from nowhere."""
    entered = {n for node, to in graph.items() if node not in loop for n in to if n in loop}
    return min(entered or loop)


def _loops(graph: Graph) -> list[set[int]]:
    """The strongly connected parts that hold a cycle (Tarjan's algorithm, without recursion)."""
    order, low = dict[int, int](), dict[int, int]()
    stack, on_stack, found = list[int](), set[int](), list[set[int]]()
    for root in graph:
        if root in order:
            continue
        work = [(root, iter(graph[root]))]
        order[root] = low[root] = len(order)
        stack.append(root)
        on_stack.add(root)
        while work:
            node, following = work[-1]
            for after in following:
                if after not in order:
                    order[after] = low[after] = len(order)
                    stack.append(after)
                    on_stack.add(after)
                    work.append((after, iter(graph[after])))
                    break
                if after in on_stack:
                    low[node] = min(low[node], order[after])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == order[node]:
                    at = stack.index(node)
                    part = set(stack[at:])
                    del stack[at:]
                    on_stack -= part
                    if len(part) > 1 or node in graph[node]:
                        found.append(part)
    return found
