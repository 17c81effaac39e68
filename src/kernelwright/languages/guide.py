"""Guides: what a writer is told about a language, rendered for the problem at hand."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import jinja2

from kernelwright.core.problem import Problem, TensorSpec
from kernelwright.languages.signature import C_TYPES, Parameter, signature
from kernelwright.languages.sources import own_file

_TEMPLATES = jinja2.Environment(
    loader=jinja2.FunctionLoader(lambda name: own_file("guides", name)),
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


def _code_list(names: Iterable[str]) -> str:
    """Names as a reader writes them: "`a`, `b` and `c`"."""
    marked = [f"`{name}`" for name in names]
    return " and ".join([", ".join(marked[:-1]), marked[-1]] if len(marked) > 1 else marked)


_TEMPLATES.filters["code_list"] = _code_list


@dataclass(frozen=True, kw_only=True)
class _Row:
    """One parameter as a guide shows it."""

    name: str
    reference_name: str
    c_type: str
    dtype: str
    shape: str
    role: str


def native_guide(
    template: str, problem: Problem, entry: str, *, after: tuple[str, ...] = ()
) -> str:
    """The guide of a native language; `after` are parameters that follow the sizes."""
    sig = signature(problem)
    sizes = dict(zip(problem.axes, (p.name for p in sig.sizes), strict=True))
    return _TEMPLATES.get_template(template).render(
        entry=entry,
        declaration=_declaration(entry, sig.parameters, after),
        inputs=[_row(p, sizes, problem) for p in sig.inputs],
        outputs=[_row(p, sizes, problem) for p in sig.outputs],
        sizes=[p.name for p in sig.sizes],
        report=_sizes_line(problem),
        dtypes=sorted({p.spec.dtype for p in sig.inputs + sig.outputs if p.spec}),
        **_task(problem),
    )


def module_guide(template: str, problem: Problem) -> str:
    """The guide of a language of the module lane."""
    return _TEMPLATES.get_template(template).render(
        inputs=[s for s in problem.inputs if s.role in ("input", "scalar")],
        weights=[s for s in problem.inputs if s.role == "weight"],
        tensors=[s.name for s in problem.inputs],
        outputs=list(problem.outputs),
        shape=shape_text,
        report=_sizes_line(problem),
        role=lambda spec: role_text(spec, problem),
        returned=[spec.name for spec in problem.outputs],
        **_task(problem),
    )


def _task(problem: Problem) -> dict[str, Any]:
    """What every guide says of the work itself."""
    return {
        "reference": problem.reference.text.strip(),
        "direction": problem.direction,
        "cotangents": problem.cotangents,
        "gradients": problem.gradients,
    }


def role_text(spec: TensorSpec, problem: Problem) -> str:
    """What a tensor is: its role, or whose gradient it is."""
    if spec.name in problem.cotangents:
        return f"gradient of {problem.cotangents[spec.name]}, given"
    if spec.name in problem.gradients:
        return f"output, gradient of {problem.gradients[spec.name]}"
    return spec.role


def shape_text(spec: TensorSpec) -> str:
    """A shape as a reader writes it: ``[B, 128]``, or ``scalar``."""
    return "scalar" if spec.role == "scalar" else f"[{', '.join(map(str, spec.shape))}]"


def _declaration(entry: str, parameters: tuple[Parameter, ...], after: tuple[str, ...]) -> str:
    lines = ",\n".join(f"    {p}" for p in [*map(str, parameters), *after])
    return f'extern "C" void {entry}(\n{lines})'


def _row(parameter: Parameter, sizes: dict[str, str], problem: Problem) -> _Row:
    spec = parameter.spec
    if spec is None:
        raise ValueError(f"{parameter.name} is a size and has no row of its own")
    shape = [sizes[d] if isinstance(d, str) else str(d) for d in spec.shape]
    return _Row(
        name=parameter.name,
        reference_name=spec.name,
        c_type=C_TYPES[spec.dtype],
        dtype=spec.dtype,
        shape="scalar" if spec.role == "scalar" else f"[{', '.join(shape)}]",
        role=role_text(spec, problem),
    )


def _sizes_line(problem: Problem) -> str:
    """The sizes that are timed for the result, as ``B = 2048, D = 4096``."""
    axes = problem.report_workload.axes
    return ", ".join(f"{axis} = {axes[axis]}" for axis in problem.axes) or "the sizes above"
