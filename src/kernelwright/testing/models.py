"""What every language model promises. Subclass `ModelContract` and provide its two fixtures."""

from __future__ import annotations

import asyncio

import pytest

from kernelwright.core.errors import ModelError
from kernelwright.core.protocols import Message, Model, ModelReply, ModelRequest


def question(text: str = "Say something.", *, sample: int = 0) -> ModelRequest:
    """A small request."""
    return ModelRequest(messages=(Message(role="user", text=text),), max_tokens=64, sample=sample)


class ModelContract:
    """Provide `model`, which answers, and `broken_model`, which cannot."""

    @pytest.fixture
    def model(self) -> Model:
        """A model that answers any number of requests."""
        raise NotImplementedError

    @pytest.fixture
    def broken_model(self) -> Model:
        """A model that fails for a reason of its own."""
        raise NotImplementedError

    def test_its_name_says_provider_and_model(self, model: Model) -> None:
        """A run's log and its report name the model by this."""
        provider, colon, rest = model.name.partition(":")
        assert (bool(provider), colon, bool(rest)) == (True, ":", True)

    def test_a_reply_says_what_it_consumed(self, model: Model) -> None:
        """Tokens and time are counted; a price that is not known is None, never a guess."""
        reply = asyncio.run(model.reply(question()))
        assert isinstance(reply, ModelReply)
        assert min(reply.usage.input_tokens, reply.usage.output_tokens, reply.latency_s) >= 0
        assert reply.cost_usd is None or reply.cost_usd >= 0

    def test_requests_may_overlap(self, model: Model) -> None:
        """A run of width 4 has four of them out."""

        async def four() -> list[ModelReply]:
            return await asyncio.gather(*(model.reply(question(sample=i)) for i in range(4)))

        assert len(asyncio.run(four())) == 4

    def test_it_works_on_one_event_loop_after_another(self, model: Model) -> None:
        """A Python user may call `asyncio.run` twice."""
        assert [asyncio.run(model.reply(question(sample=i))).finish for i in (0, 1)]

    def test_a_failure_is_a_model_error_with_a_sentence(self, broken_model: Model) -> None:
        """No provider's own exception comes through."""
        with pytest.raises(ModelError, match=r"\w+ \w+.*[.)]$"):
            asyncio.run(broken_model.reply(question()))
