"""Replies that are kept: a folder of JSON files, one for each request, named by its content.

The same folder is a cache (look there first, then ask), a recording (whatever was asked lies
there) and a replay (look there only). The files are meant to be read and kept in git.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from kernelwright.core.candidate import Usage
from kernelwright.core.errors import ModelError
from kernelwright.core.protocols import Model, ModelReply, ModelRequest
from kernelwright.core.record import Record

_LOG = logging.getLogger(__name__)


class Recording(Record):
    """One file of the folder."""

    model: str
    request: ModelRequest
    reply: ModelReply


@dataclass(frozen=True, kw_only=True)
class Replies:
    """A folder of recordings, made when the first is kept."""

    folder: Path

    def find(self, model: str, request: ModelRequest) -> ModelReply | None:
        """What `model` answered to `request`; None when it was not asked or the file is broken."""
        try:
            text = self._path(model, request).read_text(encoding="utf-8")
            recording = Recording.model_validate_json(text)
        except (OSError, UnicodeDecodeError, ValidationError):
            return None
        # A reply that is found costs nothing and consumes nothing the second time.
        free = {"cached": True, "cost_usd": 0.0, "usage": Usage(), "latency_s": 0.0}
        return recording.reply.model_copy(update=free)

    def keep(self, model: str, request: ModelRequest, reply: ModelReply) -> None:
        """Write the reply, whole or not at all. A full disk is logged: the reply is paid for."""
        recording = Recording(model=model, request=request, reply=reply)
        text = json.dumps(recording.model_dump(mode="json"), indent=1, ensure_ascii=False)
        try:
            _write_whole(self._path(model, request), text)
        except OSError as error:
            _LOG.warning("The reply of %s could not be kept in %s: %s", model, self.folder, error)

    def _path(self, model: str, request: ModelRequest) -> Path:
        return self.folder / f"{key(model, request)}.json"


def key(model: str, request: ModelRequest) -> str:
    """The name of a recording: a hash of the model's name and all of the request."""
    parts = [model, request.model_dump(mode="json")]
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _write_whole(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, suffix=".part")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", errors="replace") as file:
            file.write(text)
        Path(name).replace(path)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise


@dataclass(frozen=True, kw_only=True)
class RecordedModel:
    """A model whose replies are kept, and not asked for twice."""

    model: Model
    replies: Replies

    @property
    def name(self) -> str:
        """The name of the model inside."""
        return self.model.name

    async def reply(self, request: ModelRequest) -> ModelReply:
        """The recorded reply, else the model's, which is recorded."""
        found = self.replies.find(self.name, request)
        if found is not None:
            return found
        reply = await self.model.reply(request)
        self.replies.keep(self.name, request, reply)
        return reply


@dataclass(frozen=True, kw_only=True)
class ReplayModel:
    """A model that only repeats what was recorded under its name."""

    name: str
    replies: Replies

    async def reply(self, request: ModelRequest) -> ModelReply:
        """The recorded reply.

        Raises:
            ModelError: this request was never recorded.
        """
        found = self.replies.find(self.name, request)
        if found is None:
            raise ModelError(
                f"No reply of {self.name} to this request is recorded in {self.replies.folder} "
                f"(looked for {key(self.name, request)[:16]}….json). The prompt, the sample or the "
                "name of the model is not the recorded one; record again without replay."
            )
        return found
