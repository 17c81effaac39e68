"""A small server on this machine that speaks OpenAI's protocol and misbehaves to order."""

import json
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


@dataclass
class Answer:
    """What the server sends to one request."""

    body: object = None
    status: int = 200
    headers: dict = field(default_factory=dict)
    delay_s: float = 0.0
    hang_up: bool = False


def completion(text, *, finish="stop", usage=(11, 7), model="small"):
    """The body of a chat completion."""
    body = {
        "id": "c1",
        "object": "chat.completion",
        "created": 1,
        "model": model,
        "choices": [
            {
                "index": 0,
                "finish_reason": finish,
                "message": {"role": "assistant", "content": text},
            }
        ],
    }
    if usage:
        prompt, completed = usage
        body["usage"] = {
            "prompt_tokens": prompt,
            "completion_tokens": completed,
            "total_tokens": prompt + completed,
        }
    return body


class FakeServer:
    """Answers with `answers` in turn, the last of them for ever; `requests` is what came in."""

    def __init__(self):
        self.answers = [Answer(completion("hello"))]
        self.requests = []
        self.in_flight = self.most_in_flight = self.connections = 0
        self._lock = threading.Lock()
        handler = type("Handler", (_Handler,), {"fake": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        # A client that leaves its connection open must fail a test and not hang it.
        self._server.block_on_close = False
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    def take(self, request):
        with self._lock:
            self.requests.append(request)
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
            return self.answers[min(len(self.requests), len(self.answers)) - 1]

    def connected(self, change):
        with self._lock:
            self.connections += change

    def done(self):
        with self._lock:
            self.in_flight -= 1

    def close(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    fake: FakeServer
    protocol_version = "HTTP/1.1"

    def setup(self):
        self.fake.connected(1)
        super().setup()

    def finish(self):
        super().finish()
        self.fake.connected(-1)

    def do_POST(self):
        raw = self.rfile.read(int(self.headers["Content-Length"]))
        sent = {"path": self.path, "key": self.headers["Authorization"], **json.loads(raw)}
        answer = self.fake.take(sent)
        try:
            time.sleep(answer.delay_s)
            self.close_connection = answer.hang_up
            if not answer.hang_up:
                self._send(answer)
        except OSError:
            self.close_connection = True  # the client has given up, as some tests want
        finally:
            self.fake.done()

    def _send(self, answer):
        body = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
        self.send_response(answer.status)
        for name, value in {"Content-Type": "application/json", **answer.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    fake = FakeServer()
    yield fake
    fake.close()


@pytest.fixture
def models_allowed(monkeypatch):
    """Only for calls to the fake server; the keys of whoever runs the tests are out of reach."""
    monkeypatch.delenv("KERNELWRIGHT_NO_MODELS")
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "ANTHROPIC_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", "secret-key-of-the-tests")
