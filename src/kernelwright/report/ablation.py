"""What each accepted edit of the best candidate is worth, from the verdicts without it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, assert_never

from kernelwright.core.evaluation import Evaluation, Passed
from kernelwright.core.record import Record
from kernelwright.core.run import Edit
from kernelwright.core.statistics import by_way_of_baseline
from kernelwright.report.formats import counted, estimated
from kernelwright.report.outcomes import reason
from kernelwright.report.ratios import Ratio
from kernelwright.store.fold import Ablation

HOW = (
    "How many times faster the candidate is with the edit than without, all others kept, with the "
    "95% interval. The two were judged one after the other, not side by side, and are compared by "
    "way of the baseline that both were timed against. Edits may need each other, so their worths "
    "do not multiply up."
)


class Worth(Edit):
    """An edit, and what became of the candidate without it.

    "needed": without it the candidate does not pass, and `reason` says how it fails. "helps",
    "hurts" and "same" are what the interval of `worth` says, "unclear" that it says neither; None
    where one of the two was not timed, which is "not_timed".
    """

    verdict: Literal["needed", "helps", "hurts", "same", "unclear", "not_timed"]
    reason: str | None
    worth: Ratio | None


class Ablated(Record):
    """What the edits of the candidate of attempt `step` are worth, against the draft of attempt
    `draft`. `left_out` edits were too many to be undone; `edits` are those with a verdict. `failed`
    is why the candidate itself did not pass when it was judged again: then nothing follows.

    `control` is the candidate against itself: judged beside its edits, against its verdict in the
    run. It should hold 1, and where it does not, the machine was another between the two.
    """

    step: int
    draft: int
    left_out: int
    failed: str | None
    control: Ratio | None
    edits: tuple[Worth, ...]


def ablated(ablation: Ablation | None, in_run: Evaluation | None) -> Ablated | None:
    """The figures of `ablation`, whose candidate had the verdict `in_run` before; None when there
    was none."""
    if ablation is None:
        return None
    best = ablation.judged.get(None)
    failed = best is not None and not isinstance(best.outcome, Passed)
    edits = [
        (edit, said) for edit, said in ablation.judged.items() if edit is not None and not failed
    ]
    return Ablated(
        step=ablation.step,
        draft=ablation.draft,
        left_out=ablation.left_out,
        failed=reason(best.outcome) if best is not None and failed else None,
        control=_ratio(best, in_run),
        edits=tuple(_worth(edit, best, without) for edit, without in edits),
    )


def worth_in_words(edit: Worth) -> str:
    """What an edit is worth, in a few words with its figures."""
    figures = estimated(edit.worth.estimate) if edit.worth else ""
    match edit.verdict:
        case "needed":
            return f"needed: without it, {edit.reason}"
        case "helps":
            return f"helps: {figures}"
        case "hurts":
            return f"hurts: {figures}"
        case "same":
            return f"makes no difference: {figures}"
        case "unclear":
            return f"not clear: {figures}"
        case "not_timed":
            return "passes without it, and was not timed"
        case _:
            assert_never(edit.verdict)


def what_it_is(edit: Edit) -> str:
    """An edit in a few words: ``TILE 1 → 4``, ``kernel.cpp:12, 3 lines for 1``."""
    if edit.kind == "setting":
        return f"{edit.place} {edit.before} → {edit.after}"
    old, new = len(edit.before.splitlines()), len(edit.after.splitlines())
    return f"{edit.place}, {counted(new, 'line')} for {old}"


def in_words(found: Ablated) -> Sequence[str]:
    """What is said above the edits."""
    if found.failed is not None:
        return [
            f"Attempt {found.step} itself did not pass when it was judged again ({found.failed}), "
            "so nothing is known of its edits."
        ]
    if not found.edits and not found.left_out:
        return [f"Attempt {found.step} has no edit that was undone and judged."]
    said = [
        f"What each edit of attempt {found.step} is worth, against the draft of attempt "
        f"{found.draft}. {HOW}"
    ]
    if found.control is not None and not found.control.ci_low <= 1 <= found.control.ci_high:
        said.append(
            "The candidate against itself, here and as it was judged in the run, came out at "
            f"{estimated(found.control.estimate)} instead of 1: the machine was not steady, so "
            "take these figures with care."
        )
    if found.left_out:
        said.append(f"{counted(found.left_out, 'smaller edit')} more were not undone.")
    return said


def _worth(edit: Edit, best: Evaluation | None, without: Evaluation) -> Worth:
    if not isinstance(without.outcome, Passed):
        why = reason(without.outcome)
        return Worth(**dict(edit), verdict="needed", reason=why, worth=None)
    worth = _ratio(best, without)
    return Worth(**dict(edit), verdict=_verdict(worth), reason=None, worth=worth)


def _ratio(ours: Evaluation | None, theirs: Evaluation | None) -> Ratio | None:
    """How many times faster the candidate of `ours` is; None where one was not timed."""
    outcomes = [one.outcome for one in (ours, theirs) if one is not None]
    measured = [one.measurements for one in outcomes if isinstance(one, Passed)]
    estimate = by_way_of_baseline(*measured) if len(measured) == 2 else None
    return Ratio.of(estimate) if estimate else None


def _verdict(
    worth: Ratio | None,
) -> Literal["helps", "hurts", "same", "unclear", "not_timed"]:
    if worth is None:
        return "not_timed"
    words: dict[str, Literal["helps", "hurts", "same", "unclear"]] = {
        "FASTER": "helps", "SLOWER": "hurts", "SAME": "same", "AMBIGUOUS": "unclear",
    }  # fmt: skip
    return words[worth.estimate.verdict]
