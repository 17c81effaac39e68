"""What a person sees while a run goes on: a line for each thing done, and what is under way.

It watches the run's events and nothing else, so it shows a resumed run as well as a new one. On a
terminal the attempts under way stand below the lines; elsewhere only the lines are written.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from kernelwright.core.run import Edit, Event
from kernelwright.problems.admission import Admission
from kernelwright.report import outcomes
from kernelwright.report.ablation import what_it_is
from kernelwright.report.formats import money, seconds
from kernelwright.report.plain import visible
from kernelwright.report.regions import RegionTable, faster_in_words, ops_in_words, region_table
from kernelwright.report.story import calls_of, cost_of
from kernelwright.report.text import sizes, speedup_of
from kernelwright.store.fold import Promotion, RunState, Step, fold

_COLOURS = {"passed": "green", outcomes.NO_CANDIDATE: "yellow", outcomes.NOT_JUDGED: "yellow"}
_REFRESHES_PER_S = 8
_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"


class Progress:
    """Shows the events of one run. A context manager; `watch` is the run's observer.

    `past` are the events that the log held already, which are not shown again.
    """

    def __init__(self, console: Console, *, quiet: bool = False, past: Sequence[Event] = ()):
        self._console = console
        self._quiet = quiet
        self._state: RunState = fold(past)
        self._began = time.monotonic()
        self._live = Live(
            console=console,
            get_renderable=self._under_way,
            refresh_per_second=_REFRESHES_PER_S,
            transient=True,
        )

    def watch(self, event: Event) -> None:
        """Take one event in, and show what it finished."""
        self._state = fold([event], self._state)
        if self._quiet:
            return
        for line in self._lines(event):
            # In a file a line may be as long as it is. On a terminal an attempt takes one row;
            # in a group its line keeps that rule.
            terminal = self._console.is_terminal
            self._console.print(Group(line) if terminal else line, soft_wrap=not terminal)

    def _lines(self, event: Event) -> list[Text]:
        state = self._state
        match event.kind:
            case "problem" if state.problem is not None:
                title = Text(visible(state.problem.title), style="bold")
                return [title, Text(f"timed at {sizes(state.problem.report_workload)}")]
            case "admission":
                return [Text(visible(Admission.model_validate(event.data).sentence))]
            case "evaluation" | "proposal":
                return self._finished(state.steps[int(event.data["step"])])
            case "fault":
                return [Text(f"fault: {visible(state.faults[-1].message)}", style="yellow")]
            case "promotion":
                return [self._judged_again(state.promotions[-1], "measured afresh")]
            case "cut" if state.cut is not None:
                return [Text(visible(region_table(state.cut, {}).sentence))]
            case "region" if state.cut is not None:
                return [_region_line(region_table(state.cut, state.regions), event)]
            case "ablation" if state.ablation is not None:
                return [_ablated(state, event)]
            case "approval":
                return [Text(f"attempt {event.data['step']}, approved: {event.data['answer']}")]
            case "delivery":
                return [self._judged_again(state.deliveries[-1], "as best_module.py")]
            case "finished":
                return [Text(f"The search ended: {visible(event.data['reason'])}.", style="dim")]
            case _:
                return []

    def _finished(self, step: Step) -> list[Text]:
        return [attempt_line(self._state, step)] if step.finished else []

    @staticmethod
    def _judged_again(promotion: Promotion, how: str) -> Text:
        outcome = promotion.evaluation.outcome
        word = outcome.kind.replace("_", " ")
        figures = speedup_of(promotion.evaluation)
        return Text.assemble(
            f"attempt {promotion.step}, {how}: ",
            (word, _COLOURS.get(word, "red")),
            f"  {figures}" if figures else f"  {outcomes.reason(outcome)}",
        )

    def _under_way(self) -> RenderableType:
        """The attempts that are not finished, or what is done instead, and the totals."""
        frame = _FRAMES[int(time.monotonic() * _REFRESHES_PER_S) % len(_FRAMES)]
        doing = [f"{_head(self._state, s)}  {_stage(s)} …" for s in self._state.unfinished]
        return Text("\n").join(
            [
                *(Text(f"{frame} {line}") for line in doing or [self._phase()]),
                Text(self._totals(), style="dim"),
            ]
        )

    def _phase(self) -> str:
        """What goes on while no attempt does."""
        if self._state.problem is None:
            return "loading the problem …"
        if self._state.admission is None:
            return "admission: would wrong programs be noticed? …"
        if self._state.spec is not None and self._state.spec.regions and not self._state.steps:
            done = len(self._state.regions)
            of = len(self._state.cut.regions) if self._state.cut else 0
            return f"searching a kernel for each region, {done} of {of} done …"
        if self._state.ablation is not None:
            return "judging without one edit …"
        return "measuring the best afresh …" if self._state.steps else "drafting …"

    def _totals(self) -> str:
        spent, best = self._state.spent, self._state.history.best
        # Whole seconds: finer ones would only flicker.
        took = round(time.monotonic() - self._began)
        shown = [f"{spent.attempts} attempts", f"{took} s" if took < 100 else seconds(took)]
        if spent.unpriced_calls or spent.cost_usd:
            shown.append(f"cost {money(None if spent.unpriced_calls else spent.cost_usd)}")
        if best is not None:
            shown.append(f"best {speedup_of(best.evaluation)}")
        return " · ".join(shown)

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Leave the terminal to something else meanwhile."""
        self._live.stop()
        try:
            yield
        finally:
            self._start()

    def _start(self) -> None:
        if self._console.is_terminal and not self._quiet:
            self._live.start()

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.stop()


def attempt_line(state: RunState, step: Step) -> Text:
    """One finished attempt: plan, writer, language, outcome, cost, action, speedup or reason."""
    word = outcomes.word(step.attempt)
    cost = f"{money(cost_of(step))}  " if calls_of(step) else ""
    said = speedup_of(step.evaluation) or outcomes.line(step.attempt)
    action = f"{visible(step.plan.action)}: " if step.plan.action else ""
    return Text.assemble(
        f"{_head(state, step)}  ",
        (f"{word:<12}", _COLOURS.get(word, "red")),
        f"  {cost}{action}{said}",
        no_wrap=True,
        overflow="ellipsis",
    )


def _ablated(state: RunState, event: Event) -> Text:
    """One candidate of an ablation: which edit was undone, and how it fared."""
    said = event.data["edit"]
    edit = None if said is None else Edit.model_validate(said)
    what = "the best again" if edit is None else f"without {visible(what_it_is(edit))}"
    evaluation = state.ablation.judged[edit] if state.ablation else None
    outcome = evaluation.outcome if evaluation else None
    word = outcome.kind.replace("_", " ") if outcome else ""
    figures = speedup_of(evaluation) or (outcomes.reason(outcome) if outcome else "")
    return Text.assemble(f"{what}: ", (word, _COLOURS.get(word, "red")), f"  {figures}")


def _head(state: RunState, step: Step) -> str:
    """Which attempt this is: ``  4  refine of 1   llm      cpp``."""
    parent = state.step_of(step.plan.parents[0]) if step.plan.parents else None
    plan = f"{step.plan.kind} of {parent.number}" if parent else step.plan.kind
    writer, language = visible(step.plan.writer), visible(step.plan.language)
    return f"{step.number:>3}  {plan:<13} {writer:<7} {language:<6}"


def _stage(step: Step) -> str:
    return "writing" if step.proposal is None else "judging"


def _region_line(table: RegionTable, event: Event) -> Text:
    """What became of the region that the event is of."""
    row = next(row for row in table.rows if row.number == event.data["number"])
    figures = faster_in_words(row)
    return Text.assemble(
        f"region {row.number} ({visible(ops_in_words(row))}): ",
        (row.becomes, "green" if row.becomes == "kernel" else "yellow"),
        f"  {figures}" if figures else "",
        f"  {visible(row.reason)}",
    )
