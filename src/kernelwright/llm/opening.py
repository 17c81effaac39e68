"""Opening a model by name: the adapter from the table of names, and recorded replies around it.

Nothing here imports a provider's library; the adapter's module is imported when it is asked for.
"""

from __future__ import annotations

from pathlib import Path

from kernelwright.core import names
from kernelwright.core.errors import SpecError, UnknownName
from kernelwright.core.protocols import Model
from kernelwright.core.run import ModelSettings
from kernelwright.llm.address import Address
from kernelwright.llm.recording import RecordedModel, ReplayModel, Replies


def open_model(name: str, settings: ModelSettings | None = None) -> Model:
    """The model called `name`, as ``provider:model`` or ``provider:model@base-url``.

    No token is spent. With `settings.replies` its replies are kept in that folder and looked for
    there first; with `settings.replay` the folder is all there is.

    Raises:
        UnknownName: there is no such provider.
        SpecError: the name has another form, or a replay has no folder to read.
        Unavailable: a package or a key that the provider needs is missing.
    """
    settings = settings or ModelSettings()
    provider = Address.parse(name).provider
    if provider not in names.known("model"):
        raise UnknownName.of("model provider", provider, names.known("model"))
    if settings.replay:
        return ReplayModel(name=name, replies=_recorded(settings))
    model: Model = names.load("model", provider)(name, settings)
    if settings.replies is None:
        return model
    return RecordedModel(model=model, replies=Replies(folder=Path(settings.replies)))


def _recorded(settings: ModelSettings) -> Replies:
    if settings.replies is None:
        raise SpecError(
            "A replay needs the folder of recorded replies: set model_settings.replies."
        )
    folder = Path(settings.replies)
    if not folder.is_dir():
        raise SpecError(
            f"There are no recorded replies in {folder}: it is no folder. Run once without replay."
        )
    return Replies(folder=folder)
