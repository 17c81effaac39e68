"""The server process: it listens, and stops in order when it is told to."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from types import FrameType

import uvicorn

from kernelwright.serve.http import application
from kernelwright.serve.listening import listen, url
from kernelwright.serve.service import Service
from kernelwright.serve.settings import Settings

_CONNECTIONS = 2048
_DRAIN_S = 5


class _Server(uvicorn.Server):
    """A server that tells the service at once when it is told to stop.

    Uvicorn waits for open requests before it says that it stops, and requests wait for verdicts.
    """

    def __init__(self, config: uvicorn.Config, stop: Callable[[], None]):
        super().__init__(config)
        self._stop = stop

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal came. It may have come anywhere, so the locks are taken in another thread."""
        threading.Thread(target=self._stop, name="stopping").start()
        super().handle_exit(sig, frame)


def serve(
    service: Service,
    settings: Settings,
    listening: socket.socket,
    ready: Callable[[], None] = lambda: None,
) -> None:
    """Answer until SIGTERM or SIGINT, then stop in order. Called from the main thread.

    `ready` is called when a signal would stop it in order.
    """
    server = _Server(_config(service, settings), service.stop)

    def stop(_signal: int, _frame: FrameType | None) -> None:
        server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        # Before uvicorn has handlers of its own; and after, when it raises the signal again.
        signal.signal(number, stop)
    ready()
    try:
        server.run(sockets=[listening])
    finally:
        service.close(settings.grace_s)


@contextlib.contextmanager
def serving(service: Service, settings: Settings) -> Iterator[str]:
    """A server in a thread of this process, for tests and for programs that have a main loop of
    their own; the block gets its address."""
    with contextlib.closing(listen(settings)) as listening:
        server = _Server(_config(service, settings), service.stop)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield url(listening)
        finally:
            service.stop()
            server.should_exit = True
            thread.join()
            service.close(settings.grace_s)


def _config(service: Service, settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        application(service, settings),
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=_CONNECTIONS,
        # One life may go on for as long as it takes; whoever waits for it is told first.
        timeout_graceful_shutdown=round(settings.grace_s) + _DRAIN_S,
        lifespan="off",
        ws="none",
    )
