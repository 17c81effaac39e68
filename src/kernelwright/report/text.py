"""Tables for a terminal. They return what `rich` prints, and print nothing themselves.

Every text of unknown origin goes through `visible`, since a terminal obeys control characters.
"""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from kernelwright.core.evaluation import Evaluation, Passed
from kernelwright.core.problem import Problem, TensorSpec, Workload
from kernelwright.core.statistics import versus_best
from kernelwright.problems.admission import Admission
from kernelwright.report import cost, outcomes, sentence
from kernelwright.report.ablation import Ablated, in_words, what_it_is, worth_in_words
from kernelwright.report.formats import counted, duration, estimated, money
from kernelwright.report.plain import visible
from kernelwright.report.regions import RegionTable, faster_in_words, ops_in_words
from kernelwright.report.result import Figures, Result, timed
from kernelwright.report.story import Story, calls_of, cost_of
from kernelwright.store.fold import Step

_COLOURS = {"passed": "green", outcomes.NO_CANDIDATE: "yellow", outcomes.NOT_JUDGED: "yellow"}


def summary(result: Result) -> Group:
    """The result's sentence, what should be known with it, and what it cost."""
    return Group(
        _cell(sentence.headline(result), style="bold"),
        *(_cell(remark) for remark in sentence.remarks(result)),
        _cell(cost.in_words(result.cost), style="dim"),
        *([ablation(result.ablation)] if result.ablation else []),
        *([regions(result.regions)] if result.regions else []),
    )


def regions(found: RegionTable) -> Group:
    """What the program was cut into, and what became of each region."""
    table = _table(
        "region", "operators", "becomes", ">of torch's time", ">faster than torch", "why"
    )
    for row in found.rows:
        table.add_row(
            "" if row.number is None else str(row.number),
            _cell(ops_in_words(row)),
            Text(row.becomes, style="green" if row.becomes == "kernel" else "yellow"),
            f"{row.share:.0%}",
            faster_in_words(row),
            _cell(row.reason),
        )
    return Group(table, _cell(found.sentence, style="bold"))


def ablation(found: Ablated) -> Group:
    """What each edit of the best candidate is worth."""
    table = _table("edit", "worth")
    for edit in found.edits:
        table.add_row(_cell(what_it_is(edit)), _cell(worth_in_words(edit)))
    said = [_cell(line) for line in in_words(found)]
    return Group(*said, *([table] if found.edits else []))


def attempts_table(story: Story) -> Table:
    """One row for each attempt; the best is marked."""
    table = _table("#", "plan", "writer", "language", "outcome", ">speedup", ">cost", "detail")
    for step in story.steps:
        word = outcomes.word(step.attempt)
        parent = story.parent(step)
        of = f" of {parent.number}" if parent else ""
        table.add_row(
            f"{step.number}{'*' if step is story.best_step else ''}",
            f"{step.plan.kind}{of}",
            _cell(step.plan.writer),
            _cell(step.plan.language),
            Text(word, style=_COLOURS.get(word, "red")),
            speedup_of(step.evaluation),
            money(cost_of(step)) if calls_of(step) else "",
            Text(outcomes.line(step.attempt), overflow="ellipsis", no_wrap=True),
        )
    return table


def attempt(story: Story, step: Step) -> Group:
    """One attempt in full: the plan, the verdict and the source."""
    parent = story.parent(step)
    shown: list[RenderableType] = [
        Text(f"Attempt {step.number}: {step.plan.kind}, {visible(step.plan.writer)}", style="bold"),
        Text(f"{outcomes.word(step.attempt)}: {outcomes.line(step.attempt)}"),
    ]
    if step.plan.action is not None:
        shown.append(Text(f"It was asked for the action {visible(step.plan.action)}."))
    if parent is not None:
        shown.append(Text(f"It builds on attempt {parent.number}."))
    if step.evaluation is not None:
        shown += [Text(outcomes.whole(step.evaluation.outcome)), *_timing(step.evaluation)]
    if step.candidate is not None:
        settings = ", ".join(f"{name}={value}" for name, value in step.candidate.values.items())
        shown.append(Text(f"{step.candidate.id} {settings}", style="dim"))
        for name, text in step.candidate.source.files.items():
            shown += [Text(f"--- {visible(name)}", style="dim"), _source(text)]
    return Group(*shown)


def short_verdict(evaluation: Evaluation) -> Group:
    """What the judge says about one candidate, with its timings when there are some."""
    word = evaluation.outcome.kind.replace("_", " ")
    return Group(
        Text(word, style=f"bold {_COLOURS.get(word, 'red')}"),
        Text(outcomes.whole(evaluation.outcome)),
        *_timing(evaluation),
    )


def verdict(evaluation: Evaluation) -> Group:
    """The same, with what was checked and what was not."""
    shown: list[RenderableType] = [short_verdict(evaluation)]
    shown += [Text(f"checked: {check.name} ({check.count:,})") for check in evaluation.checks]
    shown += [Text(f"not checked: {visible(item)}") for item in evaluation.not_checked]
    return Group(*shown)


def speedup_of(evaluation: Evaluation | None) -> str:
    """The speedup over the best baseline with its interval; empty when there is none."""
    if evaluation is None or not isinstance(evaluation.outcome, Passed):
        return ""
    found = versus_best(evaluation.outcome.measurements)
    return estimated(found[1]) if found else ""


def problem_facts(problem: Problem) -> Group:
    """A problem's tensors and workloads."""
    tensors = _table("tensor", "role", "dtype", "shape")
    for spec in problem.inputs + problem.outputs:
        shape = ", ".join(str(size) for size in spec.shape)
        tensors.add_row(_cell(spec.name), _role(spec, problem), spec.dtype, _cell(f"({shape})"))
    workloads = _table("workload", "split", "sizes")
    for workload in problem.workloads:
        # What a hidden workload is, only the judge knows.
        if workload.split != "hidden":
            workloads.add_row(_cell(workload.id), workload.split, _cell(sizes(workload)))
    hidden = len(problem.split("hidden"))
    asked = "" if problem.direction == "forward" else f" ({direction_words(problem)})"
    title = Text(f"{visible(problem.id)}: {visible(problem.title)}{asked}", style="bold")
    return Group(
        title, tensors, workloads, Text(f"and {counted(hidden, 'hidden workload')}", style="dim")
    )


def direction_words(problem: Problem) -> str:
    """The direction as a reader says it."""
    return problem.direction.replace("_", " and ")


def _role(spec: TensorSpec, problem: Problem) -> Text:
    """What a tensor is: its role, or the tensor that it is the gradient of."""
    of = problem.cotangents.get(spec.name) or problem.gradients.get(spec.name)
    return _cell(f"{spec.role}: gradient of {of}" if of else spec.role)


def sizes(workload: Workload) -> str:
    """A workload's axes: ``n0 2,048, n1 4,096``."""
    return ", ".join(f"{name} {size:,}" for name, size in workload.axes.items())


_REQUIRED = {"met": "green", "missed": "red", "not_applicable": "dim"}


def admission_table(admission: Admission) -> Group:
    """Each deliberately wrong program and whether it would be noticed; then what else is asked."""
    colours = {"killed": "green", "survived": "red", "not_applicable": "dim"}
    table = _table("wrong program", "noticed", "why")
    for mutant in admission.mutants:
        status = Text(mutant.status.replace("_", " "), style=colours[mutant.status])
        table.add_row(_cell(mutant.name), status, _cell(mutant.reason))
    required = _table("requirement", "met", "why")
    for one in admission.requirements:
        status = Text(one.status.replace("_", " "), style=_REQUIRED[one.status])
        required.add_row(_cell(one.name), status, _cell(one.reason))
    shown = [table, required] if admission.requirements else [table]
    return Group(*shown, Text(admission.sentence, style="bold"))


def _timing(evaluation: Evaluation) -> list[RenderableType]:
    names = ("each call returns a fresh output", "the output's memory is already there")
    pairs = zip(names, timed(evaluation), strict=True)
    return [_figures(name, figures) for name, figures in pairs if figures is not None]


def _figures(regime: str, figures: Figures) -> Table:
    table = _table("", ">time per call", ">candidate is faster by")
    table.title, table.title_justify, table.title_style = regime, "left", "dim"
    if figures.candidate_ns is not None:
        table.add_row("candidate", duration(figures.candidate_ns), "")
    for name, median_ns in figures.baselines.items():
        table.add_row(_cell(name), duration(median_ns), estimated(figures.speedup[name].estimate))
    if figures.control is not None:
        name = f"{figures.control.baseline} again (control)"
        table.add_row(_cell(name), "", estimated(figures.control.estimate), style="dim")
    return table


def _cell(text: str, *, style: str = "") -> Text:
    """Text as it is: a plain string would be read as markup, and its marks obeyed."""
    return Text(visible(text), style=style)


def _source(text: str) -> Text:
    """Program text, whose lines are never folded."""
    return Text(visible(text), no_wrap=True, overflow="ignore")


def _table(*columns: str) -> Table:
    """A plain table; a column whose name begins with ``>`` is set to the right."""
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for name in columns:
        right = name.startswith(">")
        table.add_column(name.lstrip(">"), justify="right" if right else "left", no_wrap=right)
    return table
