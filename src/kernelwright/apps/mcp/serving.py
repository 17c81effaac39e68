"""Serving the tools: over stdio to one client, or over HTTP to many. Logs go to stderr alone."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from types import FrameType

import uvicorn

from kernelwright.agents.hall import Hall
from kernelwright.apps.mcp.tools import server
from kernelwright.serve.guard import Guard
from kernelwright.serve.listening import listen, url
from kernelwright.serve.settings import Settings

PATH = "/mcp"
BODY_BYTES = 2 << 20
_MOST_CLIENTS = 128
_CONNECTIONS = 512
_DRAIN_S = 5

MakeHall = Callable[[], Hall]


def over_stdio(make: MakeHall) -> None:
    """Serve one client until it closes our input. What the judge has then is finished."""

    async def serve() -> None:
        hall = make()
        try:
            await server(hall).run_stdio_async()
        finally:
            await hall.aclose()

    asyncio.run(serve())


def over_http(
    make: MakeHall, settings: Settings, listening: socket.socket, ready: Callable[[], None]
) -> None:
    """Serve until SIGTERM or SIGINT, then stop in order. `ready` is called when it listens."""

    async def serve() -> None:
        async with _running(make(), settings, listening) as running:
            _stop_on_signals(running)
            ready()
            await running.done.wait()

    asyncio.run(serve())


class _Running:
    """A server that runs. `done` is set when it has ended."""

    def __init__(self, made: uvicorn.Server):
        self.server = made
        self.done = asyncio.Event()

    def stop(self) -> None:
        """Ask it to end."""
        self.server.should_exit = True


@contextlib.asynccontextmanager
async def serving(hall: Hall, settings: Settings) -> AsyncIterator[str]:
    """A server on this event loop, for tests and for programs of their own; the block gets its
    address. The hall is closed at the end."""
    with contextlib.closing(listen(settings)) as listening:
        async with _running(hall, settings, listening):
            yield url(listening) + PATH


@contextlib.asynccontextmanager
async def _running(
    hall: Hall, settings: Settings, listening: socket.socket
) -> AsyncIterator[_Running]:
    app = server(hall).streamable_http_app(
        streamable_http_path=PATH,
        max_request_body_size=settings.body_bytes,
        max_sessions=_MOST_CLIENTS,
        host=settings.host,
    )
    config = uvicorn.Config(
        Guard(app, settings),
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=_CONNECTIONS,
        timeout_graceful_shutdown=_DRAIN_S,
        lifespan="on",
        ws="none",
    )
    running = _Running(_Quiet(config))
    task = asyncio.create_task(running.server.serve(sockets=[listening]))
    task.add_done_callback(lambda _: running.done.set())
    try:
        yield running
    finally:
        running.stop()
        try:
            await task
        finally:
            await hall.aclose()


class _Quiet(uvicorn.Server):
    """A server that leaves signals to whoever started it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Nothing is captured."""
        yield


def _stop_on_signals(running: _Running) -> None:
    if threading.current_thread() is not threading.main_thread():
        return

    def stop(_number: int, _frame: FrameType | None) -> None:
        running.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
