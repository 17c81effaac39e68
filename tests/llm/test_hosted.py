"""Against a server on this machine: what it sends, and what becomes of it."""

import asyncio
import random
import socket
import time
from dataclasses import replace

import pytest
from pydantic_ai.messages import ModelResponse, TextPart
from pydantic_ai.usage import RequestUsage

from kernelwright.core.errors import ModelError, SpecError, Unavailable
from kernelwright.core.protocols import Message, ModelRequest
from kernelwright.core.run import ModelSettings
from kernelwright.llm.address import Address
from kernelwright.llm.hosted import cost_usd
from kernelwright.llm.opening import open_model
from kernelwright.llm.retrying import Patience
from kernelwright.testing.models import ModelContract, question

from .conftest import Answer, completion

pytestmark = pytest.mark.usefixtures("models_allowed")


class Waits:
    """Stands in for `asyncio.sleep` and notes what was waited."""

    def __init__(self):
        self.seconds = []

    async def __call__(self, seconds):
        self.seconds.append(seconds)


def opened(url, waits=None, **settings):
    model = open_model(f"openai:small@{url}", ModelSettings(**settings))
    patience = Patience(
        max_tries=model.settings.max_tries, sleep=waits or Waits(), jitter=random.Random(0)
    )
    return replace(model, patience=patience)


def ask(model, request=None):
    return asyncio.run(model.reply(request or question()))


class TestHostedModel(ModelContract):
    @pytest.fixture
    def model(self, server):
        return opened(server.url)

    @pytest.fixture
    def broken_model(self, server):
        server.answers = [Answer({"error": {"message": "no"}}, status=500)]
        return opened(server.url)


def test_a_reply_carries_text_tokens_and_no_price_for_a_server_of_ones_own(server):
    reply = ask(opened(server.url))
    assert (reply.text, reply.usage.input_tokens, reply.usage.output_tokens) == ("hello", 11, 7)
    assert (reply.cost_usd, reply.finish, reply.cached) == (None, "stop", False)


def test_a_name_that_costs_money_elsewhere_has_no_price_at_another_address(server):
    server.answers = [Answer(completion("hi", model="gpt-4o"))]
    assert ask(open_model(f"openai:gpt-4o@{server.url}")).cost_usd is None


def test_the_whole_conversation_is_sent_with_its_limits(server):
    request = ModelRequest(
        messages=(
            Message(role="system", text="You write kernels."),
            Message(role="user", text="Write one."),
            Message(role="assistant", text="Here."),
            Message(role="user", text="Again."),
        ),
        temperature=0.5,
        max_tokens=123,
    )
    ask(opened(server.url), request)
    (sent,) = server.requests
    assert [m["role"] for m in sent["messages"]] == ["system", "user", "assistant", "user"]
    assert [m["content"] for m in sent["messages"]][1:3] == ["Write one.", "Here."]
    assert (sent["model"], sent["temperature"], sent["max_tokens"]) == ("small", 0.5, 123)
    assert (sent["path"], sent["key"]) == (
        "/v1/chat/completions",
        "Bearer secret-key-of-the-tests",
    )


def test_a_temperature_that_was_not_asked_for_is_not_sent(server):
    ask(opened(server.url))
    assert "temperature" not in server.requests[0]


def test_no_key_is_needed_for_a_server_of_ones_own(server, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    assert ask(opened(server.url)).text == "hello"


def test_the_address_may_come_from_the_environment(server, monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    assert ask(open_model("openai:small")).text == "hello"


@pytest.mark.parametrize("provider", ["ollama", "vllm", "openai-chat", "litellm"])
def test_other_providers_take_an_address_too(server, provider):
    reply = ask(open_model(f"{provider}:small@{server.url}"))
    assert (reply.text, reply.cost_usd) == ("hello", None)


def test_too_many_requests_is_tried_again_after_the_time_that_was_asked_for(server):
    busy = Answer({"error": {"message": "slow down"}}, status=429, headers={"Retry-After": "7"})
    server.answers = [busy, Answer(completion("there"))]
    waits = Waits()
    assert ask(opened(server.url, waits)).text == "there"
    assert len(server.requests) == 2
    (waited,) = waits.seconds
    assert 7.0 <= waited <= 7.5


def test_waits_grow_with_jitter_while_the_server_fails_and_the_sentence_says_how_often(server):
    server.answers = [Answer({"error": {"message": "on fire"}}, status=500)]
    waits = Waits()
    with pytest.raises(ModelError, match=r"failed to answer.*on fire.*Tried 4 times"):
        ask(opened(server.url, waits, max_tries=4))
    assert len(server.requests) == 4
    longest = (1, 2, 4)
    assert all(s / 2 <= w <= s for s, w in zip(longest, waits.seconds, strict=True))
    assert tuple(waits.seconds) != longest


def test_a_used_up_quota_is_not_waited_for(server):
    body = {"error": {"message": "quota is used up", "code": "insufficient_quota"}}
    server.answers = [Answer(body, status=429)]
    with pytest.raises(ModelError, match="no credit or quota left: quota is used up"):
        ask(opened(server.url))
    assert len(server.requests) == 1


def test_a_wait_of_hours_is_not_waited(server):
    server.answers = [
        Answer({"error": {"message": "later"}}, status=429, headers={"Retry-After": "7200"})
    ]
    with pytest.raises(ModelError, match="asks to wait 7200 s"):
        ask(opened(server.url))
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("status", "message", "sentence"),
    [
        (401, "Incorrect API key: sec***", "does not accept the key .* Check OPENAI_API_KEY"),
        (404, "no model small", "knows no model called 'small'"),
        (400, "temperature is out of range", "rejected the request .* out of range"),
        (418, "teapot", "with HTTP status 418: teapot"),
        (402, "pay first", "no credit or quota left: pay first"),
    ],
)
def test_a_refusal_for_good_is_not_tried_again(server, status, message, sentence):
    server.answers = [Answer({"error": {"message": message}}, status=status)]
    with pytest.raises(ModelError, match=sentence) as caught:
        ask(opened(server.url))
    assert len(server.requests) == 1
    assert "sec***" not in str(caught.value)


@pytest.mark.parametrize(
    "body", [b"<html>proxy</html>", b"{", b'"text"', b"[1]", b'{"choices": []}', b"{}", b"\xff\xfe"]
)
def test_garbage_is_a_model_error_after_all_tries(server, body):
    server.answers = [Answer(body)]
    with pytest.raises(ModelError, match=r"cannot be read: .*Tried 2 times"):
        ask(opened(server.url, max_tries=2))
    assert len(server.requests) == 2


def test_a_server_that_hangs_up_is_tried_again(server):
    server.answers = [Answer(hang_up=True), Answer(completion("back"))]
    assert ask(opened(server.url)).text == "back"


def test_a_slow_reply_is_given_up_in_time(server):
    server.answers = [Answer(completion("late"), delay_s=1.0)]
    began = time.monotonic()
    with pytest.raises(ModelError, match=r"did not answer in 0\.2 s"):
        ask(opened(server.url, timeout_s=0.2))
    assert time.monotonic() - began < 0.9


def test_a_refused_connection_says_where_and_asks_for_the_server():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    waits = Waits()
    with pytest.raises(ModelError, match=rf"could not be reached at .*:{port}.*server running"):
        ask(opened(f"http://127.0.0.1:{port}/v1", waits, max_tries=3))
    assert len(waits.seconds) == 2


def test_an_empty_reply_is_a_reply(server):
    server.answers = [Answer(completion(""))]
    assert ask(opened(server.url)).text == ""


def test_a_reply_that_was_cut_off_says_so(server):
    server.answers = [Answer(completion("def f(", finish="length"))]
    assert ask(opened(server.url)).finish == "length"


def test_a_reply_without_usage_counts_no_tokens_and_claims_no_price(server):
    server.answers = [Answer(completion("hi", usage=None))]
    reply = ask(opened(server.url))
    assert (reply.usage.output_tokens, reply.cost_usd) == (0, None)


def test_connections_are_closed_after_the_last_reply(server):
    assert ask(opened(server.url)).text == "hello"
    deadline = time.monotonic() + 5
    while server.connections and time.monotonic() < deadline:
        time.sleep(0.01)
    assert server.connections == 0


def test_only_so_many_requests_are_out_at_once(server):
    server.answers = [Answer(completion("x"), delay_s=0.05)]
    model = opened(server.url, in_flight=2)

    async def six():
        await asyncio.gather(*(model.reply(question(sample=i)) for i in range(6)))

    asyncio.run(six())
    assert server.most_in_flight == 2


def test_no_request_leaves_while_models_are_forbidden(server, monkeypatch):
    monkeypatch.setenv("KERNELWRIGHT_NO_MODELS", "1")
    with pytest.raises(ModelError, match="KERNELWRIGHT_NO_MODELS is set"):
        ask(opened(server.url))
    assert server.requests == []


def test_a_missing_key_is_found_before_anything_is_asked(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(Unavailable, match="Set OPENAI_API_KEY in the environment"):
        open_model("openai:gpt-6-luna")
    with pytest.raises(Unavailable, match="Set ANTHROPIC_API_KEY in"):
        open_model("anthropic:claude-sonnet-5-5")


def test_a_missing_package_is_named():
    with pytest.raises(Unavailable, match=r'pip install "pydantic-ai-slim\[groq\]"'):
        open_model("groq:llama")


def test_a_provider_with_one_address_takes_no_other():
    with pytest.raises(SpecError, match=r"has one address only.*openai:<model>@http"):
        open_model("deepseek:chat@http://127.0.0.1:1/v1")


@pytest.mark.parametrize(("model", "known"), [("gpt-4o", True), ("no-such-model-1", False)])
def test_the_list_price_is_the_cost_of_a_hosted_model_that_has_one(model, known):
    response = ModelResponse(
        [TextPart("x")],
        usage=RequestUsage(input_tokens=1000, output_tokens=1000),
        model_name=model,
        provider_name="openai",
    )
    cost = cost_usd(response, Address(provider="openai", model=model))
    assert (cost is not None and 0.001 < cost < 1.0) == known


def test_anthropics_protocol_is_spoken_too(server, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "another-key")
    body = {
        "id": "m1", "type": "message", "role": "assistant", "model": "claude-sonnet-5-5",
        "content": [{"type": "text", "text": "hi"}], "stop_reason": "max_tokens",
        "stop_sequence": None, "usage": {"input_tokens": 3, "output_tokens": 2},
    }  # fmt: skip
    server.answers = [Answer(body)]
    reply = ask(open_model(f"anthropic:claude-sonnet-5-5@{server.url.removesuffix('/v1')}"))
    assert (reply.text, reply.finish, reply.usage.output_tokens) == ("hi", "length", 2)
    assert reply.cost_usd is None
    assert server.requests[0]["path"].startswith("/v1/messages")


def test_openais_own_protocol_is_spoken_where_it_is_named(server):
    body = {
        "id": "r1", "object": "response", "created_at": 1, "model": "gpt-6-luna",
        "status": "completed",
        "output": [
            {
                "id": "o1", "type": "message", "role": "assistant", "status": "completed",
                "content": [{"type": "output_text", "text": "hi", "annotations": []}],
            }
        ],
        "parallel_tool_calls": False, "tool_choice": "auto", "tools": [],
        "usage": {
            "input_tokens": 3, "output_tokens": 2, "total_tokens": 5,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens_details": {"reasoning_tokens": 0},
        },
    }  # fmt: skip
    server.answers = [Answer(body)]
    reply = ask(open_model(f"openai-responses:gpt-6-luna@{server.url}"))
    assert (reply.text, reply.usage.input_tokens) == ("hi", 3)
    assert server.requests[0]["path"] == "/v1/responses"
