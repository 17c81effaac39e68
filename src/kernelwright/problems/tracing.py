"""From a loaded program to a `Graph` of primitive ATen operators, whose numbers know their axes.

Runs where the user's file runs: in the reference's process. Softmax, norms, losses and activations
are decomposed into pointwise operators, reductions and views. What can be made of the graph is
the sketches' business (`knowledge.sketches`).
"""

from __future__ import annotations

import functools
import operator
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import torch
from torch import Tensor
from torch.export.graph_signature import InputKind, OutputKind

from kernelwright.core.errors import ProblemError
from kernelwright.core.graph import Extent, Graph, Node, Ref, Size, Unexplained, Value
from kernelwright.core.problem import DType, Problem, Workload
from kernelwright.problems.loading import Program, load_program
from kernelwright.problems.norms import NORMS
from kernelwright.problems.sizes import Sizes, explain, pick_trace_workloads
from kernelwright.problems.tracing_gradients import flat_step

_DTYPES = {getattr(torch, name): name for name in get_args(DType)}

# Where a result lives and how it is laid out does not change its values.
_PLACEMENT = {"device", "layout", "pin_memory", "memory_format", "requires_grad"}

# PyTorch decomposes these, but not as part of its "core" table.
_ALSO = (
    "_softmax", "_log_softmax", "gelu", "silu", "mish", "softplus", "elu", "celu", "selu",
    "hardswish", "hardsigmoid", "hardtanh", "leaky_relu", "log_sigmoid_forward", "glu",
    "softshrink", "hardshrink", "threshold", "logsumexp", "logit", "nll_loss_forward",
    "mse_loss", "smooth_l1_loss", "huber_loss", "soft_margin_loss", "binary_cross_entropy",
    "binary_cross_entropy_with_logits", "_fused_rms_norm", "rms_norm", "norm", "frobenius_norm",
    "linalg_vector_norm", "std", "std_mean", "var_mean", "_prelu_kernel",
    "_native_batch_norm_legit_no_training",
    "silu_backward", "gelu_backward", "mish_backward", "softplus_backward", "elu_backward",
    "hardswish_backward", "hardsigmoid_backward", "hardtanh_backward", "leaky_relu_backward",
    "log_sigmoid_backward", "glu_backward", "threshold_backward", "sigmoid_backward",
    "tanh_backward", "softshrink_backward", "logit_backward", "_softmax_backward_data",
    "_log_softmax_backward_data", "native_layer_norm_backward", "native_group_norm_backward",
    "_fused_rms_norm_backward", "nll_loss_backward", "mse_loss_backward",
    "smooth_l1_loss_backward", "huber_loss_backward", "_prelu_kernel_backward",
)  # fmt: skip
_KEPT = ("var",)


def trace(program: Program, workload: Workload, problem: Problem) -> Graph:
    """The graph of `program`, which was loaded for `workload`.

    The file is loaded again at other workloads of `problem`, to learn which numbers follow from
    which axes. A float that the caller gives (a scalar input) is a `Ref` to its name.

    Raises:
        ProblemError: a sentence that says why the program cannot be traced.
    """
    chosen = {w.id: w for w in (workload, *pick_trace_workloads(problem))}
    traces = []
    for index, each in enumerate(chosen.values()):
        same = each.id == workload.id
        loaded = program if same else _at(program, each)
        traces.append(_Tracer(loaded, index).trace(each.axes))
    return _merged(traces)


def _at(program: Program, workload: Workload) -> Program:
    """The same file and direction at the sizes of `workload`."""
    return load_program(program.source, workload.constants, direction=program.direction)


@functools.cache
def _decompositions() -> dict[Any, Callable[..., Any]]:
    aten = torch.ops.aten
    table: dict[Any, Callable[..., Any]] = dict(torch._decomp.core_aten_decompositions())
    also = [getattr(aten, name) for name in _ALSO if hasattr(aten, name)]
    table.update(torch._decomp.get_decompositions(also))
    for name in _KEPT:
        for overload in getattr(aten, name).overloads():
            table.pop(getattr(getattr(aten, name), overload), None)
    table.update(NORMS)
    return table


@dataclass
class _Tracer:
    """One trace of one program. `index` sets the values that stand for its scalar inputs."""

    program: Program
    index: int

    def trace(self, axes: Mapping[str, int]) -> Graph:
        # A file may give one tensor twice; export would take that for a rule.
        given = self.program.make_inputs(0)
        values = [v.clone() if isinstance(v, Tensor) else v for v in given]
        self.scalars = dict(self._markers(values))
        shown = [
            self.scalars.get(n, v) for n, v in zip(self.program.input_names, values, strict=True)
        ]
        exported = self._export(shown)
        self.names: dict[str, str] = {}
        self.inputs: list[Value] = []
        self.nodes: list[Node] = []
        self._take_inputs(exported)
        for node in exported.graph.nodes:
            if node.op == "call_function" and not _only_checks(node):
                self._take_node(node)
        return Graph(
            inputs=tuple(self.inputs),
            nodes=tuple(self.nodes),
            outputs=self._outputs(exported),
            axes=dict(axes),
        )

    def _markers(self, values: Sequence[Any]) -> Iterator[tuple[str, float]]:
        """An unlikely number for each float that the caller gives, to be known by in the graph."""
        for place, (name, value) in enumerate(zip(self.program.input_names, values, strict=True)):
            if isinstance(value, float):
                yield name, 0.7131 + 0.0137 * place + 0.0009173 * self.index

    def _export(self, values: Sequence[Any]) -> torch.export.ExportedProgram:
        try:
            with torch.no_grad(), warnings.catch_warnings():
                # torch warns of its own internals here; its user can do nothing about that.
                warnings.simplefilter("ignore")
                exported = torch.export.export(*self._subject(values), strict=False)
                found: torch.export.ExportedProgram = exported.run_decompositions(_decompositions())
                return found
        # Whatever torch.export raises, on somebody's code, becomes one sentence here.
        except Exception as error:
            first = str(error).strip().splitlines()[:1] or [type(error).__name__]
            raise ProblemError(f"torch.export could not trace the reference: {first[0]}") from error

    def _subject(self, values: Sequence[Any]) -> tuple[torch.nn.Module, tuple[Any, ...]]:
        """What is exported, and for which arguments; `user_names` become their names."""
        if self.program.gradients is None:
            self.user_names = self.program.input_names
            return self.program.model, tuple(values)
        step = flat_step(self.program, values, _decompositions())
        self.user_names = step.names
        return step.module, step.tensors

    def _take_inputs(self, exported: torch.export.ExportedProgram) -> None:
        placeholders = {n.name: n for n in exported.graph.nodes if n.op == "placeholder"}
        user = iter(self.user_names)
        for spec in exported.graph_signature.input_specs:
            name = getattr(spec.arg, "name", None)
            if spec.kind == InputKind.USER_INPUT:
                self._take_input(next(user), placeholders.get(name or ""))
            elif spec.target is not None and (known := self._weight_name(spec.target)):
                self._take_input(known, placeholders[str(name)])
            else:
                self._take_constant(placeholders[str(name)], exported.constants[str(spec.target)])

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
        name = self._unique(placeholder.name)
        self.names[placeholder.name] = name
        self._add(name, "aten.full.default", (tuple(value.shape), value.item()), {}, value)

    def _take_node(self, node: torch.fx.Node) -> None:
        if str(node.target) == "aten.alias.default":
            self.names[node.name] = self.names[str(node.args[0])]
            return
        name = self._unique(node.name)
        self.names[node.name] = name
        op = "getitem" if node.target is operator.getitem else str(node.target)
        args = tuple(self._argument(a) for a in node.args)
        kwargs = {k: self._argument(v) for k, v in node.kwargs.items() if k not in _PLACEMENT}
        self._add(name, op, args, kwargs, node.meta.get("val"))

    def _add(
        self, name: str, op: str, args: tuple[Any, ...], kwargs: dict[str, Any], value: Any
    ) -> None:
        single = isinstance(value, Tensor)
        self.nodes.append(
            Node(
                name=name,
                op=op,
                args=args,
                kwargs=kwargs,
                shape=tuple(value.shape) if single else (),
                dtype=_dtype(value) if single else None,
            )
        )

    def _unique(self, name: str) -> str:
        taken = {v.name for v in self.inputs} | set(self.scalars) | set(self.names.values())
        while name in taken:
            name += "_"
        return name

    def _argument(self, value: Any) -> Any:
        if isinstance(value, torch.fx.Node):
            return Ref(ref=self.names[value.name])
        if isinstance(value, list | tuple):
            return tuple(self._argument(v) for v in value)
        if isinstance(value, torch.dtype):
            return _DTYPES.get(value, str(value))
        if isinstance(value, float):
            marker = [name for name, shown in self.scalars.items() if shown == value]
            return Ref(ref=marker[0]) if marker else value
        if value is None or isinstance(value, bool | int | str):
            return value
        return str(value)

    def _outputs(self, exported: torch.export.ExportedProgram) -> tuple[str, ...]:
        names = []
        for spec in exported.graph_signature.output_specs:
            if spec.kind != OutputKind.USER_OUTPUT:
                raise ProblemError(
                    f"The reference changes {spec.target or 'one of its inputs'} in place; a "
                    "kernel may only write its outputs."
                )
            name = getattr(spec.arg, "name", None)
            if name not in self.names:
                raise ProblemError("The reference returns something that is not a tensor.")
            names.append(self.names[str(name)])
        return tuple(names)


def _only_checks(node: torch.fx.Node) -> bool:
    """Whether the operator is an assertion that export left behind, with no result."""
    return str(node.target).startswith(("aten._assert", "aten.sym_constrain"))


def _dtype(value: Tensor) -> DType:
    if value.dtype not in _DTYPES:
        raise ProblemError(f"The reference computes with {value.dtype}, which is not supported.")
    found: DType = _DTYPES[value.dtype]
    return found


def _merged(traces: Sequence[Graph]) -> Graph:
    """One graph for all sizes, from the graphs at some."""
    first, sizes = traces[0], [t.axes for t in traces]
    for other in traces[1:]:
        _check_same_operators(first, other)
    inputs = tuple(
        same[0].model_copy(update={"shape": _merged_shape([v.shape for v in same], sizes)})
        for same in zip(*(t.inputs for t in traces), strict=True)
    )
    nodes = tuple(
        _merged_node(same, sizes) for same in zip(*(t.nodes for t in traces), strict=True)
    )
    return Graph(inputs=inputs, nodes=nodes, outputs=first.outputs, axes=first.axes)


def _check_same_operators(first: Graph, other: Graph) -> None:
    ours, theirs = [n.op for n in first.nodes], [n.op for n in other.nodes]
    if ours != theirs or first.outputs != other.outputs:
        differing = next((a for a, b in zip(ours, theirs, strict=False) if a != b), "the last one")
        raise ProblemError(
            "The reference runs different operators at different sizes (they part at "
            f"{differing}), so no single graph describes it."
        )


def _merged_node(same: Sequence[Node], sizes: Sizes) -> Node:
    return same[0].model_copy(
        update={
            "args": tuple(
                _merged_argument(list(a), sizes) for a in zip(*(n.args for n in same), strict=True)
            ),
            "kwargs": {
                k: _merged_argument([n.kwargs[k] for n in same], sizes) for k in same[0].kwargs
            },
            "shape": _merged_shape([n.shape for n in same], sizes),
        }
    )


def _merged_shape(shapes: Sequence[tuple[Size, ...]], sizes: Sizes) -> tuple[Size, ...]:
    merged: list[Size] = []
    for same in zip(*shapes, strict=True):
        found = explain([s for s in same if isinstance(s, int)], sizes)
        merged.append(found if isinstance(found, Extent | Unexplained) else int(found))
    return tuple(merged)


def _merged_argument(values: Sequence[Any], sizes: Sizes) -> Any:
    first = values[0]
    if all(v == first for v in values):
        return first
    if isinstance(first, tuple) and len({len(v) for v in values}) == 1:
        return tuple(_merged_argument(list(v), sizes) for v in zip(*values, strict=True))
    if all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
        return explain(values, sizes)
    raise ProblemError(
        f"The reference passes {first!r} to an operator at some sizes and {values[-1]!r} at others."
    )
