"""A socket to listen on, where the settings allow it. Needs no web framework."""

from __future__ import annotations

import socket

from kernelwright.core.errors import UsageError
from kernelwright.serve.settings import Settings, check_exposure

_BACKLOG = 512


def listen(settings: Settings) -> socket.socket:
    """A socket on the address of `settings`.

    Raises:
        UsageError: the address is not ours, in use, or needs a token.
    """
    check_exposure(settings)
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((settings.host, settings.port))
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise UsageError(
            f"Cannot listen on {settings.host} port {settings.port}: {error.strerror}. Choose "
            "another with --host and --port."
        ) from error
    return listening


def url(listening: socket.socket) -> str:
    """The address to ask."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
