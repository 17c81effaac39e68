"""A client for the service, with nothing but the standard library: submit, wait, try again.

client = Client("http://127.0.0.1:8765")
answer = client.evaluate(Submission(problem="builtin:row_sum", candidate=text))
"""

from __future__ import annotations

import json
import random
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Any

from kernelwright.core.errors import FaultError, UsageError
from kernelwright.serve.records import FINAL, Answer, Submission

_POLL_S = 30.0
_ROOM_S = 15.0  # for the network, beyond what was asked for
_BUSY = (429, 503)


class Client:
    """One server, as seen from a trainer or an agent. Safe to use from any thread.

    A full queue and a server that restarts are waited for, at most `patience_s` in all.
    """

    def __init__(self, url: str, *, token: str | None = None, patience_s: float = 600.0):
        self._url = url.rstrip("/")
        self._token = token
        self._patience_s = patience_s

    def evaluate(self, submission: Submission) -> Answer:
        """Submit, and wait for the answer.

        Raises:
            UsageError: the server refuses the request.
            FaultError: there is no answer within `patience_s`.
        """
        return self.evaluate_many([submission])[0]

    def evaluate_many(self, submissions: Sequence[Submission]) -> list[Answer]:
        """Submit all together, and wait for the answers, which come in the same order."""
        deadline = time.monotonic() + self._patience_s
        asked = {"submissions": [one.model_dump(mode="json") for one in submissions]}
        reply = self._ask("POST", "/v1/batches", asked, deadline)
        return [self._answer(ticket["id"], deadline) for ticket in reply["tickets"]]

    def _answer(self, submission_id: str, deadline: float) -> Answer:
        while True:
            wait = max(0.0, min(_POLL_S, deadline - time.monotonic()))
            path = f"/v1/evaluations/{submission_id}?wait={wait:g}"
            answer = Answer.model_validate(self._ask("GET", path, None, deadline))
            if answer.state in FINAL:
                return answer
            if time.monotonic() > deadline:
                raise FaultError(
                    f"{self._url} had no answer to {submission_id} within {self._patience_s:g} s. "
                    "Ask again for this id, or allow more time."
                )

    def _ask(self, method: str, path: str, body: Any, deadline: float) -> Any:
        growing_s = 0.2
        while True:
            pause_s = growing_s
            try:
                return self._once(method, path, body)
            except urllib.error.HTTPError as error:
                with error:
                    said = _detail(error.read())
                    pause_s = _asked_for(error.headers.get("retry-after")) or pause_s
                if error.code not in _BUSY:
                    raise UsageError(f"{self._url} refused ({error.code}): {said}") from error
            except (OSError, TimeoutError) as error:
                said = str(error)
            if time.monotonic() + pause_s > deadline:
                raise FaultError(f"{self._url} cannot be reached or has no room: {said}")
            # Not all at once, when many clients were sent away together.
            time.sleep(pause_s * random.uniform(1.0, 1.5))
            growing_s = min(2 * growing_s, 5.0)

    def _once(self, method: str, path: str, body: Any) -> Any:
        headers = {"content-type": "application/json"}
        if self._token is not None:
            headers["authorization"] = f"Bearer {self._token}"
        request = urllib.request.Request(
            self._url + path,
            data=None if body is None else json.dumps(body).encode(),
            headers=headers,
            method=method,
        )
        with urllib.request.urlopen(request, timeout=_POLL_S + _ROOM_S) as reply:
            return json.load(reply)


def _asked_for(retry_after: str | None) -> float | None:
    """The seconds that a server asks for; None when it asks for none, or names a date."""
    return float(retry_after) if retry_after and retry_after.isdecimal() else None


def _detail(body: bytes) -> str:
    try:
        return str(json.loads(body)["detail"])
    except (ValueError, KeyError, TypeError):
        return body[:200].decode("utf-8", "replace")
