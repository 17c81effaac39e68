"""Prompts: the files in ``prompts/``, filled in.

A template says everything that a model is told, so that it can be read and pinned as a text. What
comes from outside (a reference, a parent's source, a compiler's words) stands in fences that it
cannot close.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

import jinja2

from kernelwright.core.action import Action
from kernelwright.core.problem import Problem, TensorSpec
from kernelwright.core.protocols import Example, Passage


@dataclass(frozen=True, kw_only=True)
class Shown:
    """An earlier candidate as a prompt shows it. `values` are its tunables' settings."""

    language: str
    source: str
    diagnosis: str
    values: dict[str, int]


def fenced(text: str, info: str = "") -> str:
    """`text` in a fence that is longer than any within it.

    >>> print(fenced("a = 1", "python"))
    ```python
    a = 1
    ```
    """
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{info}\n{text.rstrip()}\n{fence}"


def shape(spec: TensorSpec) -> str:
    """A shape as a reader writes it: ``[B, 128]``, or ``scalar``."""
    return "scalar" if spec.role == "scalar" else f"[{', '.join(map(str, spec.shape))}]"


_TEMPLATES = jinja2.Environment(
    loader=jinja2.FunctionLoader(
        lambda name: files(__package__).joinpath("prompts", name).read_text(encoding="utf-8")
    ),
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    # These are prompts and not pages; nothing is escaped but by `fenced`.
    autoescape=False,
)
_TEMPLATES.filters.update(fenced=fenced, shape=shape)


def system_prompt() -> str:
    """Who the model is and what a reply must be."""
    return _render("system.j2")


def critic_prompts(problem: Problem, *, parents: Sequence[Shown]) -> tuple[str, str]:
    """Who a critic is, and what it is asked of `parents`, which were judged."""
    return _render("critic_system.j2"), _render("critic.j2", problem=problem, parents=parents)


def planner_prompts(
    problem: Problem,
    *,
    language: str,
    hints: Sequence[str],
    variant: int,
    parents: Sequence[Shown],
    actions: Sequence[Action],
    notes: str | None,
) -> tuple[str, str]:
    """Who a planner is, and the question which of `actions` to carry out; `notes` are the
    critic's on `parents`, `variant` counts the drafts before."""
    user = _render(
        "planner.j2",
        problem=problem,
        language=language,
        hints=hints,
        variant=variant,
        parents=parents,
        actions=actions,
        notes=notes,
    )
    return _render("planner_system.j2"), user


def tools_prompt(*, missing: Sequence[str], calls: int, judged: int) -> str:
    """How tools are called: `calls` times, for at most `judged` programs the judge; those that are
    `missing` cannot be had."""
    return _render("tools.j2", missing=missing, calls=calls, judged=judged)


def tool_answer(*, tool: str, said: str, calls: int, judged: int) -> str:
    """What a tool `said`, and how many calls are left."""
    return _render("tool_answer.j2", tool=tool, said=said, calls=calls, judged=judged)


def _render(template: str, **values: object) -> str:
    return _TEMPLATES.get_template(template).render(**values).strip()


def draft_prompt(
    problem: Problem,
    *,
    guide: str,
    hints: Sequence[str],
    variant: int,
    models: Sequence[Shown],
    examples: Sequence[Example] = (),
    action: str | None = None,
    notes: str | None = None,
    passages: Sequence[Passage] = (),
) -> str:
    """Asks for a first program; `models` are right programs in other languages to follow,
    `examples` verified ones in this language for problems that come near. `action` is a page of
    ours on the optimisation that is asked for, `notes` what others of a team said of it, `passages`
    what was found that may help."""
    return _TEMPLATES.get_template("draft.j2").render(
        problem=problem,
        guide=guide.strip(),
        hints=hints,
        variant=variant,
        models=models,
        examples=examples,
        action=action,
        notes=notes,
        passages=passages,
    )


def refine_prompt(
    problem: Problem,
    *,
    guide: str,
    hints: Sequence[str],
    parents: Sequence[Shown],
    action: str | None = None,
    notes: str | None = None,
    passages: Sequence[Passage] = (),
) -> str:
    """Asks for a better program than `parents`, of which each has its diagnosis. `action`, `notes`
    and `passages` as in `draft_prompt`."""
    return _TEMPLATES.get_template("refine.j2").render(
        problem=problem,
        guide=guide.strip(),
        hints=hints,
        parents=parents,
        action=action,
        notes=notes,
        passages=passages,
    )
