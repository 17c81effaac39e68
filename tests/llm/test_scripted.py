"""The model that tests use."""

import asyncio
import time

import pytest

from kernelwright.core.errors import ModelError
from kernelwright.core.protocols import ModelReply
from kernelwright.llm.scripted import Late, ScriptedModel
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
