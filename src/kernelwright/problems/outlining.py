"""From a loaded program to its outline: whole operators, what they make, and what each takes.

Runs where the user's file runs: in the reference's process. `problems.tracing` has the other graph,
in which norms and activations are taken apart, for those who draft kernels.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind

from kernelwright.core.cut import Outline, Seen
from kernelwright.core.errors import ProblemError
from kernelwright.core.problem import Problem, Workload
from kernelwright.problems.explaining import explained
from kernelwright.problems.program import Program, synchronize
from kernelwright.problems.tracing import read_export, trace

_SEED = 1
_TIMES = 3


def outline(program: Program, workload: Workload, problem: Problem, own: Program) -> Outline:
    """The outline of `program`, which was loaded for `workload`; `own` is the same file at its own
    sizes, which is run on inputs of its own.

    Raises:
        ProblemError: a sentence that says why the program cannot be traced, or does not run.
    """
    graph = trace(program, workload, problem, whole=True)
    values = dict(zip(own.input_names, own.make_inputs(_SEED), strict=True))
    exported, names, order = read_export(own, values)
    with explained(own.source, "its outline"), torch.no_grad():
        given = _given(exported, order, own, values)
        watcher = _Watcher(exported, names, own.device)
        for _ in range(_TIMES):
            watcher.run(*given)
    nodes = {n.name for n in graph.nodes}
    known = nodes | {v.name for v in graph.inputs}
    if others := sorted((nodes - watcher.seconds.keys()) | (watcher.seconds.keys() - known)):
        # A slice of all there is, for instance, is no operator.
        raise ProblemError(
            "The reference runs different operators at its own sizes and at others: "
            f"{', '.join(others)} there or here alone. Its regions would be another "
            "program's: optimise it as a whole."
        )
    return Outline(
        graph=graph,
        seen={name: seen for name, seen in watcher.seen.items() if name in known},
        seconds={name: spent for name, spent in watcher.seconds.items() if name in known},
    )


def _given(
    exported: ExportedProgram, order: tuple[str, ...], program: Program, values: Mapping[str, Any]
) -> list[Any]:
    """What the export's placeholders stand for; `order` names its user inputs."""
    users = iter(order)
    weights = program.weights()
    found: list[Any] = []
    for spec in exported.graph_signature.input_specs:
        target = str(spec.target)
        if spec.kind == InputKind.USER_INPUT:
            name = next(users)
            found.append(values[name] if name in values else weights[name])
        elif target in exported.state_dict:
            found.append(exported.state_dict[target])
        else:
            found.append(exported.constants[target])
    return found


class _Watcher(torch.fx.Interpreter):
    """Runs an export node by node; what it saw is under our names for torch's."""

    def __init__(self, exported: ExportedProgram, names: Mapping[str, str], device: str) -> None:
        super().__init__(exported.graph_module)
        self._names = names
        self._device = device
        self.seen: dict[str, Seen] = {}
        self.seconds: dict[str, float] = {}

    def run_node(self, n: torch.fx.Node) -> Any:
        """One node, timed."""
        synchronize(self._device)
        start = time.perf_counter()
        result = super().run_node(n)
        synchronize(self._device)
        spent = time.perf_counter() - start
        name = self._names.get(n.name)
        if name is not None and n.op in ("placeholder", "call_function"):
            self.seconds[name] = min(spent, self.seconds.get(name, spent))
            if isinstance(result, Tensor) and name not in self.seen:
                self._see(name, result)
        return result

    def _see(self, name: str, value: Tensor) -> None:
        if value.is_complex() or not value.numel():
            return
        wide = value.detach().double().reshape(-1)
        good = wide[torch.isfinite(wide)]
        if not good.numel():
            good = wide.new_zeros(1)
        self.seen[name] = Seen(
            low=float(good.min()),
            high=float(good.max()),
            mean=float(good.mean()),
            spread=float(good.std(correction=0)),
            finite=good.numel() == wide.numel(),
        )
