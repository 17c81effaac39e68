"""The result in a sentence: what is faster than what, by how much, how surely, and measured how."""

from __future__ import annotations

from pathlib import PurePath

from kernelwright.core.statistics import Estimate
from kernelwright.report.formats import counted, estimated, interval, ratio
from kernelwright.report.ratios import Ratio
from kernelwright.report.result import EAGER, DropIn, Figures, Result, VersusBest

# Half the interval over the median: beyond this a figure says little.
_WIDE = 0.1


def name(origin: str) -> str:
    """What people call a problem.

    >>> name("examples/rmsnorm_silu.py"), name("builtin:softmax")
    ('rmsnorm_silu', 'softmax')
    """
    return PurePath(origin.rpartition(":")[2]).stem or origin


def headline(result: Result) -> str:
    """The result in one sentence."""
    problem = name(result.origin)
    if result.outcome == "not_approved":
        return (
            f"Nothing is handed back for {problem}: whoever was asked approved of no candidate. "
            "The reference stays as it is."
        )
    if result.outcome != "passed":
        return (
            f"No candidate for {problem} passed in {counted(result.attempts, 'attempt')}; the "
            "reference stays as it is."
        )
    if result.vs_best is None:
        return (
            f"A {result.language} candidate for {problem} is right on every case, but it was not "
            "timed, so nothing is known of its speed."
        )
    return f"{_claim(problem, result.vs_best)}, when each call returns a fresh output."


def remarks(result: Result) -> list[str]:
    """What a reader of the headline should know too, most important first."""
    found = []
    eager = result.speedup.get(EAGER)
    if eager is not None and result.vs_best and result.vs_best.baseline != EAGER:
        found.append(f"Against eager PyTorch it is {estimated(eager.estimate)}.")
    if result.buffer is not None and result.buffer.vs_best is not None:
        best = result.buffer.vs_best
        found.append(
            f"With the output's memory already there it is {estimated(best.estimate)} over "
            f"{best.baseline}."
        )
    if result.drop_in is not None:
        found.append(_delivered(result.drop_in))
    found += [f"A lesson was made use of, {t.name}. {t.claim} {t.effect}" for t in result.lessons]
    found += _cautions(result)
    return found


def _delivered(drop_in: DropIn) -> str:
    """How the module fares that a user imports."""
    if drop_in.outcome != "passed":
        return (
            f"best_module.py itself did not pass ({drop_in.reason}), so do not use it; the kernel "
            "alone did. This is a fault of ours: please report it."
        )
    best = drop_in.figures.vs_best if drop_in.figures else None
    if best is None:
        return "best_module.py was judged too and is right on every case."
    return (
        f"Called from Python through best_module.py it is {estimated(best.estimate)} over "
        f"{best.baseline}."
    )


def _claim(problem: str, best: VersusBest) -> str:
    over = f"{best.baseline}, the fastest baseline"
    size = ratio(best.median)
    bounds = f"95% interval {interval(best.estimate)}"
    match best.verdict:
        case "FASTER":
            return f"{problem} runs {size} times as fast as with {over} ({bounds})"
        case "SLOWER":
            return (
                f"Nothing faster was found for {problem}: the best candidate has {size} times the "
                f"speed of {over} ({bounds})"
            )
        case "SAME":
            return (
                f"Nothing faster was found for {problem}: the best candidate is as fast as {over} "
                f"({size} times, {bounds})"
            )
        case "AMBIGUOUS":
            return (
                f"Nothing surely faster was found for {problem}: the best candidate has {size} "
                f"times the speed of {over}, but the {bounds} holds 1"
            )


def _cautions(result: Result) -> list[str]:
    found = []
    if result.vs_best is not None and not result.promoted:
        found.append(
            "These are the search's own figures, chosen as the best of many, so they lean upwards: "
            "the run stopped before it measured the winner afresh."
        )
    if result.vs_best is not None and result.vs_best.estimate.half_width > _WIDE:
        found.append(
            "The interval is wide: something else kept the machine busy. Measure again when it is "
            "idle before you rely on the figure."
        )
    if result.control is not None and not _holds_one(result.control.estimate):
        found.append(
            f"The control, {result.control.baseline} against itself, came out at "
            f"{estimated(result.control.estimate)} instead of 1: the machine was not steady, so "
            "take the figures with care."
        )
    if not result.finished:
        found.append("The run is not finished; `kernelwright resume` goes on with it.")
    return found


def _holds_one(control: Estimate) -> bool:
    return control.ci_low <= 1.0 <= control.ci_high


def baseline_rows(result: Result) -> list[tuple[str, list[tuple[Figures, Ratio] | None]]]:
    """For each baseline its name and, for the regimes returned and buffer, the figures."""
    regimes = [result.returned, *([result.buffer] if result.buffer else [])]
    names = dict.fromkeys(name for figures in regimes for name in figures.speedup)
    return [
        (name, [(f, f.speedup[name]) if name in f.speedup else None for f in regimes])
        for name in names
    ]
