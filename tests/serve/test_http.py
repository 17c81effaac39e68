"""The service on the wire: who may ask, what is refused and how, the load, and the end."""

import contextlib
import http.client
import json
import signal
import subprocess
import sys
import threading
import time
import urllib.parse
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kernelwright.core.errors import FaultError, UsageError
from kernelwright.serve.client import Client
from kernelwright.serve.ledger import Ledger
from kernelwright.serve.listening import listen
from kernelwright.serve.records import Submission
from kernelwright.serve.server import serving
from kernelwright.serve.service import Service
from kernelwright.serve.settings import Settings
from kernelwright.testing.judges import FakeJudges, worded

TOKEN = "a-token-that-nobody-guesses"


@contextlib.contextmanager
def served(folder, *, token=None, delay_s=0.0, body_bytes=1 << 20, **given):
    settings = Settings(host="127.0.0.1", port=0, token=token, body_bytes=body_bytes, grace_s=5.0)
    with Ledger.open(folder) as ledger:
        service = Service(ledger, FakeJudges(delay_s=delay_s), **given)
        with serving(service, settings) as url:
            yield url


def ask(url, method, path, body=None, headers=None):
    """Status, headers and JSON of one request."""
    where = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(where.hostname, where.port, timeout=30)
    content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    given = {"content-type": "application/json"} | (headers or {})
    with contextlib.closing(connection):
        connection.request(method, path, content, given)
        reply = connection.getresponse()
        return reply.status, reply.headers, json.loads(reply.read())


def asked(number=2, **given):
    return {"problem": "builtin:row_sum", "candidate": worded(number)} | given


def test_a_submission_is_accepted_and_its_verdict_waited_for(tmp_path):
    with served(tmp_path, delay_s=0.3) as url:
        status, _, ticket = ask(url, "POST", "/v1/evaluations", asked())
        assert (status, ticket["state"]) == (202, "queued")
        status, _, answer = ask(url, "GET", f"/v1/evaluations/{ticket['id']}")
        assert (status, answer["evaluation"]) == (200, None)
        status, _, answer = ask(url, "GET", f"/v1/evaluations/{ticket['id']}?wait=20")
    assert (answer["state"], answer["speedup"]["median"]) == ("judged", 2.0)
    assert answer["evaluation"]["outcome"]["kind"] == "passed"


def test_waiting_ends_when_it_is_over(tmp_path):
    with served(tmp_path, delay_s=1.0) as url:
        _, _, ticket = ask(url, "POST", "/v1/evaluations", asked())
        start = time.monotonic()
        _, _, answer = ask(url, "GET", f"/v1/evaluations/{ticket['id']}?wait=0.2")
    assert answer["state"] in ("queued", "judging")
    assert time.monotonic() - start < 5


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{", "JSON"),
        ({}, "candidate"),
        (asked(candidate=""), "candidate"),
        (asked(candidate="x" * 300_000), "candidate"),
        (asked(effort="lots"), "effort"),
        (asked(efort="search"), "efort"),
        (asked(problem=None), "problem"),
        (asked(problem="builtin:row_sun"), "row_sum"),
        (asked(language="rust"), "rust"),
        (asked(candidate="\ud800"), ""),
    ],
)
def test_a_request_that_cannot_be_carried_out_gets_one_sentence(tmp_path, body, said):
    with served(tmp_path) as url:
        status, _, reply = ask(url, "POST", "/v1/evaluations", body)
    assert status == 422
    assert set(reply) == {"detail"}
    assert said in reply["detail"]
    assert "\n" not in reply["detail"]
    assert len(reply["detail"]) < 300


def test_a_form_of_a_web_page_is_not_a_request(tmp_path):
    with served(tmp_path) as url:
        body, kind = json.dumps(asked()).encode(), {"content-type": "text/plain"}
        assert ask(url, "POST", "/v1/evaluations", body, kind)[0] == 422
        named = {"host": "evil.example:80"}
        assert ask(url, "POST", "/v1/evaluations", asked(), named)[0] == 421
        assert ask(url, "GET", "/v1/health", headers={"host": "localhost:1"})[0] == 200


def test_unknown_ids_and_paths_are_404(tmp_path):
    with served(tmp_path) as url:
        status, _, reply = ask(url, "GET", "/v1/evaluations/nobody")
        assert (status, "nobody" in reply["detail"]) == (404, True)
        assert ask(url, "GET", "/docs")[0] == 404
        assert ask(url, "DELETE", "/v1/evaluations/nobody")[0] == 405


def test_a_request_that_is_too_large_is_not_read(tmp_path):
    with served(tmp_path, body_bytes=1000) as url:
        status, _, reply = ask(url, "POST", "/v1/evaluations", asked(candidate="x" * 2000))
        assert (status, "1,000 bytes" in reply["detail"]) == (413, True)
        where = urllib.parse.urlsplit(url)
        with (
            contextlib.closing(http.client.HTTPConnection(where.hostname, where.port)) as one,
            # Who goes on sending may find the connection closed before the answer is read.
            contextlib.suppress(ConnectionError),
        ):
            # Chunked, so that no header says how much is coming.
            one.request("POST", "/v1/evaluations", iter([b"x" * 600] * 3), encode_chunked=True)
            assert one.getresponse().status == 413
        assert ask(url, "GET", "/v1/health")[0] == 200


def test_without_the_token_nothing_but_health_and_the_schema_answers(tmp_path):
    with served(tmp_path, token=TOKEN) as url:
        for given in ({}, {"authorization": "Bearer wrong"}, {"authorization": f"Basic {TOKEN}"}):
            status, headers, _ = ask(url, "POST", "/v1/evaluations", asked(), given)
            assert (status, headers["www-authenticate"]) == (401, "Bearer")
            assert ask(url, "GET", "/v1/evaluations/x", headers=given)[0] == 401
        assert ask(url, "GET", "/v1/health")[0] == 200
        assert "HTTPBearer" in json.dumps(ask(url, "GET", "/openapi.json")[2])
        right = {"authorization": f"Bearer {TOKEN}"}
        assert ask(url, "POST", "/v1/evaluations", asked(), right)[0] == 202
        assert Client(url, token=TOKEN).evaluate(Submission(**asked())).state == "judged"
        with pytest.raises(UsageError, match="Bearer TOKEN"):
            Client(url).evaluate(Submission(**asked()))


def test_the_schema_names_every_path_and_status(tmp_path):
    with served(tmp_path) as url:
        _, _, schema = ask(url, "GET", "/openapi.json")
    assert set(schema["paths"]) == {
        "/v1/evaluations", "/v1/batches", "/v1/evaluations/{id}", "/v1/health",
    }  # fmt: skip
    submitting = schema["paths"]["/v1/evaluations"]["post"]["responses"]
    assert set(submitting) == {"202", "401", "413", "422", "429", "503"}
    assert set(schema["components"]["schemas"]) >= {"Answer", "Evaluation", "Passed", "Refusal"}


def test_beyond_this_machine_a_token_is_required():
    with pytest.raises(UsageError, match="a token is required"):
        listen(Settings(host="0.0.0.0", port=0, token=None))


def test_a_port_in_use_is_a_sentence(tmp_path):
    with served(tmp_path) as url:
        port = urllib.parse.urlsplit(url).port
        with pytest.raises(UsageError, match="--port"):
            listen(Settings(host="127.0.0.1", port=port, token=None))


def test_200_clients_at_once_on_a_queue_of_64_all_get_their_own_answer(tmp_path):
    """Each candidate says how fast it is, so an answer that was mixed up would show."""
    refused = []

    class Counting(Client):
        def _once(self, method, path, body):
            try:
                return super()._once(method, path, body)
            except OSError as error:
                refused.append(getattr(error, "code", None))
                raise

    with served(tmp_path, delay_s=0.001, queue=64) as url, ThreadPoolExecutor(200) as pool:
        client = Counting(url)
        numbers = [1 + n / 8 for n in range(200)]
        asking = [Submission(**asked(n)) for n in numbers]
        answers = list(pool.map(client.evaluate, asking))
        assert len({a.id for a in answers}) == 200
        assert {a.state for a in answers} == {"judged"}
        measured = [a.speedup.median for a in answers]
        assert measured == pytest.approx(numbers, rel=1e-3)
        assert set(refused) == {429}
        _, _, health = ask(url, "GET", "/v1/health")
    assert health == {"accepting": True, "waiting": 0, "room": 64}


def test_a_client_gives_up_on_a_full_queue_when_its_patience_ends(tmp_path):
    with served(tmp_path, delay_s=0.5, queue=1) as url:
        ask(url, "POST", "/v1/evaluations", asked())
        time.sleep(0.1)
        ask(url, "POST", "/v1/evaluations", asked())
        status, headers, _ = ask(url, "POST", "/v1/evaluations", asked())
        assert (status, int(headers["retry-after"]) >= 1) == (429, True)
        with pytest.raises(FaultError, match="no room"):
            Client(url, patience_s=0.1).evaluate(Submission(**asked()))


def test_a_batch_larger_than_a_batch_may_be_is_refused(tmp_path):
    with served(tmp_path) as url:
        status, _, reply = ask(url, "POST", "/v1/batches", {"submissions": [asked()] * 257})
        assert (status, "256" in reply["detail"]) == (422, True)
        assert ask(url, "POST", "/v1/batches", {"submissions": []})[0] == 422
        status, _, reply = ask(url, "POST", "/v1/batches", {"submissions": [asked()] * 3})
        assert (status, len(reply["tickets"])) == (202, 3)


@contextlib.contextmanager
def process(folder, delay_s):
    program = [sys.executable, str(Path(__file__).with_name("fake_server.py"))]
    with subprocess.Popen(
        [*program, str(folder), str(delay_s)], stdout=subprocess.PIPE, text=True
    ) as running:
        try:
            yield running, running.stdout.readline().strip()
        finally:
            running.kill()


def test_sigterm_answers_who_waits_and_a_restart_answers_the_same(tmp_path):
    with process(tmp_path, 0.5) as (running, url), ThreadPoolExecutor(6) as pool:
        ids = [ask(url, "POST", "/v1/evaluations", asked(n))[2]["id"] for n in (2, 3, 4, 5)]
        waiting = [pool.submit(ask, url, "GET", f"/v1/evaluations/{i}?wait=30") for i in ids]
        time.sleep(0.2)
        start = time.monotonic()
        running.send_signal(signal.SIGTERM)
        states = [w.result()[2]["state"] for w in waiting]
        assert running.wait(10) == 0
        assert time.monotonic() - start < 8
    assert states[0] == "judged"
    assert states[-1] == "not_judged"
    assert set(states) == {"judged", "not_judged"}
    with process(tmp_path, 0.0) as (_, url):
        assert [ask(url, "GET", f"/v1/evaluations/{i}")[2]["state"] for i in ids] == states


def test_a_killed_server_goes_on_with_what_it_had_taken(tmp_path):
    with process(tmp_path, 0.3) as (running, url):
        body = {"submissions": [asked(n) for n in (2, 4, 8)]}
        tickets = ask(url, "POST", "/v1/batches", body)[2]["tickets"]
        running.kill()
        running.wait()
    with process(tmp_path, 0.0) as (_, url):
        answers = [ask(url, "GET", f"/v1/evaluations/{t['id']}?wait=20")[2] for t in tickets]
    assert [a["speedup"]["median"] for a in answers] == [2.0, 4.0, 8.0]


def test_a_client_waits_for_a_server_that_is_not_there_yet(tmp_path):
    with contextlib.closing(listen(Settings(host="127.0.0.1", port=0, token=None))) as taken:
        port = taken.getsockname()[1]
    found = []
    client = Client(f"http://127.0.0.1:{port}", patience_s=30)
    asking = threading.Thread(
        target=lambda: found.append(client.evaluate(Submission(**asked())).state)
    )
    asking.start()
    time.sleep(0.3)
    settings = Settings(host="127.0.0.1", port=port, token=None)
    with Ledger.open(tmp_path) as ledger, serving(Service(ledger, FakeJudges()), settings):
        asking.join(30)
    assert found == ["judged"]
