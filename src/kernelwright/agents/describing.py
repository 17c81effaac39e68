"""What an agent is told about its task before it writes anything. No sizes of hidden workloads."""

from __future__ import annotations

from kernelwright.agents.records import Description, Left, Sizes
from kernelwright.core.evaluation import Environment
from kernelwright.core.problem import Problem
from kernelwright.core.protocols import Language
from kernelwright.core.tolerance import CEILING

JUDGED_BY = (
    "Your candidate runs in a sandbox and decides nothing; all that counts is what it writes into "
    "the outputs.",
    "Inputs are drawn anew in up to fifteen distributions (large, tiny, far from zero, ties and "
    "others), on the sizes that you know and on hidden ones (1, 0, ragged, larger), also at "
    "addresses that are aligned to their elements alone.",
    "It is timed against eager PyTorch and torch.compile in turns, with inputs that arrive just "
    "before the clock starts. What counts is the speedup over the fastest of them, with a new "
    "output for each call.",
    "The best attempt is judged again on fresh samples, with sanitizers, before it is handed back.",
    "Work done ahead, kept from call to call, or left for later is found and rejected.",
)


def description(
    run: str, problem: Problem, language: Language, left: Left, machine: Environment | None
) -> Description:
    """The task: write `language` for `problem`."""
    shown = [w for w in problem.workloads if w.split != "hidden"]
    return Description(
        run=run,
        problem=problem.id,
        title=problem.title,
        direction=problem.direction,
        language=language.name,
        entry_point=language.entry_point,
        guide=language.guide(problem),
        inputs=problem.inputs,
        outputs=problem.outputs,
        workloads=tuple(Sizes(split=w.split, axes=w.axes) for w in shown),
        hidden_workloads=len(problem.workloads) - len(shown),
        tolerance=tuple(tolerance_in_words(problem)),
        judged_by=JUDGED_BY,
        machine=machine,
        left=left,
    )


def tolerance_in_words(problem: Problem) -> list[str]:
    """How far each output may be from the right one."""
    said = []
    for spec in problem.outputs:
        ceiling = CEILING.get(spec.dtype)
        if ceiling is None:
            said.append(f"{spec.name} ({spec.dtype}): every element must be exactly right.")
            continue
        said.append(
            f"{spec.name} ({spec.dtype}): every element within r · max(|y|, rms(y)) of the "
            "reference run in float64, where r follows from the reference's own rounding and is "
            f"at most {ceiling:g}. Not one element may be outside, and the root mean square of all "
            "errors has a limit of its own, which arithmetic in a narrower type does not keep."
        )
    if problem.check.nonfinite:
        said.append("Inputs may hold NaN and infinity, which must come out where the reference has")
        said[-1] += " them."
    if problem.check.deterministic:
        said.append("Two calls on the same inputs must give the same bits.")
    return said
