"""Names of models, as people type them: ``provider:model`` and ``provider:model@base-url``.

Only text is taken apart here; whether a provider exists is asked of the table of names.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from kernelwright.core.errors import SpecError

# A model's own name may hold "@" and ":", as in "claude-sonnet@20250514" and "qwen3:8b".
_SHAPE = re.compile(r"(?P<provider>[A-Za-z0-9_-]+):(?P<model>.+?)(?:@(?P<url>https?://\S+))?")


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where a model is. `base_url` is None when the provider's own is meant."""

    provider: str
    model: str
    base_url: str | None = None

    @classmethod
    def parse(cls, name: str) -> Address:
        """Take `name` apart.

        >>> Address.parse("openai:qwen3:8b@http://127.0.0.1:8080/v1").model
        'qwen3:8b'

        Raises:
            SpecError: it does not have this form, or its address holds a password.
        """
        found = _SHAPE.fullmatch(name.strip())
        if found is None:
            raise SpecError(
                f"{name!r} does not name a model. Write provider:model, such as "
                "anthropic:claude-sonnet-5-5, or openai:model@http://127.0.0.1:8080/v1 for a "
                "server that speaks OpenAI's protocol."
            )
        address = cls(
            provider=found["provider"].lower(), model=found["model"], base_url=found["url"]
        )
        _refuse_secrets(address.base_url)
        return address


def _refuse_secrets(base_url: str | None) -> None:
    """A model's name is written to the run's log and its report, so no key may be part of it."""
    parts = urlsplit(base_url or "")
    if parts.username or parts.password or parts.query:
        raise SpecError(
            f"The address of a model may not hold a key or a password, as the one at "
            f"{parts.hostname} does. Put the key into the environment, for example OPENAI_API_KEY."
        )
