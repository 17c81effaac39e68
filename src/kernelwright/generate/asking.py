"""Asking models in the course of one attempt, with every answer on record, whatever comes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from kernelwright.core.candidate import ModelCall
from kernelwright.core.errors import FaultError
from kernelwright.core.protocols import Message, Model, ModelReply, ModelRequest

# A run has fewer steps than this, so that no two of its runs share a sample.
_STEPS = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Asking:
    """How the models of a run are asked. `put` keeps a blob and returns its key. `seed` is the
    run's: the same request in another run is another sample."""

    put: Callable[[bytes], str]
    max_tokens: int = 8192
    temperature: float | None = None
    seed: int = 0

    @contextmanager
    def calls(self, step: int) -> Iterator[Calls]:
        """The calls of the attempt `step`. A fault on the way says which of them were answered."""
        calls = Calls(asking=self, sample=self.seed * _STEPS + step)
        try:
            yield calls
        except FaultError as error:
            error.model_calls = calls.made
            raise


@dataclass(kw_only=True)
class Calls:
    """The calls of one attempt. `made` are those that were answered, in order."""

    asking: Asking
    sample: int
    made: tuple[ModelCall, ...] = field(default=(), init=False)

    async def ask(self, role: str, model: Model, messages: Sequence[Message]) -> ModelReply:
        """What `model` says, in the role `role`.

        Raises:
            ModelError: it did not reply.
        """
        request = ModelRequest(
            messages=tuple(messages),
            temperature=self.asking.temperature,
            max_tokens=self.asking.max_tokens,
            sample=self.sample,
        )
        reply = await model.reply(request)
        self.made = (*self.made, self._record(role, model.name, request, reply))
        return reply

    def _record(self, role: str, name: str, request: ModelRequest, reply: ModelReply) -> ModelCall:
        put = self.asking.put
        return ModelCall(
            role=role,
            model=name,
            request=put(request.model_dump_json(indent=1).encode()),
            reply=put(reply.text.encode("utf-8", "replace")),
            usage=reply.usage,
            cost_usd=reply.cost_usd,
            latency_s=reply.latency_s,
            finish=reply.finish,
            cached=reply.cached,
        )


def asked(system: str, user: str) -> tuple[Message, Message]:
    """How a conversation begins."""
    return Message(role="system", text=system), Message(role="user", text=user)
