"""From a verdict to a diagnosis: what went wrong or how fast it was, in words for a writer.

Nothing here judges; it says what the judge found, shortens it, and adds what usually lies behind.
Of hidden workloads only the class of a fault is told. A diagnosis is at most `LONGEST` characters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import assert_never

from kernelwright.core.diagnosis import Diagnosis
from kernelwright.core.evaluation import (
    BuildFailed,
    Crashed,
    Evaluation,
    Measurement,
    Mismatch,
    Outcome,
    Passed,
    Regime,
    Rejected,
    Stage,
    TimedOut,
    Trait,
    WrongResult,
)
from kernelwright.core.problem import Problem
from kernelwright.core.statistics import CANDIDATE, baselines, by_subject, median_ns, speedup
from kernelwright.generate.advice import DISTRIBUTIONS, MISMATCHES, SIGNALS, STAGES, TRAITS
from kernelwright.generate.causes import likely_causes

LONGEST = 4000
_LONGEST_QUOTE = 2000
_LONGEST_READ = 50_000
_SHOWN_ERRORS = 5
_SHOWN_MISMATCHES = 4
_SHOWN_HIDDEN = 4
_ERROR = re.compile(r"\berror\b|Error\b|undefined (?:reference|symbol)", re.IGNORECASE)
# What the build's own files say beyond this follows from a signature that is wrong.
_CONSEQUENCE = re.compile(r"kw_\w+\.\w+:(?!.*(?:static assertion|was not declared|is undefined))")
# How the judge says where a candidate died; what is special there stands in the parentheses.
_HIDDEN = re.compile(r"[^\n]*\ba hidden workload(?: \(([\w, ]*)\))?")
_CONTEXT = re.compile(r"^\s*(?:\d+\s*)?\|")


def diagnosis(evaluation: Evaluation, problem: Problem) -> str:
    """What a writer should know about the verdict `evaluation`, at most `LONGEST` characters."""
    return in_words(evaluation.outcome, problem)


def in_words(outcome: Outcome, problem: Problem) -> str:
    """What a writer should know about `outcome`, at most `LONGEST` characters."""
    match outcome:
        case Passed():
            text = _passed(outcome, problem)
        case WrongResult():
            text = _wrong(outcome.mismatches, problem)
        case BuildFailed(diagnostics=said):
            text = _build_failed(said)
        case Crashed():
            text = _crashed(outcome)
        case TimedOut(stage=stage, limit_s=limit):
            text = _timed_out(stage, limit)
        case Rejected(rule=rule, evidence=evidence):
            text = (
                f"It was rejected by the rule {rule!r}:\n{_short(evidence)}\nDo without what the "
                "rule forbids; it is not a matter of speed."
            )
        case _:
            assert_never(outcome)
    return _bounded(text, LONGEST)


def _bounded(text: str, longest: int) -> str:
    """`text` with its middle left out when it is too long: the start and the end say most."""
    text = text.strip()
    if len(text) <= longest:
        return text
    half = (longest - 20) // 2
    return f"{text[:half].rstrip()}\n[… left out …]\n{text[-half:].lstrip()}"


def _short(text: str) -> str:
    return _bounded(text, _LONGEST_QUOTE)


def _advice(sentences: Iterable[str]) -> str:
    listed = [f"- {sentence}" for sentence in sentences]
    return "\n".join(["", "Likely causes:", *listed]) if listed else ""


def _build_failed(said: str) -> str:
    said = said[:_LONGEST_READ]
    return f"It did not build:\n{_short(_essence(said))}{_advice(likely_causes(said))}"


def _essence(said: str) -> str:
    """The first few errors with the lines that the compiler shows under them.

    What has no line with an error, such as a traceback in another form, is kept as it is.
    """
    lines = [line.rstrip() for line in said.splitlines() if line.strip()]
    kept: list[str] = []
    errors = 0
    in_error = False
    for line in lines:
        if _CONTEXT.match(line):
            if in_error:
                kept.append(line)
            continue
        in_error = bool(_ERROR.search(line)) and not _CONSEQUENCE.match(line)
        errors += in_error
        if errors > _SHOWN_ERRORS:
            break
        if in_error:
            kept.append(line)
    return "\n".join(kept if errors else lines)


def _wrong(mismatches: Sequence[Mismatch], problem: Problem) -> str:
    shown = [m for m in mismatches if m.split != "hidden"]
    hidden = dict.fromkeys(_one_hidden(m) for m in mismatches if m.split == "hidden")
    lines = ["It builds and runs, and its result is wrong:"]
    lines += [f"- {_one_wrong(m, problem)}" for m in shown[:_SHOWN_MISMATCHES]]
    if len(shown) > _SHOWN_MISMATCHES:
        lines.append(f"- and {len(shown) - _SHOWN_MISMATCHES} more like these")
    lines += [f"- on inputs that are not shown: {said}" for said in list(hidden)[:_SHOWN_HIDDEN]]
    return "\n".join(lines) + _advice(_suspicions(mismatches, shown, problem))


def _one_wrong(mismatch: Mismatch, problem: Problem) -> str:
    sizes = _sizes(problem, mismatch.workload_id)
    at = f" at {sizes}" if sizes else ""
    drawn = (
        "the file's own inputs"
        if mismatch.distribution == "file"
        else (f"inputs drawn {mismatch.distribution!r}")
    )
    detail = f": {_bounded(mismatch.detail, 300)}" if mismatch.detail else ""
    share = f"{mismatch.matched_ratio:.1%} of its elements are right"
    kind = mismatch.kind.replace("_", " ")
    return f"{mismatch.output}{at}, {drawn}{_special(mismatch.traits)}: {kind}, {share}{detail}"


def _one_hidden(mismatch: Mismatch) -> str:
    """The class of a fault: what is wrong, on which kind of values, and what is special there."""
    drawn = "" if mismatch.distribution == "file" else f", inputs drawn {mismatch.distribution!r}"
    return f"{mismatch.kind.replace('_', ' ')}{drawn}{_special(mismatch.traits)}"


def _special(traits: Iterable[Trait]) -> str:
    words = [TRAITS[trait] for trait in traits]
    return f" ({'; '.join(words)})" if words else ""


def _sizes(problem: Problem, workload_id: str) -> str:
    axes = next((w.axes for w in problem.workloads if w.id == workload_id), {})
    return ", ".join(f"{axis} = {size}" for axis, size in axes.items())


def _suspicions(
    mismatches: Sequence[Mismatch], shown: Sequence[Mismatch], problem: Problem
) -> list[str]:
    kinds = dict.fromkeys(m.kind for m in mismatches)
    found = [MISMATCHES[kind] for kind in kinds if kind != "wrong_value"]
    wrong = [m for m in shown if m.kind == "wrong_value"]
    if wrong and max(m.matched_ratio for m in wrong) < 0.01:
        found.append(
            "Nearly nothing is right: a wrong formula, a wrong axis, or the arguments in another "
            "order than the guide's."
        )
    elif wrong and min(m.matched_ratio for m in wrong) > 0.5:
        found.append(
            "Most is right: look at the last, partial tile or vector, at the first and last row, "
            "and at a sum that leaves out its tail."
        )
    drawn = {m.distribution for m in shown}
    if len(drawn) == 1 and (name := drawn.pop()) in DISTRIBUTIONS:
        found.append(f"It fails on {name!r} inputs only: {DISTRIBUTIONS[name]}.")
    if shown and all(_ragged(problem, m.workload_id) for m in shown):
        found.append("All these sizes are no multiples of 8: handle what remains after a vector.")
    if not shown:
        found.append(
            "It is right on the sizes that are shown and wrong on others: do not rely on any "
            "size, multiple, alignment or kind of input."
        )
    return found


def _ragged(problem: Problem, workload_id: str) -> bool:
    axes = next((w.axes for w in problem.workloads if w.id == workload_id), {})
    return bool(axes) and list(axes.values())[-1] % 8 != 0


def _crashed(outcome: Crashed) -> str:
    how = f"with {outcome.signal}" if outcome.signal else "with an error"
    detail = _short(outcome.detail)
    # What it printed while it ran on hidden inputs could tell their sizes.
    hidden = _HIDDEN.match(detail)
    if hidden:
        known = [trait for trait in TRAITS if trait in (hidden[1] or "").split(", ")]
        detail = f"On inputs that are not shown{_special(known)}."
    text = f"It died {STAGES[outcome.stage]}, {how}:\n{detail}"
    causes = likely_causes(detail)
    if outcome.signal in SIGNALS:
        causes = [SIGNALS[outcome.signal], *causes]
    return text + _advice(causes)


def _timed_out(stage: Stage, limit_s: float) -> str:
    text = f"It was stopped {STAGES[stage]}, since it took longer than {limit_s:g} s."
    causes = {
        "build": ["Templates or unrolling that make the compiler work too long. Simplify."],
        "load": ["Work at load time. Compute in the function that is called, and only there."],
    }.get(
        stage,
        [
            "A loop that does not end for some size (0, 1, or a step that never moves).",
            "Threads that wait for each other.",
            "An algorithm that does far more work than the reference.",
        ],
    )
    return text + _advice(causes)


def _passed(outcome: Passed, problem: Problem) -> str:
    lines = ["It is right on every case."]
    for regime in ("returned", "buffer"):
        lines += _timing(outcome.measurements, regime, problem)
    if len(lines) == 1:
        lines.append("It was not timed.")
    if outcome.profile is not None:
        lines += limits(outcome.profile)
    return "\n".join(lines)


def limits(profile: Diagnosis) -> list[str]:
    """What limits it, by how much, and what may help; nothing when that is not known."""
    if profile.bottleneck == "unknown":
        return [f"- {hint}" for hint in profile.hints]
    figures = "; ".join(figure.text for figure in profile.figures)
    shown = f" ({figures})" if figures else ""
    lines = [f"What limits it, {profile.bottleneck.replace('_', ' ')}: {profile.meaning}{shown}"]
    if profile.headroom is not None:
        lines.append(
            f"No kernel here can be more than {max(profile.headroom, 1.0):.3g} times as fast as "
            "this one."
        )
    return [*lines, *(f"- {hint}" for hint in profile.hints)]


def _timing(measurements: Iterable[Measurement], regime: Regime, problem: Problem) -> list[str]:
    subjects = by_subject(measurements, regime)
    if CANDIDATE not in subjects:
        return []
    ours = median_ns(subjects[CANDIDATE])
    where = (
        "With a new output for each call" if regime == "returned" else "Into memory that is there"
    )
    moved = problem.traffic_bytes(problem.report_workload)
    lines = [
        f"{where}: {ours / 1e6:.4g} ms a call at {_sizes(problem, problem.report_workload.id)}. "
        f"Reading each input and writing each output once is {moved / 1e6:.4g} MB, so it moves "
        f"{moved / ours:.3g} GB/s of what must be moved."
    ]
    for name, baseline in sorted(baselines(subjects).items()):
        ratio = speedup(subjects[CANDIDATE], baseline)
        lines.append(
            f"- {name}: {median_ns(baseline) / 1e6:.4g} ms, so this is {ratio.median:.3g} times as "
            f"fast ({ratio.ci_low:.3g} to {ratio.ci_high:.3g}): {ratio.verdict.lower()}"
        )
    return lines
