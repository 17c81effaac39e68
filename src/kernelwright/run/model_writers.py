"""The writers of a run that ask models, each model opened once, and the tools that one is lent."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from kernelwright.core.protocols import Language, Store, Writer
from kernelwright.core.run import RunSpec
from kernelwright.generate.asking import Asking
from kernelwright.generate.briefing import Briefing
from kernelwright.generate.llm_writer import WRITER, LlmWriter
from kernelwright.generate.team import CODER, CRITIC, PLANNER, Team
from kernelwright.generate.tool_writer import ToolWriter
from kernelwright.generate.toolbox import Toolbox
from kernelwright.knowledge import actions
from kernelwright.llm.opening import open_model
from kernelwright.llm.recording import Replies
from kernelwright.run.folder import RunFolder
from kernelwright.run.spec import LLM, ROLES, TEAM, TOOLS, models_of

REPLIES = "replies"


def check_models(spec: RunSpec) -> None:
    """Whether every model of `spec` can be opened: a missing key or package shows here.

    Raises:
        UsageError: one cannot.
    """
    for name in _named(spec):
        open_model(name, spec.model_settings)


def model_writers(
    spec: RunSpec,
    languages: Mapping[str, Language],
    store: Store,
    folder: RunFolder,
    briefing: Briefing,
    toolbox: Toolbox,
) -> dict[str, Writer]:
    """Those writers of `spec` that ask models, by name. Roles and writers that name the same model
    share it, and with it the limits on calls."""
    # A reply that was paid for before a crash is found again when the run is resumed.
    replies = spec.model_settings.replies or str(folder.path / REPLIES)
    settings = spec.model_settings.model_copy(update={"replies": replies})
    opened = {name: open_model(name, settings) for name in _named(spec)}
    asking = Asking(
        put=store.put,
        max_tokens=settings.max_tokens,
        temperature=settings.temperature,
        seed=spec.seed,
    )

    made: dict[str, Writer] = {}
    for writer in spec.writers:
        models = {role: opened[name] for role, name in models_of(spec, writer).items()}
        if writer == LLM:
            made[writer] = LlmWriter(
                model=models[WRITER], languages=languages, asking=asking, briefing=briefing
            )
        elif writer == TEAM:
            made[writer] = Team(
                planner=models[PLANNER], coder=models[CODER], critic=models[CRITIC],
                languages=languages, asking=asking, briefing=briefing, actions=actions.ACTIONS,
            )  # fmt: skip
        elif writer == TOOLS:
            made[writer] = ToolWriter(
                model=models[WRITER], languages=languages, asking=asking, toolbox=toolbox,
                budget=spec.tool_budget, briefing=briefing, replies=Replies(folder=Path(replies)),
            )  # fmt: skip
    return made


def _named(spec: RunSpec) -> set[str]:
    """The names of all models that a writer of `spec` asks."""
    return {
        name
        for writer in ROLES
        if writer in spec.writers
        for name in models_of(spec, writer).values()
    }
