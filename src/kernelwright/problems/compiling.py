"""From a loaded program to the text that torch.compile's backend, Inductor, generates for it.

Runs where the user's file runs: in the reference's process. Nothing that is generated is built or
run here. What can be made of the text is `knowledge.compiled`'s business.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from kernelwright.core.compiled import Compiled
from kernelwright.core.errors import ProblemError
from kernelwright.core.problem import Direction, Problem, Source, Workload
from kernelwright.problems.loading import load_program
from kernelwright.problems.program import Program
from kernelwright.problems.sizes import pick_trace_workloads
from kernelwright.problems.tracing import markers
from kernelwright.problems.tracing_gradients import FlatStep, flat_step

MOST_SIZES = 6
_SETTINGS: dict[str, Any] = {
    # The generated module is not loaded, so a cache would be told of what is not there.
    "force_disable_caches": True,
    "compile_threads": 1,
    # Loops over single elements: the vector code needs torch's headers, which a candidate has not.
    "cpp.simdlen": 1,
    # The number of threads is the machine's that the candidate runs on, not of this one.
    "cpp.dynamic_threads": True,
    # Sums into places that an index names as code, and not as a call of torch.
    "cpp.fallback_scatter_reduce_sum": False,
    # Loops also over a few elements, which would else be written out one by one.
    "unroll_reductions_threshold": 1,
    # A variance in two passes over a row, for rows of any length: one text for all of them.
    "cpp.use_two_step_variance_threshold": 1 << 62,
    # What is left out here checks the caller.
    "assert_indirect_indexing": False,
    "size_asserts": False,
    # In Triton, loops over rows of any length, each pass one of its own.
    "triton.persistent_reductions": False,
    "triton.mix_order_reduction": False,
    "online_softmax": False,
    # Names with numbers alone: the same whatever the sizes.
    "triton.descriptive_names": False,
}


class _Generated(BaseException):
    """Ends a compilation once the text is there. Not an `Exception`: nobody on the way out may take
    it for an error and go on."""


def workloads_to_compile(problem: Problem) -> tuple[Workload, ...]:
    """The report workload and those that tell the axes apart, then others; no size in them is one,
    which a compiler treats as a special case, if that can be had."""
    others = [w for w in problem.workloads if not _special(w)]
    first = [problem.report_workload, *(w for w in pick_trace_workloads(problem))]
    chosen = {w.id: w for w in [*first, *sorted(others, key=problem.traffic_bytes, reverse=True)]}
    return tuple(chosen.values())[:MOST_SIZES]


def _special(workload: Workload) -> bool:
    return min([*workload.axes.values(), *workload.constants.values()], default=2) <= 1


def compiled(
    source: Source, direction: Direction, device: str, problem: Problem
) -> tuple[Compiled, ...]:
    """What is generated for `device` at the sizes of several workloads, the report's first.

    A workload beside the report's at which nothing can be generated is left out.

    Raises:
        ProblemError: a sentence that says why nothing can be generated at the report's sizes.
    """
    found = []
    for turn, workload in enumerate(workloads_to_compile(problem)):
        try:
            program = load_program(source, workload.constants, device=device, direction=direction)
            found.append(_compiled(program, workload, turn))
        except ProblemError:
            if workload.id == problem.report_workload.id:
                raise
    return tuple(found)


def _compiled(program: Program, workload: Workload, turn: int) -> Compiled:
    # A file may give one tensor twice; the compiler would take that for a rule.
    values = {
        name: value.clone() if isinstance(value, Tensor) else value
        for name, value in zip(program.input_names, program.make_inputs(0), strict=True)
    }
    scalars = dict(markers(values, turn))
    step = _flat(program, list({**values, **scalars}.values()))
    return Compiled(
        workload_id=workload.id,
        axes=workload.axes,
        inputs=step.names,
        scalars=scalars,
        text=_text(step),
    )


def _flat(program: Program, values: Sequence[Any]) -> FlatStep:
    """The program as one function of its tensors. Inductor itself takes its operators apart."""
    with _explained("traced"):
        return flat_step(program, values, {})


def _text(step: FlatStep) -> str:
    """What Inductor writes for `step`. Stopped before anything is built from it."""
    texts: list[str] = []

    def keep(text: str) -> None:
        texts.append(text)
        raise _Generated

    with _explained("compiled"):
        # Imported when first needed: it takes seconds, and most processes compile nothing.
        from torch._inductor import config
        from torch._inductor.compile_fx import compile_fx

        # A release of torch need not have every setting.
        settings = {name: value for name, value in _SETTINGS.items() if _known(config, name)}
        with config.patch(settings), _masked(), _told(keep):
            try:
                compile_fx(step.module, list(step.tensors))
            except _Generated:
                return texts[0]
    raise ProblemError("torch.compile generates no code for the reference.")


def _known(config: object, name: str) -> bool:
    """Whether `config` has a setting ``name``, or ``part.name``."""
    *parts, last = name.split(".")
    return hasattr(functools.reduce(lambda at, part: getattr(at, part, None), parts, config), last)


@contextmanager
def _masked() -> Iterator[None]:
    """Triton code masks every access, also where the sizes at hand happen to fill all tiles."""
    try:
        from torch._inductor.codegen.triton import TritonKernel
    except ImportError:  # no Triton, no code in it
        yield
        return
    with _replaced(TritonKernel, "_has_constant_mask", lambda *_: False):
        yield


@contextmanager
def _told(keep: Callable[[str], None]) -> Iterator[None]:
    """Inductor calls `keep` with each module that it has written, before it builds it."""
    from torch._inductor.graph import GraphLowering

    with _replaced(GraphLowering, "save_output_code", keep):
        yield


@contextmanager
def _replaced(owner: type, name: str, function: Callable[..., Any]) -> Iterator[None]:
    before = getattr(owner, name)
    setattr(owner, name, function)
    try:
        yield
    finally:
        setattr(owner, name, before)


@contextmanager
def _explained(what: str) -> Iterator[None]:
    """Whatever torch raises, on somebody's code, becomes one sentence here."""
    try:
        with warnings.catch_warnings():
            # torch warns of its own internals here; its user can do nothing about that.
            warnings.simplefilter("ignore")
            yield
    except ProblemError:
        raise
    except Exception as error:
        first = str(error).strip().splitlines()[:1] or [type(error).__name__]
        raise ProblemError(
            f"The reference cannot be {what} by torch.compile's backend: {first[0]}"
        ) from error
