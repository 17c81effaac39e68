"""What a server is started with, checked before anything is opened. Needs no web framework."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import MutableMapping
from dataclasses import dataclass
from pathlib import Path

from kernelwright.core.errors import UsageError

TOKEN_VARIABLE = "KERNELWRIGHT_TOKEN"
_LEAST_TOKEN = 16
_MOST_TOKEN = 4096


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Where a server listens and what it takes. `token` is None when none is asked for."""

    host: str
    port: int
    token: str | None
    body_bytes: int = 8 << 20
    grace_s: float = 30.0

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return is_loopback(self.host)


def is_loopback(host: str) -> bool:
    """Whether `host` is an address of this machine that no other can reach."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def read_token(file: Path | None, environment: MutableMapping[str, str]) -> str | None:
    """The token in `file`, else in the environment; None when there is neither.

    It is taken out of the environment, which processes of ours would inherit. A command line would
    show it to every user of this machine, so it cannot be given there.

    Raises:
        UsageError: it cannot be read, or is no token.
    """
    given = environment.pop(TOKEN_VARIABLE, None)
    if file is not None:
        given = _read(file)
    if given is None:
        return None
    token = given.strip()
    fits = _LEAST_TOKEN <= len(token) <= _MOST_TOKEN
    if not (fits and token.isascii() and token.isprintable() and " " not in token):
        raise UsageError(
            f"The token must have {_LEAST_TOKEN} characters or more, without spaces. Make one with "
            "`python -c 'import secrets; print(secrets.token_urlsafe())'`."
        )
    return token


def check_exposure(settings: Settings) -> None:
    """Refuse to listen beyond this machine without a token.

    Raises:
        UsageError: whoever reaches the address could have code run here.
    """
    if not settings.loopback and settings.token is None:
        raise UsageError(
            f"{settings.host} can be reached from other machines, so a token is required. Put one "
            f"in the environment as {TOKEN_VARIABLE}, or in a file for --token-file."
        )


def _read(file: Path) -> str:
    try:
        if os.name == "posix" and file.stat().st_mode & 0o077:
            raise UsageError(
                f"Others may read the token file {file}. Run `chmod 600 {file}` first."
            )
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"The token file {file} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"The token file {file} is not text.") from error
