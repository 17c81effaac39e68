"""From a loaded program to a `Graph` of primitive ATen operators, whose numbers know their axes.

Runs where the user's file runs: in the reference's process. The program is exported at several
sizes (`problems.exporting`), each export is read into a graph here, and one graph is made of them
(`problems.merging`). What can be made of that is the sketches' business (`knowledge.sketches`).
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind, OutputKind

from kernelwright.core.errors import ProblemError
from kernelwright.core.graph import Graph, Node, Ref, Value
from kernelwright.core.problem import DType, Problem, Workload
from kernelwright.problems.dtypes import DTYPES
from kernelwright.problems.exporting import export
from kernelwright.problems.loading import load_program
from kernelwright.problems.merging import merged
from kernelwright.problems.program import Program
from kernelwright.problems.sizes import pick_trace_workloads

# Where programs are while they are traced.
_DEVICE = "cpu"
# Where a result lives and how it is laid out does not change its values.
_PLACEMENT = {"device", "layout", "pin_memory", "memory_format", "requires_grad"}


def trace(program: Program, workload: Workload, problem: Problem, *, whole: bool = False) -> Graph:
    """The graph of `program`, which was loaded for `workload`. With `whole` its operators are those
    that torch runs, not taken apart; a result of a type that problems do not have has none then.

    The file is loaded again at other workloads of `problem`, to learn which numbers follow from
    which axes. A float that the caller gives (a scalar input) is a `Ref` to its name.

    The graph is that of a CPU, wherever the program is: on a GPU attention stays one operator of a
    library at some sizes, and is many at others.

    Raises:
        ProblemError: a sentence that says why the program cannot be traced.
    """
    chosen = {w.id: w for w in (workload, *pick_trace_workloads(problem))}
    graphs = []
    for turn, each in enumerate(chosen.values()):
        loaded_so = each.id == workload.id and program.device == _DEVICE
        loaded = program if loaded_so else _at(program, each)
        graphs.append(_traced(loaded, each.axes, turn, whole=whole))
    return merged(graphs)


def _at(program: Program, workload: Workload) -> Program:
    """The same file and direction at the sizes of `workload`."""
    return load_program(
        program.source, workload.constants, device=_DEVICE, direction=program.direction
    )


def read_export(
    program: Program, values: Mapping[str, Any]
) -> tuple[ExportedProgram, dict[str, str], tuple[str, ...]]:
    """`program` exported whole for `values`, what we call what torch calls its nodes, and the names
    of its user inputs.

    Raises:
        ProblemError: a sentence that says why the program cannot be traced.
    """
    exported, names = export(program, list(values.values()), whole=True)
    reader = _Reader(program, exported, {}, whole=True)
    reader.graph(iter(names), {})
    return exported, reader.names, names


def _traced(program: Program, axes: Mapping[str, int], turn: int, *, whole: bool) -> Graph:
    """The graph at one set of sizes."""
    # A file may give one tensor twice; export would take that for a rule.
    values = {
        name: value.clone() if isinstance(value, Tensor) else value
        for name, value in zip(program.input_names, program.make_inputs(0), strict=True)
    }
    scalars = dict(markers(values, turn))
    exported, names = export(program, list({**values, **scalars}.values()), whole=whole)
    return _Reader(program, exported, scalars, whole=whole).graph(iter(names), axes)


def markers(values: Mapping[str, Any], turn: int) -> Iterator[tuple[str, float]]:
    """An unlikely number for each float that the caller gives, to be known by in the graph; another
    one each `turn`, so that none is taken for a constant."""
    for place, (name, value) in enumerate(values.items()):
        if isinstance(value, float):
            yield name, 0.7131 + 0.0137 * place + 0.0009173 * turn


@dataclass
class _Reader:
    """Reads one export. `markers` has the numbers that stand for scalar inputs, by their names;
    `names` has what torch's names became so far."""

    program: Program
    exported: ExportedProgram
    markers: Mapping[str, float]
    whole: bool = False
    names: dict[str, str] = field(default_factory=dict)
    inputs: list[Value] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)

    def graph(self, user_names: Iterator[str], axes: Mapping[str, int]) -> Graph:
        """The graph of it all; `user_names` are those of its user inputs, in order."""
        self._take_inputs(user_names)
        for node in self.exported.graph.nodes:
            if node.op == "call_function" and not _only_checks(node):
                self._take_node(node)
        return Graph(
            inputs=tuple(self.inputs),
            nodes=tuple(self.nodes),
            outputs=tuple(self._outputs()),
            axes=dict(axes),
        )

    def _take_inputs(self, user_names: Iterator[str]) -> None:
        placeholders = {n.name: n for n in self.exported.graph.nodes if n.op == "placeholder"}
        for spec in self.exported.graph_signature.input_specs:
            placeholder = placeholders.get(str(getattr(spec.arg, "name", None)))
            if spec.kind == InputKind.USER_INPUT:
                self._take_input(next(user_names), placeholder)
                continue
            assert placeholder is not None
            if spec.target is not None and (known := self._weight_name(spec.target)):
                self._take_input(known, placeholder)
            else:
                self._take_constant(placeholder, self.exported.constants[str(spec.target)])

    def _weight_name(self, key: str) -> str | None:
        """The `TensorSpec` name of the weight under `key`, also when it is tied to another."""
        state = self.program.model.state_dict()
        if key not in state:
            return None
        for name, first in self.program.weight_names.items():
            if state[first].data_ptr() == state[key].data_ptr() or first == key:
                return name
        return None

    def _take_input(self, name: str, placeholder: torch.fx.Node | None) -> None:
        if placeholder is None or not isinstance(placeholder.meta.get("val"), Tensor):
            return  # A Python number: torch.export wrote its value into the graph.
        value = placeholder.meta["val"]
        self.names[placeholder.name] = name
        self.inputs.append(Value(name=name, shape=tuple(value.shape), dtype=_dtype(value)))

    def _take_constant(self, placeholder: torch.fx.Node, value: Any) -> None:
        if not isinstance(value, Tensor) or value.numel() != 1:
            raise ProblemError(
                f"The reference holds a constant tensor ({placeholder.name}) that is not in its "
                "state_dict, so a kernel would not be given it; register it as a buffer."
            )
        args = (tuple(value.shape), value.item())
        self._add(placeholder.name, "aten.full.default", args, {}, value)

    def _take_node(self, node: torch.fx.Node) -> None:
        if str(node.target) == "aten.alias.default":
            self.names[node.name] = self.names[str(node.args[0])]
            return
        op = "getitem" if node.target is operator.getitem else str(node.target)
        args = tuple(self._argument(a) for a in node.args)
        kwargs = {k: self._argument(v) for k, v in node.kwargs.items() if k not in _PLACEMENT}
        self._add(node.name, op, args, kwargs, node.meta.get("val"))

    def _add(
        self, theirs: str, op: str, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any
    ) -> None:
        """Add what torch calls `theirs`. With several results it has neither shape nor type."""
        name = theirs
        while name in self.markers or name in self.names.values():
            name += "_"
        self.names[theirs] = name
        single = isinstance(result, Tensor)
        shape, dtype = (tuple(result.shape), self._dtype(result)) if single else ((), None)
        self.nodes.append(
            Node(name=name, op=op, args=args, kwargs=kwargs, shape=shape, dtype=dtype)
        )

    def _dtype(self, value: Tensor) -> DType | None:
        return DTYPES.get(value.dtype) if self.whole else _dtype(value)

    def _argument(self, value: Any) -> Any:
        if isinstance(value, torch.fx.Node):
            return Ref(ref=self.names[value.name])
        if isinstance(value, list | tuple):
            return tuple(self._argument(v) for v in value)
        if isinstance(value, torch.dtype):
            return DTYPES.get(value, str(value))
        if isinstance(value, float):
            scalar = next((name for name, shown in self.markers.items() if shown == value), None)
            return value if scalar is None else Ref(ref=scalar)
        if value is None or isinstance(value, bool | int | str):
            return value
        return str(value)

    def _outputs(self) -> Iterator[str]:
        for spec in self.exported.graph_signature.output_specs:
            if spec.kind != OutputKind.USER_OUTPUT:
                raise ProblemError(
                    f"The reference changes {spec.target or 'one of its inputs'} in place; a "
                    "kernel may only write its outputs."
                )
            name = getattr(spec.arg, "name", None)
            if name not in self.names:
                raise ProblemError("The reference returns something that is not a tensor.")
            yield self.names[str(name)]


def _only_checks(node: torch.fx.Node) -> bool:
    """Whether the operator is an assertion that export left behind, with no result."""
    return str(node.target).startswith(("aten._assert", "aten.sym_constrain"))


def _dtype(value: Tensor) -> DType:
    if value.dtype not in DTYPES:
        raise ProblemError(f"The reference computes with {value.dtype}, which is not supported.")
    return DTYPES[value.dtype]
