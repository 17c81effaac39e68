"""Judging kernels of the library again, with fresh seeds, as on promotion."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from kernelwright.core import names
from kernelwright.core.errors import KernelwrightError
from kernelwright.core.evaluation import Evaluation, Isolation, Passed, WrongResult
from kernelwright.core.protocols import Language
from kernelwright.core.record import Record
from kernelwright.core.statistics import Estimate, versus_best
from kernelwright.evaluate.environment import environment
from kernelwright.evaluate.judge import Judge
from kernelwright.library.normal.form import NoForm, NormalForm, normal_form
from kernelwright.library.records import device_name
from kernelwright.library.shelf import Kernel
from kernelwright.problems.reference import Device, Reference

Outcome = Literal["holds", "wrong", "slower", "stale", "skipped", "not_judged"]

_GOOD: tuple[Outcome, ...] = ("holds", "skipped")


class Verified(Record):
    """What came of one kernel. `speedup` is over the best baseline, here and now, with the ends of
    its interval; None where nothing was timed. `was` is the same from the certificate, if it is
    from this device."""

    name: str
    language: str
    device: str
    outcome: Outcome
    reason: str
    baseline: str | None = None
    speedup: tuple[float, float, float] | None = None
    was: tuple[float, float, float] | None = None
    checks: int = 0

    @property
    def good(self) -> bool:
        """Whether nothing speaks against it."""
        return self.outcome in _GOOD


class Again(Record):
    """A kernel judged anew, and the normal form of its problem as it is traced now."""

    evaluation: Evaluation
    form: NormalForm


JudgeAgain = Callable[[Kernel, Device, Isolation], Again]


def judge_again(kernel: Kernel, device: Device, require_isolation: Isolation) -> Again:
    """The verdict on `kernel` for its own problem, under the effort of a promotion.

    Raises:
        UsageError: this machine cannot judge it.
        NoForm: its problem has no normal form any more.
    """
    with Reference.open(
        kernel.reference, device=device, direction=kernel.about.computes.direction
    ) as reference:
        problem = reference.load()
        form = normal_form(problem, reference.trace())
        with Judge(problem, reference, device=device, require_isolation=require_isolation) as judge:
            candidate = kernel.candidate(problem, device_name(environment(device)))
            return Again(evaluation=judge.judge(candidate, "promotion"), form=form)


def verify(
    kernel: Kernel,
    device: Device,
    *,
    require_isolation: Isolation = "process",
    again: JudgeAgain = judge_again,
) -> Verified:
    """Whether `kernel` still holds on `device`: right on fresh inputs, its certificate's graph
    still what its problem traces to, and not slower than the best baseline where its certificate
    says faster on this very device."""
    language: Language = names.load("language", kernel.about.language)()
    here = device_name(environment(device))

    def verdict(outcome: Outcome, reason: str) -> Verified:
        return Verified(
            name=kernel.name,
            language=kernel.about.language,
            device=here,
            outcome=outcome,
            reason=reason,
            was=_figures(_certified(kernel, here)),
        )

    if device not in language.devices:
        return verdict("skipped", f"{kernel.about.language} does not run on {device}.")
    if (missing := language.missing("build") or language.missing("run")) is not None:
        return verdict("skipped", missing)
    judged_on = {j.evaluation.environment.kind for j in kernel.certificate.judgements}
    if device not in judged_on:
        # One in Triton, for a GPU: the interpreter would take hours, or wait for ever where its
        # programs wait for each other.
        kinds = " and ".join(sorted(judged_on))
        return verdict("skipped", f"It was judged on {kinds}, and never on {device}.")
    try:
        found = again(kernel, device, require_isolation)
    except (KernelwrightError, NoForm) as error:
        return verdict("not_judged", str(error))
    evaluation = found.evaluation
    checks = sum(c.count for c in evaluation.checks)
    timed = _best(evaluation)
    said = verdict(*_judged(kernel, found, here)).model_copy(update={"checks": checks})
    if timed is None:
        return said
    return said.model_copy(update={"baseline": timed[0], "speedup": _figures(timed[1])})


def _judged(kernel: Kernel, found: Again, here: str) -> tuple[Outcome, str]:
    outcome = found.evaluation.outcome
    if not isinstance(outcome, Passed):
        return (
            "wrong",
            f"The judge says {outcome.kind.replace('_', ' ')}{_where(found.evaluation)}.",
        )
    if found.form.key != kernel.form.key:
        return (
            "stale",
            "Its problem traces to another graph than is written down, so it would not be found. "
            "Add it anew.",
        )
    before, now = _certified(kernel, here), _best(found.evaluation)
    was_faster = before is not None and before.ci_low > 1
    if was_faster and now is not None and now[1].ci_high < 1:
        return "slower", f"It was faster than the best baseline and is slower than {now[0]}."
    if now is None:
        return "holds", "Right on fresh inputs, and not timed here."
    return "holds", "Right on fresh inputs."


def _where(evaluation: Evaluation) -> str:
    """On which inputs a wrong result was seen first."""
    if not isinstance(evaluation.outcome, WrongResult):
        return ""
    first = evaluation.outcome.mismatches[0]
    return (
        f" on {first.distribution} inputs of the {first.split} workload {first.workload_id}: "
        f"{first.matched_ratio:.1%} of {first.output} agree"
    )


def _certified(kernel: Kernel, device: str) -> Estimate | None:
    """What the certificate says of the speed on `device`."""
    for judgement in kernel.certificate.judgements:
        if judgement.device == device and (found := _best(judgement.evaluation)) is not None:
            return found[1]
    return None


def _best(evaluation: Evaluation) -> tuple[str, Estimate] | None:
    if not isinstance(evaluation.outcome, Passed):
        return None
    return versus_best(evaluation.outcome.measurements)


def _figures(estimate: Estimate | None) -> tuple[float, float, float] | None:
    if estimate is None:
        return None
    return estimate.median, estimate.ci_low, estimate.ci_high
