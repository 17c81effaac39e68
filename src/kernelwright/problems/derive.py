"""From a reference file to a `Problem`: its tensors with named axes, its workloads, its rules."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath

from kernelwright.core.errors import DeviceFull, ProblemError
from kernelwright.core.problem import (
    Check,
    Direction,
    InputRule,
    Problem,
    Source,
    TensorSpec,
    Workload,
)
from kernelwright.core.record import content_id
from kernelwright.problems.checks import check_program, check_repeats, check_report
from kernelwright.problems.constants import find_constants
from kernelwright.problems.declared import declared
from kernelwright.problems.directions import direction_of
from kernelwright.problems.naming import distinct
from kernelwright.problems.oracle import Oracle
from kernelwright.problems.program import Program
from kernelwright.problems.rules import derive_rules
from kernelwright.problems.shapes import Observation, Observer
from kernelwright.problems.twins import Values
from kernelwright.problems.workloads import (
    Choice,
    checked_memory,
    choose,
    choose_declared,
    varied_constants,
)

_SEED = 1
_SMALL_BYTES = 1 << 18
FIXED_SIZES = "fixed-sizes"
INTEGER_OUTPUTS = "integer-outputs"


def derive(source: Source, origin: str, oracle: Oracle, *, memory_bytes: int) -> Problem:
    """Run the file under its own and other constants, check it, and describe it.

    Raises:
        ProblemError: it cannot be a problem, with the reason.
    """
    direction = direction_of(source, oracle.direction)
    observer = Observer(source, oracle.device, direction)
    base = observer.first()
    checked_memory(base, source.main_file, memory_bytes)
    varied, chosen = _sizes(observer, source)
    choices = _that_run(oracle, chosen)
    specs, places = _specs(observer, base, varied)
    problem = _assemble(source, origin, direction, specs, places, choices)
    smallest = min(problem.workloads, key=problem.traffic_bytes)
    twins = oracle.twins(smallest.constants)
    problem = problem.model_copy(update=_named_gradients(twins.eager))
    forward = twins.eager.forward_only
    check_program(forward, forward.make_inputs(_SEED))
    if direction != "forward":
        check_repeats(twins.eager, twins.eager.make_inputs(_SEED))
    rules = derive_rules(twins, problem.inputs, smallest.axes, _samples(oracle))
    workloads = tuple(w.model_copy(update={"inputs": rules}) for w in problem.workloads)
    problem = problem.model_copy(update={"workloads": workloads})
    check_report(oracle, problem)
    return _where_right(oracle, problem)


def _sizes(observer: Observer, source: Source) -> tuple[dict[str, int], list[Choice]]:
    """The constants that set sizes, and the workloads: those beside the file, else derived ones."""
    if workloads := declared(source):
        return choose_declared(observer, workloads)
    varied = varied_constants(observer, find_constants(source.text))
    return varied, choose(observer, varied)


def _where_right(oracle: Oracle, problem: Problem) -> Problem:
    """The problem without the sizes at which the reference is not near its own float64 answer.

    A gradient through a norm of one element is zero, say, and what comes out is rounding alone.
    At small sizes that depends on the draw, so several are tried.
    """

    def is_right(workload: Workload) -> bool:
        draws = 4 if problem.traffic_bytes(workload) < _SMALL_BYTES else 1
        answers = (oracle.answer(problem, workload, "file", _SEED + i) for i in range(draws))
        return all(answer.disagreement is None for answer in answers)

    kept = tuple(w for w in problem.workloads if w.split == "report" or is_right(w))
    return problem.model_copy(update={"workloads": kept})


def _that_run(oracle: Oracle, choices: Sequence[Choice]) -> list[Choice]:
    """The choices under which the program also runs for real; the report workload must."""
    kept = []
    for choice in choices:
        try:
            program = oracle.twins(choice.observation.constants).eager
            program.run(program.make_inputs(_SEED))
        except (ProblemError, DeviceFull):  # those too large for this GPU too
            if choice.split == "report":
                raise
        else:
            kept.append(choice)
    return kept


def _samples(oracle: Oracle) -> list[Values]:
    program = oracle.twins({}).eager
    made = (program.make_inputs(seed) for seed in (_SEED, _SEED + 1))
    return [dict(zip(program.input_names, values, strict=True)) for values in made]


def _specs(
    observer: Observer, base: Observation, varied: Mapping[str, int]
) -> tuple[tuple[TensorSpec, ...], dict[str, tuple[int, int]]]:
    """The tensors with named axes, and for each axis a (tensor, dimension) that has its size."""
    seen = [
        o
        for o in observer.successes
        if o.structure == base.structure and o.constants.keys() <= varied.keys()
    ]
    names = _tensor_names(base)
    vectors = [
        [tuple(o.tensors[at].shape[dim] for o in seen) for dim in range(len(tensor.shape))]
        for at, tensor in enumerate(base.tensors)
    ]
    axes = _name_axes(seen, vectors, varied, names)
    specs = tuple(
        TensorSpec(
            name=name,
            shape=tuple(axes.get(vector, vector[0]) for vector in vectors[at]),
            dtype=tensor.dtype,
            role=tensor.role,
        )
        for at, (name, tensor) in enumerate(zip(names, base.tensors, strict=True))
    )
    places: dict[str, tuple[int, int]] = {}
    for at, spec in enumerate(specs):
        for dim, axis in enumerate(spec.shape):
            if isinstance(axis, str):
                places.setdefault(axis, (at, dim))
    return specs, places


def _tensor_names(base: Observation) -> list[str]:
    inputs = [t.name for t in base.tensors if t.role != "output"]
    outputs = [t.name for t in base.tensors if t.role == "output"]
    return inputs + distinct(outputs, taken=inputs)


def _name_axes(
    seen: Sequence[Observation],
    vectors: Sequence[Sequence[tuple[int, ...]]],
    varied: Mapping[str, int],
    taken: Sequence[str],
) -> dict[tuple[int, ...], str]:
    """The name of each of `vectors` of sizes that is not constant over the observations."""
    of_constant = {
        tuple(o.constants.get(name, value) for o in seen): name
        for name, value in reversed(list(varied.items()))
    }
    wanted: dict[tuple[int, ...], str] = {}
    unnamed = 0
    for vector in (v for tensor in vectors for v in tensor):
        if len(set(vector)) < 2 or vector in wanted:
            continue
        wanted[vector] = of_constant.get(vector, f"n{unnamed}")
        unnamed += vector not in of_constant
    names = distinct(wanted.values(), taken=taken, suffix="_size")
    return dict(zip(wanted, names, strict=True))


def _assemble(
    source: Source,
    origin: str,
    direction: Direction,
    specs: tuple[TensorSpec, ...],
    places: Mapping[str, tuple[int, int]],
    choices: Sequence[Choice],
) -> Problem:
    outputs = tuple(s for s in specs if s.role == "output")
    rules: dict[str, InputRule] = {s.name: "file" for s in specs if s.role != "output"}
    workloads = tuple(
        Workload(
            id=choice.id,
            split=choice.split,
            axes={a: choice.observation.tensors[t].shape[d] for a, (t, d) in places.items()},
            constants=dict(choice.observation.constants),
            inputs=rules,
        )
        for choice in choices
    )
    return Problem(
        id=_id(source, direction),
        title=_title(source),
        origin=origin,
        direction=direction,
        axes=tuple(places),
        inputs=tuple(s for s in specs if s.role != "output"),
        outputs=outputs,
        reference=source,
        check=_declared_check(source),
        workloads=workloads,
        tags=tuple(_tags(choices, outputs)),
    )


def _named_gradients(program: Program) -> dict[str, dict[str, str]]:
    """The fields of a problem that say which tensor is the gradient of which."""
    found = program.gradients
    if found is None:
        return {}
    belongs = {name: found.outputs[at] for name, at in found.cotangents.items()}
    return {"cotangents": belongs, "gradients": found.sources(program.input_names)}


def _id(source: Source, direction: Direction) -> str:
    """The file's name and a mark of its content, both of which say the direction if not forward."""
    stem = PurePath(source.main_file).stem
    texts = list(source.files.values())
    if direction == "forward":
        return f"{stem}-{content_id(*texts)[:8]}"
    named = stem if stem.endswith(f"_{direction}") else f"{stem}_{direction}"
    return f"{named}-{content_id(*texts, direction)[:8]}"


def _declared_check(source: Source) -> Check:
    """What the file says about its outputs by ``NONFINITE = True`` at its top level."""
    told = any(
        isinstance(stmt, ast.Assign)
        and [getattr(target, "id", None) for target in stmt.targets] == ["NONFINITE"]
        and isinstance(stmt.value, ast.Constant)
        and stmt.value.value is True
        for stmt in ast.parse(source.text).body
    )
    return Check(nonfinite=told)


def _title(source: Source) -> str:
    text = ast.get_docstring(ast.parse(source.text)) or PurePath(source.main_file).stem
    return text.strip().splitlines()[0].rstrip(".")


def _tags(choices: Sequence[Choice], outputs: Sequence[TensorSpec]) -> Iterator[str]:
    if len(choices) == 1:
        yield FIXED_SIZES
    if any("float" not in s.dtype for s in outputs):
        yield INTEGER_OUTPUTS
