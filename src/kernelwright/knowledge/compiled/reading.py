"""From the text of a generated module to its parts. The text is read as Python, and never run."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from typing import Any, get_args

from kernelwright.core.problem import DType
from kernelwright.knowledge.compiled.parts import (
    Allocated,
    Launched,
    Layout,
    Module,
    Named,
    NoSeed,
    Step,
    View,
)
from kernelwright.knowledge.compiled.programs import in_short

# Statements of ``call`` that check or tidy up, and compute nothing.
_IDLE = ("args.clear", "assert_size_stride", "assert_alignment", "torch.cuda.set_device")
_STREAMS = ("get_raw_stream", "get_cuda_stream")
_TRITON = "triton"


def read(text: str) -> Module:
    """The parts of the generated module `text`.

    Raises:
        NoSeed: it does something that is not in its own text, such as calling a library.
    """
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError) as error:
        raise NoSeed(f"What torch.compile generated cannot be read as Python: {error}.") from error
    found = list(_kernels(tree))
    language = "triton" if any(how == _TRITON for _, how, _ in found) else "cpp"
    kernels = {name: in_short(source) if how == _TRITON else source for name, how, source in found}
    return _Reader(language, kernels).module(_call(tree))


def _kernels(tree: ast.Module) -> Iterator[tuple[str, str, str]]:
    """Each kernel's name, how it is built, and its source, which stands as a string in a call."""
    for statement in tree.body:
        match statement:
            case ast.Assign(
                targets=[ast.Name(id=name)],
                value=ast.Call(
                    func=ast.Attribute(value=ast.Name(id="async_compile"), attr=how), args=given
                ),
            ):
                sources = [a.value for a in given if isinstance(a, ast.Constant)]
                yield name, how, str(sources[-1]) if sources else ""


def _call(tree: ast.Module) -> ast.FunctionDef:
    found = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name == "call"]
    if len(found) != 1:
        raise NoSeed("What torch.compile generated has not the one function `call`.")
    return found[0]


class _Reader:
    """Reads the statements of one ``call``."""

    def __init__(self, language: str, kernels: dict[str, str]) -> None:
        self._language = language
        self._kernels = kernels
        self._arguments: tuple[str, ...] = ()
        self._results: tuple[View, ...] | None = None
        self._steps: list[Step] = []

    def module(self, call: ast.FunctionDef) -> Module:
        """Everything."""
        self._take_all(call.body)
        if self._results is None:
            raise NoSeed("What torch.compile generated returns nothing.")
        return Module(
            language=self._language,
            arguments=self._arguments,
            kernels=self._kernels,
            steps=tuple(self._steps),
            results=self._results,
        )

    def _take_all(self, statements: Sequence[ast.stmt]) -> None:
        for statement in statements:
            self._take(statement)

    def _take(self, statement: ast.stmt) -> None:
        match statement:
            case ast.Delete() | ast.Pass():
                return
            case ast.Assign(value=ast.Call(func=ast.Name(id=called))) if called in _STREAMS:
                return
            case ast.With(body=body):  # on one device
                self._take_all(body)
            case ast.Assign(targets=[ast.Tuple(elts=names)], value=ast.Name(id="args")):
                self._arguments = tuple(_name(name) for name in names)
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                self._steps.append(_defined(name, value))
            case ast.Expr(value=ast.Call() as call):
                self._take_call(call)
            case ast.Return(value=ast.Tuple(elts=results)):
                self._results = tuple(_view(result) for result in results)
            case _:
                raise _unknown(statement)

    def _take_call(self, call: ast.Call) -> None:
        called = ast.unparse(call.func)
        if called in _IDLE:
            return
        kernel = called.removesuffix(".run")
        if kernel not in self._kernels:
            raise _unknown(call)
        arguments = tuple(_argument(argument) for argument in call.args)
        self._steps.append(Launched(kernel=kernel, arguments=arguments))


def _name(node: ast.expr) -> str:
    if not isinstance(node, ast.Name):
        raise _unknown(node)
    return node.id


def _defined(name: str, value: ast.expr) -> Step:
    """The step that gives `name` to a new tensor, or to one that is there."""
    match value:
        case ast.Call(func=ast.Name(id=allocator), args=[sizes, strides, dtype]) if re.fullmatch(
            r"empty_strided_(cpu|cuda)", allocator
        ):
            layout = Layout(sizes=_numbers(sizes), strides=_numbers(strides))
            return Allocated(name=name, dtype=_dtype(dtype), layout=layout)
    return Named(name=name, view=_view(value))


def _argument(node: ast.expr) -> View | int:
    match node:
        case ast.Constant(value=int(number)):
            return number
    return _view(node)


def _view(node: ast.expr) -> View:
    match node:
        case ast.Name(id=name):
            return View(name=name)
        case ast.Call(
            func=ast.Name(id="reinterpret_tensor"),
            args=[ast.Name(id=name), sizes, strides, ast.Constant(value=int(offset))],
        ):
            layout = Layout(sizes=_numbers(sizes), strides=_numbers(strides), offset=offset)
            return View(name=name, layout=layout)
    raise _unknown(node)


def _numbers(node: ast.expr) -> tuple[int, ...]:
    match node:
        case ast.Tuple(elts=elements):
            values = tuple(e.value for e in elements if isinstance(e, ast.Constant))
            if len(values) == len(elements) and all(type(v) is int for v in values):
                return tuple(v for v in values if isinstance(v, int))
    raise _unknown(node)


def _dtype(node: ast.expr) -> DType:
    said = ast.unparse(node).removeprefix("torch.")
    known: dict[str, Any] = {name: name for name in get_args(DType)}
    if said not in known:
        raise NoSeed(f"torch.compile keeps a result as {said}, which a candidate has no type for.")
    found: DType = known[said]
    return found


def _unknown(node: ast.AST) -> NoSeed:
    """A statement that is no part of what can be taken over, by the name of what it calls."""
    calls = [ast.unparse(n.func) for n in ast.walk(node) if isinstance(n, ast.Call)]
    if calls:
        called = calls[0].removeprefix("torch.ops.")
        return NoSeed(f"torch.compile calls {called}, which is not part of the generated code.")
    return NoSeed(f"torch.compile generates `{ast.unparse(node):.80}`, which cannot be taken over.")
