"""Replies that are kept: found again, never paid for twice, and repeated without a model."""

import asyncio

import pytest

from kernelwright.core.candidate import Usage
from kernelwright.core.errors import ModelError
from kernelwright.core.protocols import ModelReply
from kernelwright.llm.recording import RecordedModel, ReplayModel, Replies
from kernelwright.llm.scripted import ScriptedModel
from kernelwright.testing.models import ModelContract, question


def ask(model, request):
    return asyncio.run(model.reply(request))


@pytest.fixture
def replies(tmp_path):
    return Replies(folder=tmp_path / "replies")


def recorded(replies, script):
    return RecordedModel(model=ScriptedModel(script=script), replies=replies)


class TestRecordedModel(ModelContract):
    @pytest.fixture
    def model(self, replies):
        return recorded(replies, lambda request: "hello")

    @pytest.fixture
    def broken_model(self, replies):
        return recorded(replies, [])


class TestReplayModel(ModelContract):
    @pytest.fixture
    def model(self, replies):
        recording = recorded(replies, lambda request: "hello")
        for sample in range(4):
            ask(recording, question(sample=sample))
        return ReplayModel(name=recording.name, replies=replies)

    @pytest.fixture
    def broken_model(self, replies):
        return ReplayModel(name="openai:other", replies=replies)


def test_the_second_time_is_free_and_asks_nobody(replies):
    paid = ModelReply(
        text="kernel — ü",
        usage=Usage(input_tokens=9, output_tokens=4),
        cost_usd=0.25,
        latency_s=3.0,
        finish="length",
    )
    model = recorded(replies, [paid])
    assert ask(model, question()) == paid
    again = ask(model, question())
    assert (again.text, again.finish, again.cached) == ("kernel — ü", "length", True)
    assert (again.cost_usd, again.usage, again.latency_s) == (0.0, Usage(), 0.0)


@pytest.mark.parametrize(
    "other",
    [
        question(sample=1),
        question("Say something else."),
        question().model_copy(update={"temperature": 0.1}),
        question().model_copy(update={"max_tokens": 65}),
    ],
)
def test_any_difference_in_the_request_is_another_request(replies, other):
    model = recorded(replies, ["first", "second"])
    assert [ask(model, question()).text, ask(model, other).text] == ["first", "second"]


def test_another_model_is_asked_anew(replies):
    ask(recorded(replies, ["first"]), question())
    other = RecordedModel(model=ScriptedModel(script=["second"], name="a:b"), replies=replies)
    assert ask(other, question()).text == "second"


def test_an_unknown_request_of_a_replay_says_what_to_do(replies):
    with pytest.raises(ModelError, match=r"No reply of openai:x .* record again without replay"):
        ask(ReplayModel(name="openai:x", replies=replies), question())


@pytest.mark.parametrize("damage", [b"", b"{", b"\xff", b'{"model": "x"}'])
def test_a_damaged_recording_is_asked_again_and_mended(replies, damage):
    model = recorded(replies, ["first", "second"])
    ask(model, question())
    (file,) = replies.folder.iterdir()
    file.write_bytes(damage)
    assert ask(model, question()).text == "second"
    assert ask(model, question()).text == "second"


def test_errors_are_not_recorded(replies):
    model = recorded(replies, [ModelError("busy."), "fine"])
    with pytest.raises(ModelError):
        ask(model, question())
    assert ask(model, question()).text == "fine"


def test_a_reply_that_cannot_be_kept_is_not_lost(tmp_path, caplog):
    blocked = tmp_path / "file"
    blocked.write_text("a file, where a folder should be")
    model = recorded(Replies(folder=blocked), ["paid for"])
    assert ask(model, question()).text == "paid for"
    assert "could not be kept" in caplog.text


def test_half_a_surrogate_pair_in_a_reply_does_not_break_the_recording(replies):
    model = recorded(replies, ["bad \ud800 text"])
    ask(model, question())
    assert ask(model, question()).cached
