"""The guard in front of the API: who may ask, under which name, and how much they may send.

It reads no body before it knows who sent it.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import MutableMapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kernelwright.serve.settings import Settings, is_loopback

# What a load balancer and a generator of clients may read. Neither holds anything of anyone's.
OPEN = frozenset({"/v1/health", "/openapi.json"})


class Guard:
    """An ASGI application around another."""

    def __init__(self, app: ASGIApp, settings: Settings):
        self._app = app
        self._token = None if settings.token is None else settings.token.encode()
        self._loopback = settings.loopback
        self._limit = settings.body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it with the reason why not."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value for name, value in scope["headers"]}
        refusal = self._refusal(scope["path"], headers)
        if refusal is not None:
            await _answer(send, *refusal)
            return
        await self._app(scope, self._limited(receive), send)

    def _refusal(
        self, path: str, headers: MutableMapping[str, bytes]
    ) -> tuple[int, str, dict[str, str]] | None:
        # A web page can make a browser ask this machine under a name of the page's own choice.
        if self._loopback and not _names_loopback(headers.get("host", b"")):
            return 421, "This server answers to localhost only.", {}
        if path not in OPEN and not self._knows(headers.get("authorization", b"")):
            why = "Send the server's token, as `Authorization: Bearer TOKEN`."
            return 401, why, {"www-authenticate": "Bearer"}
        length = headers.get("content-length", b"0")
        if not length.isdigit() or int(length[:20]) > self._limit:
            return self._too_large()
        return None

    def _knows(self, given: bytes) -> bool:
        if self._token is None:
            return True
        scheme, _, token = given.partition(b" ")
        # Both sides are compared in full, whatever differs first.
        return hmac.compare_digest(token.strip(), self._token) and scheme.lower() == b"bearer"

    def _limited(self, receive: Receive) -> Receive:
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self._limit:
                status, why, given = self._too_large()
                raise HTTPException(status, why, given)
            return message

        return counted

    def _too_large(self) -> tuple[int, str, dict[str, str]]:
        why = f"A request has at most {self._limit:,} bytes. Send fewer candidates at a time."
        return 413, why, {"connection": "close"}


def _names_loopback(host: bytes) -> bool:
    name = host.decode("latin-1")
    name = name[1:].partition("]")[0] if name.startswith("[") else name.partition(":")[0]
    return is_loopback(name)


async def _answer(send: Send, status: int, why: str, headers: dict[str, str]) -> None:
    body = json.dumps({"detail": why}).encode()
    given: dict[str, Any] = {
        "content-type": "application/json",
        "content-length": str(len(body)),
        **headers,
    }
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [(name.encode(), value.encode()) for name, value in given.items()],
        }
    )
    await send({"type": "http.response.body", "body": body})
