"""What an agent does best next, in a sentence: no verdict is a dead end."""

from __future__ import annotations

from kernelwright.agents.records import Attempt, Best, Left, Verdict

_GO_ON = "Submit what follows from it, with parent = {step}."


def after_attempt(
    attempt: Attempt,
    verdict: Verdict | None,
    best: Best | None,
    left: Left,
    carry: str | None = None,
) -> str:
    """The next step after an attempt. `carry` says how one that waits gets its verdict."""
    if verdict is None and carry is not None:
        return carry
    if left.exhausted:
        last = "promote the best attempt" if best else "nothing passed"
        return f"No attempt is left ({left.exhausted}): {last}, then ask for the report."
    if attempt.state == "fault":
        return "It was not judged, for the reason in the summary. Submit it again as it is."
    if verdict is None:
        return "It was not judged. Submit it again, if it still should be."
    if verdict.outcome != "passed":
        return f"Mend the first thing that the diagnosis names, and only that. {_go_on(attempt)}"
    if attempt.speedup is None:
        return "It is right, and there are no times here. Promote it, or go on."
    if best is not None and best.step != attempt.step and best.speedup > attempt.speedup:
        return (
            f"Attempt {best.step} is faster ({best.speedup:.3g}×): go on from there with another "
            "idea, or say what this one taught."
        )
    if verdict.limits is not None and verdict.limits.headroom and verdict.limits.headroom < 1.1:
        return "It is at the roofline: promote it."
    tunables = " Its tunables can be tuned." if attempt.settings else ""
    return f"One idea against what limits it. {_go_on(attempt)}{tunables} Or promote it."


def after_promotion(step: int | None, left: Left) -> str:
    """The next step after a promotion."""
    if step is None:
        return "None held on fresh samples. Mend what their verdicts name, and submit again."
    more = "" if left.exhausted else " You may go on with better ideas, and promote again."
    return f"Ask for the report.{more}"


def _go_on(attempt: Attempt) -> str:
    return _GO_ON.format(step=attempt.step)
