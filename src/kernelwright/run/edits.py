"""The accepted edits of a candidate, and the candidate without one of them. Pure.

An edit is a hunk of the difference between a candidate's text and that of the draft it descends
from, or a tuned setting that differs from its default.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass

from kernelwright.core.candidate import Candidate
from kernelwright.core.problem import Source
from kernelwright.core.run import Edit
from kernelwright.store.fold import RunState, Step

MOST_EDITS = 12
# Changes with fewer unchanged lines than this between them are one edit.
_APART = 3


@dataclass(frozen=True, kw_only=True)
class Undoing:
    """An edit, and the candidate with everything but that edit."""

    edit: Edit
    without: Candidate


def founder(state: RunState, step: Step) -> Step:
    """The draft that the candidate of `step` descends from, by first parents: the earliest in the
    same language, since the text of another language is no place to go back to."""
    while step.plan.kind != "draft" and step.plan.parents:
        parent = state.step_of(step.plan.parents[0])
        if parent is None or parent.candidate is None or parent.number >= step.number:
            break
        if parent.plan.language != step.plan.language:
            break
        step = parent
    return step


def undoings(candidate: Candidate, draft: Candidate) -> list[Undoing]:
    """Every accepted edit of `candidate`, undone alone: the settings, then hunks, large ones first.

    Where all of a text is new, `draft` being `candidate` itself, there are only settings.
    """
    hunks = sorted(_hunks(candidate, draft), key=lambda undoing: -_size(undoing.edit))
    return [*_settings(candidate), *hunks]


def _settings(candidate: Candidate) -> Iterator[Undoing]:
    for tunable in candidate.tunables:
        value = candidate.values[tunable.name]
        if value != tunable.default:
            yield Undoing(
                edit=Edit(
                    kind="setting",
                    place=tunable.name,
                    before=str(tunable.default),
                    after=str(value),
                ),
                without=candidate.tuned(candidate.values | {tunable.name: tunable.default}),
            )


def _hunks(candidate: Candidate, draft: Candidate) -> Iterator[Undoing]:
    ours, theirs = candidate.source.files, draft.source.files
    # What the draft's text is built with may be gone from the candidate's.
    names = {tunable.name for tunable in candidate.tunables}
    lost = tuple(t for t in draft.tunables if t.name not in names)
    for name in sorted(ours.keys() | theirs.keys()):
        new = ours.get(name, "").splitlines(keepends=True)
        old = theirs.get(name, "").splitlines(keepends=True)
        for old_from, old_to, new_from, new_to in _changes(old, new):
            text = "".join([*new[:new_from], *old[old_from:old_to], *new[new_to:]])
            source = Source(files={**ours, name: text}, entry_point=candidate.source.entry_point)
            yield Undoing(
                edit=Edit(
                    kind="text",
                    place=f"{name}:{new_from + 1}",
                    before="".join(old[old_from:old_to]),
                    after="".join(new[new_from:new_to]),
                ),
                without=candidate.model_copy(
                    update={"source": source, "tunables": (*candidate.tunables, *lost)}
                ),
            )


def _changes(old: list[str], new: list[str]) -> Iterator[tuple[int, int, int, int]]:
    """The places that differ, as `old[a:b]` and `new[c:d]`; those that lie close are one."""
    open_change: tuple[int, int, int, int] | None = None
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    for tag, old_from, old_to, new_from, new_to in matcher.get_opcodes():
        if tag == "equal":
            continue
        if (
            open_change is not None
            and new_from - open_change[3] < _APART > old_from - open_change[1]
        ):
            open_change = (open_change[0], old_to, open_change[2], new_to)
            continue
        if open_change is not None:
            yield open_change
        open_change = (old_from, old_to, new_from, new_to)
    if open_change is not None:
        yield open_change


def _size(edit: Edit) -> int:
    return edit.before.count("\n") + edit.after.count("\n")
