"""Hosted models and servers that speak their protocols, through the library pydantic-ai.

Text goes out, text comes back; tools and structured output are not used. One connection pool is
shared by the calls that overlap and closed after the last of them.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pydantic_ai import messages as parts
from pydantic_ai.direct import model_request
from pydantic_ai.exceptions import UserError
from pydantic_ai.models import Model as LibraryModel
from pydantic_ai.models import infer_model
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.profiles.openai import OpenAIModelProfile
from pydantic_ai.providers import Provider, infer_provider_class
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.settings import ModelSettings as LibrarySettings

from kernelwright.core.candidate import Usage
from kernelwright.core.errors import ModelError, SpecError, Unavailable
from kernelwright.core.protocols import Message, ModelReply, ModelRequest
from kernelwright.core.run import ModelSettings
from kernelwright.llm.address import Address
from kernelwright.llm.refusals import key_variable, refusal
from kernelwright.llm.retrying import Patience, RateLimit, Refusal

NO_MODELS = "KERNELWRIGHT_NO_MODELS"
_USUAL_URL = {"ollama": "http://localhost:11434/v1", "vllm": "http://localhost:8000/v1"}


@dataclass(frozen=True, kw_only=True)
class HostedModel:
    """A model behind an HTTP interface."""

    name: str
    address: Address
    library: LibraryModel
    settings: ModelSettings
    limit: RateLimit
    patience: Patience

    async def reply(self, request: ModelRequest) -> ModelReply:
        """Answer `request`.

        Raises:
            ModelError: no reply came after all tries, or ``KERNELWRIGHT_NO_MODELS`` is set.
        """
        if os.environ.get(NO_MODELS, "0") not in ("", "0"):
            raise ModelError(
                f"{self.name} was not called, since {NO_MODELS} is set. Unset it, or use recorded "
                "replies or a scripted model."
            )
        return await self.patience.persist(lambda: self._attempt(request))

    async def _attempt(self, request: ModelRequest) -> ModelReply | Refusal:
        async with self.limit.turn():
            began = time.monotonic()
            try:
                async with asyncio.timeout(self.settings.timeout_s), self.library:
                    response = await model_request(
                        self.library,
                        _messages(request.messages),
                        model_settings=_settings(request, self.settings),
                    )
            except TimeoutError:
                return Refusal(
                    message=f"{self.name} did not answer in {self.settings.timeout_s:g} s. Allow "
                    "more by model_settings.timeout_s, or less text by model_settings.max_tokens.",
                    retryable=False,
                )
            # Whatever an SDK raises over what a server sent fails this call alone; a run goes on.
            except Exception as error:
                return refusal(error, self.address, self.library.base_url or self.address.provider)
            return _reply(response, self.address, latency_s=time.monotonic() - began)


def open_hosted(name: str, settings: ModelSettings) -> HostedModel:
    """The model called `name`, checked as far as that goes without asking it anything.

    Raises:
        Unavailable: a package or a key is missing.
        SpecError: the provider does not take another address.
    """
    address = Address.parse(name)
    try:
        library = _library_model(address)
    except ImportError as error:
        raise Unavailable(
            f"{name} needs a package that is not installed: "
            f'pip install "pydantic-ai-slim[{address.provider}]"'
        ) from error
    except UserError as error:
        # The library names the variables in backticks, in a sentence for programmers.
        named = re.findall(r"`([A-Z][A-Z0-9_]+)`", str(error)) or [key_variable(address.provider)]
        wanted = " or ".join(dict.fromkeys(named))
        raise Unavailable(f"{name} cannot be used yet. Set {wanted} in the environment.") from error
    return HostedModel(
        name=name,
        address=address,
        library=library,
        settings=settings,
        limit=RateLimit(in_flight=settings.in_flight, per_minute=settings.per_minute),
        patience=Patience(max_tries=settings.max_tries),
    )


def _library_model(address: Address) -> LibraryModel:
    provider, url = address.provider, address.base_url
    if provider in ("openai", "openai-chat"):
        url = url or os.environ.get("OPENAI_BASE_URL")
    if provider in _USUAL_URL:
        url = url or os.environ.get(f"{provider.upper()}_BASE_URL", _USUAL_URL[provider])
    if url is None:
        return infer_model(f"{provider}:{address.model}")
    if provider in ("openai", "openai-chat"):
        return _compatible(address.model, url)
    return infer_model(f"{provider}:{address.model}", lambda _: _provider_at(provider, url))


def _compatible(model: str, url: str) -> LibraryModel:
    """A server that speaks OpenAI's older, plainer protocol, as all of them do.

    Servers know `max_tokens`; only OpenAI itself insists on the newer name of it.
    """
    profile = OpenAIModelProfile(openai_chat_supports_max_completion_tokens=False)
    return OpenAIChatModel(model, provider=OpenAIProvider(base_url=url), profile=profile)


def _provider_at(provider: str, url: str) -> Provider[Any]:
    made: type[Provider[Any]] = infer_provider_class(provider)
    for parameter in ("base_url", "api_base", "azure_endpoint"):
        if parameter in inspect.signature(made.__init__).parameters:
            return made(**{parameter: url})
    raise SpecError(
        f"The provider {provider} has one address only. For a server that speaks OpenAI's protocol "
        f"write openai:<model>@{url}."
    )


def _settings(request: ModelRequest, settings: ModelSettings) -> LibrarySettings:
    """The retries are ours, so that their waits are known and one budget of time holds."""
    made = LibrarySettings(max_tokens=request.max_tokens, timeout=settings.timeout_s, max_retries=0)
    if request.temperature is not None:
        made["temperature"] = request.temperature
    return made


def _messages(messages: Iterable[Message]) -> list[parts.ModelMessage]:
    made: list[parts.ModelMessage] = []
    for message in messages:
        match message.role:
            case "system":
                made.append(parts.ModelRequest([parts.SystemPromptPart(message.text)]))
            case "user":
                made.append(parts.ModelRequest([parts.UserPromptPart(message.text)]))
            case "assistant":
                made.append(parts.ModelResponse([parts.TextPart(message.text)]))
    return made


def _reply(response: parts.ModelResponse, address: Address, *, latency_s: float) -> ModelReply:
    texts = [part.content for part in response.parts if isinstance(part, parts.TextPart)]
    usage = Usage(
        input_tokens=response.usage.input_tokens, output_tokens=response.usage.output_tokens
    )
    return ModelReply(
        text="".join(texts),
        usage=usage,
        cost_usd=cost_usd(response, address),
        latency_s=latency_s,
        finish=response.finish_reason or "stop",
    )


def cost_usd(response: parts.ModelResponse, address: Address) -> float | None:
    """What the provider charged, if it says so, else its list price; None when neither is known.

    A server at another address has no list price, though its model may be called like one that has.
    """
    if response.usage.cost is not None:
        return float(response.usage.cost)
    if address.base_url is not None or address.provider in _USUAL_URL:
        return None
    try:
        return float(response.cost().total_price)
    except (LookupError, ValueError, AssertionError):
        return None
