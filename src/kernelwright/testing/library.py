"""Libraries made of nothing: hand-written graphs, and verdicts out of thin air."""

from __future__ import annotations

from typing import Any

from kernelwright.core.candidate import Candidate, Tunable
from kernelwright.core.graph import Extent, Graph, Node, Ref, Size, Value
from kernelwright.core.problem import DType, Problem, Source, TensorSpec, Workload
from kernelwright.library.adding import Promoted
from kernelwright.library.normal.form import normal_form
from kernelwright.library.records import Provenance
from kernelwright.testing.evaluators import evaluation_of, passed

NORM_KERNEL = """\
// tunable: TILE = 1 in {1, 2}
#define EPS 1e-06f
extern "C" void kernel(const float* x, const float* weight, float* out, int64_t rows, int64_t dim) {
    for (int64_t r = 0; r < rows; ++r) {
        float squares = 0.0f;
        for (int64_t d = 0; d < dim; ++d) squares += x[r * dim + d] * x[r * dim + d];
        const float scale = 1.0f / std::sqrt(squares / dim + EPS);
        for (int64_t d = 0; d < dim; ++d) out[r * dim + d] = x[r * dim + d] * scale * weight[d];
    }
}
"""
_REFERENCE = "rows = 4\ndim = 8\n"


def _extents(*names: str) -> tuple[Extent, ...]:
    return tuple(Extent(axes=(name,)) for name in names)


def norm(
    *,
    batch: tuple[str, ...] = ("rows",),
    dim: str = "dim",
    x: str = "x",
    weight: str = "weight",
    out: str = "out",
    epsilon: float = 1e-6,
    dtype: DType = "float32",
    swapped: bool = False,
    more: tuple[TensorSpec, ...] = (),
) -> tuple[Problem, Graph]:
    """RMSNorm over the last of several dimensions as a problem and its graph, under these names.

    `swapped` gives the weight first; `more` are inputs that do nothing.
    """
    full = _extents(*batch, dim)
    row: tuple[Size, ...] = (*_extents(*batch), 1)

    def node(name: str, op: str, *args: Any, shape: tuple[Size, ...] = full) -> Node:
        given = tuple(Ref(ref=a) if isinstance(a, str) else a for a in args)
        return Node(name=name, op=f"aten.{op}", args=given, shape=shape, dtype=dtype)

    nodes = (
        node("q", "mul.Tensor", x, x),
        node("m", "mean.dim", "q", (-1,), True, shape=row),
        node("e", "add.Tensor", "m", epsilon, shape=row),
        node("r", "rsqrt.default", "e", shape=row),
        node("n", "mul.Tensor", x, "r"),
        node("o", "mul.Tensor", "n", weight),
    )
    inputs = [
        TensorSpec(name=x, shape=(*batch, dim), dtype=dtype, role="input"),
        TensorSpec(name=weight, shape=(dim,), dtype=dtype, role="weight"),
    ]
    values = [
        Value(name=x, shape=full, dtype=dtype),
        Value(name=weight, shape=_extents(dim), dtype=dtype),
    ]
    if swapped:
        inputs, values = inputs[::-1], values[::-1]
    axes = (*batch, dim)
    problem = Problem(
        id="norm",
        title="A norm",
        origin="builtin:norm",
        axes=axes,
        inputs=(*inputs, *more),
        outputs=(TensorSpec(name=out, shape=axes, dtype=dtype, role="output"),),
        reference=Source(files={"norm.py": _REFERENCE}, entry_point="norm.py::Model"),
        workloads=(
            Workload(id="report", split="report", axes=dict(zip(axes, (2, 3, 5, 7), strict=False))),
        ),
    )
    return problem, Graph(inputs=tuple(values), nodes=nodes, outputs=("o",), axes={})


def promoted(
    problem: Problem | None = None,
    graph: Graph | None = None,
    *,
    text: str = NORM_KERNEL,
    speedup: float = 1.5,
) -> Promoted:
    """A kernel for RMSNorm with a verdict that makes it so much faster."""
    if problem is None or graph is None:
        problem, graph = norm()
    candidate = Candidate(
        problem_id=problem.id,
        language="cpp",
        source=Source(files={"kernel.cpp": text}, entry_point="kernel.cpp::kernel"),
        tunables=(Tunable(name="TILE", choices=(1, 2), default=1),),
        settings={"TILE": 2},
    )
    return Promoted(
        problem=problem,
        form=normal_form(problem, graph),
        candidate=candidate,
        evaluation=evaluation_of(candidate, passed(speedup), "promotion"),
        provenance=Provenance(writer="agent:test", day="2031-01-31"),
    )
