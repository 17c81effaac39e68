"""The module-level integers of a reference file: finding them and replacing them. Text only."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator, Mapping

_LARGEST = 1 << 40


def find_constants(text: str) -> dict[str, int]:
    """The integers that a file gives names to at its top level, in order.

    Plain, annotated, tuple and chained assignments of literals, and of arithmetic between
    literals. A name that the top level binds more than once is not a constant.

    >>> find_constants("a = b = 4\\nm, n = 2 * 8, 3\\nflag = True\\nhidden = a * 4")
    {'a': 4, 'b': 4, 'm': 16, 'n': 3}
    """
    tree = ast.parse(text)
    bound = Counter(_bound_names(tree))
    found = {name: value for stmt in tree.body for name, value in _integers(stmt)}
    return {name: value for name, value in found.items() if bound[name] == 1}


def with_constants(tree: ast.Module, values: Mapping[str, int]) -> ast.Module:
    """`tree` with each constant in `values` set again, right after the statement that binds it."""
    body: list[ast.stmt] = []
    for stmt in tree.body:
        body.append(stmt)
        for name, _ in _integers(stmt):
            if name in values:
                again = ast.Assign([ast.Name(name, ast.Store())], ast.Constant(values[name]))
                body.append(ast.copy_location(again, stmt))
    return ast.fix_missing_locations(ast.Module(body, tree.type_ignores))


def text_with_constants(text: str, values: Mapping[str, int]) -> str:
    """`text` with plain ``name = 123`` lines of its top level rewritten; the rest stays as it is.

    >>> text_with_constants("rows = 4  # of x\\n", {"rows": 8})
    'rows = 8  # of x\\n'
    """
    lines = text.splitlines(keepends=True)
    for stmt in ast.parse(text).body:
        match stmt:
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if name in values:
                line = lines[value.lineno - 1]
                head, tail = line[: value.col_offset], line[value.end_col_offset :]
                lines[value.lineno - 1] = f"{head}{values[name]}{tail}"
    return "".join(lines)


def _integers(stmt: ast.stmt) -> Iterator[tuple[str, int]]:
    match stmt:
        case ast.Assign(targets=targets, value=value):
            for target in targets:
                yield from _pairs(target, value)
        case ast.AnnAssign(target=target, value=ast.expr() as value):
            yield from _pairs(target, value)


def _pairs(target: ast.expr, value: ast.expr) -> Iterator[tuple[str, int]]:
    match target, value:
        case (
            (ast.Tuple(elts=names) | ast.List(elts=names)),
            (ast.Tuple(elts=values) | ast.List(elts=values)),
        ) if len(names) == len(values):
            for one, its in zip(names, values, strict=True):
                yield from _pairs(one, its)
        case ast.Name(id=name), _:
            number = _integer(value)
            if number is not None:
                yield name, number


def _integer(value: ast.expr) -> int | None:
    """The value of an expression of integer literals; None for anything else."""
    match value:
        case ast.Constant(value=int() as number) if not isinstance(number, bool):
            return number
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            inner = _integer(operand)
            return None if inner is None else -inner
        case ast.BinOp(left=left, op=op, right=right):
            a, b = _integer(left), _integer(right)
            return None if a is None or b is None else _arithmetic(a, op, b)
    return None


def _arithmetic(a: int, op: ast.operator, b: int) -> int | None:
    if abs(a) > _LARGEST or abs(b) > _LARGEST:
        return None
    match op:
        case ast.Add():
            return a + b
        case ast.Sub():
            return a - b
        case ast.Mult():
            return a * b
        case ast.FloorDiv() if b:
            return a // b
        case ast.Pow() | ast.LShift() if not 0 <= b <= 40:
            return None
        case ast.Pow():
            return int(a**b)
        case ast.LShift():
            return a << b
    return None


def _bound_names(tree: ast.Module) -> Iterator[str]:
    """Every name that the top level binds, once per binding, functions' insides left out."""
    pending: list[ast.AST] = list(tree.body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Lambda):
            continue
        else:
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                yield node.id
            pending.extend(ast.iter_child_nodes(node))
