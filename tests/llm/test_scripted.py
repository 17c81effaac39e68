"""The model that tests use."""

import asyncio
import time

import pytest

from kernelwright.core.errors import ModelError
from kernelwright.core.protocols import ModelReply
from kernelwright.llm.scripted import GOOD, Late, Rates, ScriptedModel
from kernelwright.testing.models import ModelContract, question


def ask(model, request=None):
    return asyncio.run(model.reply(request or question()))


class TestScriptedModel(ModelContract):
    @pytest.fixture
    def model(self):
        return ScriptedModel(script=lambda request: "hello")

    @pytest.fixture
    def broken_model(self):
        return ScriptedModel(script=[])


def test_lines_come_in_turn_and_the_end_is_said():
    model = ScriptedModel(script=["one", ModelReply(text="two", cost_usd=1.0)])
    assert [ask(model).text, ask(model).cost_usd] == ["one", 1.0]
    with pytest.raises(ModelError, match="has 2 lines and was asked 3 times"):
        ask(model)


def test_an_error_in_the_script_is_raised():
    model = ScriptedModel(script=[ModelError("out of order."), "again"])
    with pytest.raises(ModelError, match="out of order"):
        ask(model)
    assert ask(model).text == "again"


def test_a_late_line_comes_late():
    began = time.monotonic()
    assert ask(ScriptedModel(script=[Late(delay_s=0.05, line="late")])).text == "late"
    assert time.monotonic() - began >= 0.05


def test_a_function_sees_the_request():
    model = ScriptedModel(script=lambda request: request.messages[0].text.upper())
    assert ask(model, question("abc")).text == "ABC"
    assert model.requests == [question("abc")]


def test_words_are_counted_as_tokens():
    usage = ask(ScriptedModel(script=["three words here"]), question("two words")).usage
    assert (usage.input_tokens, usage.output_tokens) == (2, 3)


def test_a_model_of_a_known_rate_fails_as_often_and_the_same_way_each_time():
    replies = dict.fromkeys([GOOD, "bad", "worse"], None)
    replies = {kind: lambda request, kind=kind: kind for kind in replies}
    model = ScriptedModel(script=Rates(replies=replies, rate=0.5, seed=4))
    said = [ask(model, question(sample=sample)).text for sample in range(40)]
    assert [said.count(kind) for kind in replies] == [20, 10, 10]
    assert said[20:] != said[:20]
    again = [ask(model, question(sample=sample)).text for sample in reversed(range(40))]
    assert again[::-1] == said
    other = Rates(replies=replies, rate=0.5, seed=5)
    assert [other.kind(sample) for sample in range(40)] != said


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_a_model_may_fail_always_or_never(rate):
    rates = Rates(replies={GOOD: str, "bad": str}, rate=rate)
    assert {rates.kind(sample) for sample in range(99)} == {GOOD if rate == 0.0 else "bad"}
