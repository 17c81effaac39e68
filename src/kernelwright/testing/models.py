"""What every language model promises, and a script for one that fails at a known rate.

Subclass `ModelContract` and provide its two fixtures.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pytest

from kernelwright.core.errors import ModelError
from kernelwright.core.protocols import Message, Model, ModelReply, ModelRequest

GOOD = "good"
_DECK = 20


@dataclass(frozen=True, kw_only=True)
class Rates:
    """A script for a `ScriptedModel` of which `rate`, from 0 to 1, of the replies fail.

    `replies` has what is said, by kind: `GOOD`, and the kinds of failure, which come equally often.
    Of any twenty samples in a row from a multiple of twenty, exactly `rate` fail, rounded to a
    twentieth; which ones follows from `seed`. The same request always has the same reply.
    """

    replies: Mapping[str, Callable[[ModelRequest], str]]
    rate: float
    seed: int = 0

    def __call__(self, request: ModelRequest) -> str:
        """The reply to `request`."""
        return self.replies[self.kind(request.sample)](request)

    def kind(self, sample: int) -> str:
        """Which kind of reply a request with this sample gets.

        >>> rates = Rates(replies={"good": str, "bad": str, "worse": str}, rate=0.95)
        >>> kinds = [rates.kind(sample) for sample in range(40, 60)]
        >>> [kinds.count(kind) for kind in rates.replies]
        [1, 10, 9]
        """
        number, place = divmod(sample, _DECK)
        failures = [kind for kind in self.replies if kind != GOOD]
        failed = round(self.rate * _DECK)
        deck = [GOOD] * (_DECK - failed)
        deck += [failures[(number + i) % len(failures)] for i in range(failed)]
        random.Random(f"{self.seed} {number}").shuffle(deck)
        return deck[place]


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
