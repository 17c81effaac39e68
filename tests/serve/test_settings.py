"""What a server is started with: where it may listen, and what a token is."""

import pytest

from kernelwright.core.errors import UsageError
from kernelwright.serve.settings import (
    TOKEN_VARIABLE,
    Settings,
    check_exposure,
    is_loopback,
    read_token,
)

TOKEN = "0123456789abcdef"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost"])
def test_addresses_that_only_this_machine_reaches(host):
    assert is_loopback(host)
    check_exposure(Settings(host=host, port=1, token=None))


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "192.168.1.2", "localhost.example", "127.0.0.1.example", "", "*"]
)
def test_any_other_address_needs_a_token(host):
    assert not is_loopback(host)
    with pytest.raises(UsageError, match="token is required"):
        check_exposure(Settings(host=host, port=1, token=None))
    check_exposure(Settings(host=host, port=1, token=TOKEN))


def test_a_token_is_taken_out_of_the_environment():
    environment = {TOKEN_VARIABLE: TOKEN, "OTHER": "stays"}
    assert read_token(None, environment) == TOKEN
    assert environment == {"OTHER": "stays"}
    assert read_token(None, environment) is None


def test_a_file_goes_before_the_environment(tmp_path):
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}-from-the-file\n")
    file.chmod(0o600)
    assert read_token(file, {TOKEN_VARIABLE: TOKEN}) == f"{TOKEN}-from-the-file"


def test_a_token_that_others_can_read_is_refused(tmp_path):
    file = tmp_path / "token"
    file.write_text(TOKEN)
    file.chmod(0o640)
    with pytest.raises(UsageError, match="chmod 600"):
        read_token(file, {})


@pytest.mark.parametrize("given", ["", "short", "with spaces in the middle", "é" * 20, "x" * 5000])
def test_what_is_no_token_is_refused_and_not_repeated(given):
    with pytest.raises(UsageError, match="token_urlsafe") as refused:
        read_token(None, {TOKEN_VARIABLE: given})
    assert not given or given not in str(refused.value)


def test_a_token_file_that_cannot_be_read_is_a_sentence(tmp_path):
    with pytest.raises(UsageError, match="cannot be read"):
        read_token(tmp_path / "gone", {})
    (tmp_path / "bytes").write_bytes(b"\xff" * 20)
    (tmp_path / "bytes").chmod(0o600)
    with pytest.raises(UsageError, match="is not text"):
        read_token(tmp_path / "bytes", {})
