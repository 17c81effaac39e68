"""A model that says what a script tells it to: for tests, demonstrations and dry runs.

It is part of the package so that users can test their own writers and runs with it.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kernelwright.core.candidate import Usage
from kernelwright.core.errors import ModelError, SpecError
from kernelwright.core.protocols import ModelReply, ModelRequest
from kernelwright.core.run import ModelSettings
from kernelwright.llm.address import Address

GOOD = "good"
_DECK = 20


@dataclass(frozen=True, kw_only=True)
class Late:
    """A line of a script that comes after `delay_s`."""

    delay_s: float
    line: str | ModelReply | Exception


Line = str | ModelReply | Exception | Late
Script = Sequence[Line] | Callable[[ModelRequest], Line]


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


@dataclass(kw_only=True)
class ScriptedModel:
    """Answers with the lines of `script` in turn, or with what it returns when it is a function.

    A line is the text of a reply, a whole reply, an error to raise, or one of these `Late`.
    `requests` holds every request, in order.
    """

    script: Script
    name: str = "scripted:script"
    requests: list[ModelRequest] = field(default_factory=list)

    async def reply(self, request: ModelRequest) -> ModelReply:
        """The next line.

        Raises:
            ModelError: the script is at its end.
        """
        self.requests.append(request)
        line = self._next(request)
        if isinstance(line, Late):
            await asyncio.sleep(line.delay_s)
            line = line.line
        if isinstance(line, Exception):
            raise line
        return line if isinstance(line, ModelReply) else _spoken(request, line)

    def _next(self, request: ModelRequest) -> Line:
        if not isinstance(self.script, Sequence):
            return self.script(request)
        turn = len(self.requests)
        if turn > len(self.script):
            raise ModelError(
                f"{self.name} has {len(self.script)} lines and was asked {turn} times. "
                "Add lines to the script or lower the budget."
            )
        return self.script[turn - 1]


def _spoken(request: ModelRequest, text: str) -> ModelReply:
    """A reply whose tokens are words, and which costs nothing."""
    asked = sum(len(message.text.split()) for message in request.messages)
    usage = Usage(input_tokens=asked, output_tokens=len(text.split()))
    return ModelReply(text=text, usage=usage, cost_usd=0.0)


def open_scripted(name: str, settings: ModelSettings) -> ScriptedModel:  # noqa: ARG001
    """The scripted model of ``scripted:<file>``, a JSON list of texts.

    Raises:
        SpecError: the file cannot be read or is no such list.
    """
    path = Path(Address.parse(name).model)
    try:
        script = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SpecError(f"The script {path} of {name} cannot be read: {error}.") from error
    if not (isinstance(script, list) and all(isinstance(line, str) for line in script)):
        raise SpecError(f"The script {path} must be a JSON list of texts, one for each reply.")
    return ScriptedModel(script=script, name=name)
