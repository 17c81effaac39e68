"""What is known, for whoever asks: guides, how an action is done, what usually lies behind a
verdict, sketches, verified kernels, and what else a run knows, such as its device and other runs.

A source is a function that gives passages for a task. Which of them fit, `ranking` says.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from kernelwright.core.action import Action
from kernelwright.core.diagnosis import MEANINGS
from kernelwright.core.problem import Problem
from kernelwright.core.protocols import Example, Language, Passage
from kernelwright.core.record import Record
from kernelwright.generate.advice import DISTRIBUTIONS, MISMATCHES, SIGNALS, TRAITS
from kernelwright.generate.briefing import no_examples, no_page
from kernelwright.generate.listed_writer import Drafts, NoDrafts
from kernelwright.generate.ranking import ranked

__all__ = ["Found", "Passage", "Source", "Task", "look_up", "told"]

MOST_PASSAGES = 8
# Of what a writer is told without asking.
MOST_TOLD = 3
LONGEST_TOLD = 6000
_LEAST_TOLD = 400  # less of a passage than this is not worth its place
_LONGEST_PASSAGE = 12_000
_HEADING = re.compile(r"^##+[ \t]+(.+)$", re.MULTILINE)


class Found(Record):
    """The passages that fit best, the best first; `more` were left out."""

    passages: tuple[Passage, ...]
    more: int


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is being worked on. `sketches` is None where no problem is open to ask them of;
    `examples` are kernels of the library in a language. `page` says how one of `actions` is done in
    a language. `device` is about what the candidates run on, None where that is not known, and
    `sources` has what is known beside all that: notes, and what other runs tried."""

    problem: Problem
    language: Language
    sketches: Callable[[str], Drafts | NoDrafts] | None = None
    examples: Callable[[str], Sequence[Example]] = no_examples
    actions: Sequence[Action] = ()
    page: Callable[[str, str], str | None] = no_page
    device: Passage | None = None
    sources: Sequence[Source] = ()


Source = Callable[[Task], Iterator[Passage]]


def look_up(query: str, task: Task) -> Found:
    """The passages that fit `query` best; all of them count for an empty one."""
    known = [p for source in (*SOURCES, *task.sources) for p in source(task)]
    fitting = ranked(query, known)
    shown = tuple(_bounded(passage) for passage in fitting[:MOST_PASSAGES])
    return Found(passages=shown, more=len(fitting) - len(shown))


def told(query: str, task: Task, shown: str | None = None) -> tuple[Passage, ...]:
    """What a writer is told without asking: about the device, then what fits `query` best among the
    actions, but for the one that is `shown` already, and the task's own sources. The guide, kernels
    and sketches reach a writer by other ways."""
    actions = [action for action in task.actions if action.name != shown]
    known = [*_actions(replace(task, actions=actions)), *(p for s in task.sources for p in s(task))]
    found: list[Passage] = []
    left = LONGEST_TOLD
    for passage in (*_device(task), *ranked(query, known)):
        if len(found) == MOST_TOLD or left < _LEAST_TOLD:
            break
        cut = _bounded(passage, left - len(passage.source) - len(passage.title))
        found.append(cut)
        left -= len(cut.source) + len(cut.title) + len(cut.text)
    return tuple(found)


def _bounded(passage: Passage, longest: int = _LONGEST_PASSAGE) -> Passage:
    return passage.model_copy(update={"text": passage.text.strip()[: max(longest, 0)].rstrip()})


def _guide(task: Task) -> Iterator[Passage]:
    """The language's guide, a passage for each of its parts."""
    parts = ["the task", *_HEADING.split(task.language.guide(task.problem))]
    for title, text in zip(parts[::2], parts[1::2], strict=True):
        yield _passage(f"guide of {task.language.name}", title, text)


def _notes(_: Task) -> Iterator[Passage]:
    """What usually lies behind a verdict or a bottleneck."""
    tables: Mapping[str, Mapping[Any, str]] = {
        "wrong results": MISMATCHES,
        "distributions of inputs": DISTRIBUTIONS,
        "special sizes and addresses": TRAITS,
        "signals": SIGNALS,
        "bottlenecks": MEANINGS,
    }
    for source, table in tables.items():
        for title, text in table.items():
            yield _passage(f"notes: {source}", str(title).replace("_", " "), text)


def _actions(task: Task) -> Iterator[Passage]:
    """How each action is done in the language, and when it pays."""
    for action in task.actions:
        page = task.page(action.name, task.language.name)
        if page is not None:
            text = f"{action.summary}\n\n{page}"
            yield _passage("actions", action.name.replace("-", " "), text)


def _device(task: Task) -> Iterator[Passage]:
    """What the device can do."""
    if task.device is not None:
        yield task.device


def _sketches(task: Task) -> Iterator[Passage]:
    """Programs for this very problem that need no model: a place to begin, and not the fastest."""
    found = task.sketches(task.language.name) if task.sketches else None
    if isinstance(found, Drafts):
        for number, candidate in enumerate(found.candidates, 1):
            yield _passage("sketches", f"sketch {number} of this problem", candidate.source.text)


def _kernels(task: Task) -> Iterator[Passage]:
    """Kernels that the judge passed, for this problem or near it, each with what it computes."""
    for example in task.examples(task.language.name):
        text = f"{example.reference.strip()}\n\nThe kernel:\n\n{example.source}"
        yield _passage("library", example.title, text)


def _passage(source: str, title: str, text: str) -> Passage:
    return Passage(source=source, title=title, text=text.strip())


SOURCES: tuple[Source, ...] = (_guide, _device, _actions, _notes, _kernels, _sketches)
