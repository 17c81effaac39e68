"""What an agent in a shell is told, as text: the records of `agents.records`, in few words."""

from __future__ import annotations

from collections.abc import Iterator

from kernelwright.agents.records import (
    Attempt,
    Attempts,
    Best,
    BuildResult,
    Left,
    Profile,
    Promoted,
    Shown,
    Submitted,
    Tuned,
    Verdict,
)
from kernelwright.agents.supervising import AgentRun
from kernelwright.generate.looking_up import Found
from kernelwright.report.formats import counted
from kernelwright.report.plain import visible


def submitted(told: Submitted) -> str:
    """The verdict on a candidate, and what to do next."""
    again = "" if told.repeated is None else " (the same as before; nothing was spent)"
    lines = [f"attempt {told.attempt.step}{again}: {told.attempt.summary}"]
    lines += _verdict(told.verdict)
    return _text(*lines, f"next: {told.next}", _left(told.left))


def tuned(told: Tuned) -> str:
    """What the tuner tried."""
    ended = [f"ended: {told.ended}"] if told.ended else []
    return _text(*map(_line, told.trials), *ended, _best(told.best), _left(told.left))


def promoted(told: Promoted) -> str:
    """What the promotion came to."""
    lines = [f"attempt {r.step} did not hold: {r.verdict.summary}" for r in told.not_promoted]
    for refused in told.not_promoted:
        lines.append(refused.verdict.diagnosis)
    if told.step is not None and told.verdict is not None:
        lines.append(f"attempt {told.step} holds: {told.verdict.summary}")
    if told.drop_in is not None:
        lines.append(f"as the module that users import: {told.drop_in.summary}")
    lines += [f"written: {told.folder}/{name}" for name in told.files]
    return _text(*lines, f"next: {told.next}")


def ended(told: AgentRun) -> str:
    """What became of an agent's command."""
    why = {
        "itself": f"It ended by itself, with status {told.status}",
        "time": "Its time was over",
        "budget": "Its budget was used up",
        "output": "It printed too much",
        "interrupt": "It was interrupted",
    }[told.ended_by]
    return f"{why}, after {told.seconds:.0f} s and {counted(told.attempts, 'attempt')}."


def attempts(told: Attempts) -> str:
    """A line for each attempt."""
    made = [_line(attempt) for attempt in told.attempts] or ["There are no attempts yet."]
    return _text(*made, _best(told.best), _left(told.left))


def shown(told: Shown) -> str:
    """An attempt with its files and its verdict."""
    lines = [_line(told.attempt)]
    for name, text in told.files.items():
        lines += [f"---- {name}", text.rstrip()]
    return _text(*lines, "----", *_verdict(told.verdict))


def built(told: BuildResult) -> str:
    """Whether it compiles."""
    return _text(told.said)


def profile(told: Profile) -> str:
    """What limits an attempt."""
    name = (told.bottleneck or "not known").replace("_", " ")
    lines = [f"attempt {told.step}: {name}: {told.meaning}"]
    lines += [f"  {figure.text}" for figure in told.figures]
    if told.headroom is not None:
        lines.append(f"  headroom to the roofline: {told.headroom:.3g} times")
    lines += [f"hint: {hint}" for hint in told.hints]
    lines += [f"not known: {what}" for what in told.not_known]
    return _text(*lines)


def found(told: Found) -> str:
    """Passages, each under what it is about."""
    lines = [f"== {p.source}: {p.title}\n{p.text}\n" for p in told.passages]
    if told.more:
        lines.append(f"{told.more} more fit less well. Ask with more words.")
    return _text(*(lines or ["Nothing is known about that. Ask with other words."]))


def _verdict(verdict: Verdict | None) -> Iterator[str]:
    if verdict is not None:
        yield ""
        yield verdict.diagnosis
        yield ""


def _line(attempt: Attempt) -> str:
    built_on = f" on {', '.join(map(str, attempt.parents))}" if attempt.parents else ""
    settings = " ".join(f"{k}={v}" for k, v in attempt.settings.items())
    idea = f"  [{attempt.idea}]" if attempt.idea else ""
    tail = f"  {settings}" if settings else ""
    return f"{attempt.step:>3}  {attempt.kind}{built_on}: {attempt.summary}{tail}{idea}"


def _best(best: Best | None) -> str:
    return "" if best is None else f"best: attempt {best.step}, {best.speedup:.3g} times"


def _left(left: Left) -> str:
    parts = [] if left.attempts is None else [f"{left.attempts} attempts"]
    parts += [] if left.seconds is None else [f"{left.seconds:.0f} s"]
    parts += [] if left.dollars is None else [f"{left.dollars:.2f} dollars"]
    if left.exhausted:
        return f"left: nothing ({left.exhausted}); still allowed: {', '.join(left.allowed)}"
    return f"left: {', '.join(parts) or 'no limit'}"


def _text(*lines: str) -> str:
    kept = "\n".join(line for line in lines if line is not None).strip("\n")
    return "\n".join(visible(line) for line in kept.split("\n"))
