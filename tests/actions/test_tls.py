"""https: which certificates are believed."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.conf import settings

from actions import network
from actions.base import Permanent, Retryable
from actions.network import Call, trust
from tests.actions import certificates
from tests.actions.raw_server import OK, answering, once, raw


@pytest.fixture
def context(tmp_path: Path) -> Iterator[ssl.SSLContext]:
    """The TLS of a server that the guard permits; see certificates.served."""
    network.configure(["127.0.0.0/8", "::1", "localhost"])
    yield certificates.served(tmp_path)
    network.configure(settings.OUTBOUND_ALLOW)
    trust.trusted.cache_clear()


def believe(monkeypatch: pytest.MonkeyPatch, *, file: Path, directory: Path) -> None:
    """Tell Python's ssl that OpenSSL looks for certificates there."""
    paths = SimpleNamespace(openssl_cafile=str(file), openssl_capath=str(directory))
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: paths)
    trust.trusted.cache_clear()


def send(url: str) -> network.Answer:
    return network.request(Call("GET", url), timeout_seconds=5)


def test_certificate_that_the_machine_does_not_trust_is_refused(context: ssl.SSLContext) -> None:
    with raw(answering(OK), context=context) as server, pytest.raises(Retryable, match="certificate") as failure:
        send(server.url())
    assert failure.value.kind == "connection"
    assert server.requests == []


@pytest.mark.parametrize("where", ["file", "directory", "directory-hash", "."])
def test_certificate_that_the_machine_trusts_is_believed_for_its_names(
    context: ssl.SSLContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    file = tmp_path / "trusted.pem"
    if where != "file":
        (tmp_path / where).mkdir(exist_ok=True)
        file.rename(tmp_path / where / certificates.NAME_HASH)
    if where in (".", "directory-hash"):
        file.write_text("no certificate: a directory that has the same ones is read in place of the file\n")
    believe(monkeypatch, file=file, directory=tmp_path / "directory")
    with raw(answering(OK), context=context) as server:
        assert [send(server.url()).status for _ in range(3)] == [200] * 3
        assert server.accepted == 1
        with pytest.raises(Retryable, match="localhost"):
            send(server.url(host="localhost"))
        assert len(server.requests) == 3


def test_certificate_that_is_only_in_the_file_is_believed_beside_a_directory(
    context: ssl.SSLContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "00000000.0").write_text("another one\n")
    file = tmp_path / "trusted.pem"
    file.write_text(file.read_text() * 2)
    believe(monkeypatch, file=file, directory=tmp_path)
    with raw(answering(OK), context=context) as server:
        assert send(server.url()).status == 200


def test_redirect_from_https_to_http_is_refused(
    context: ssl.SSLContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    believe(monkeypatch, file=tmp_path / "trusted.pem", directory=tmp_path / "none")
    down = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
    with raw(once(down), context=context) as server, pytest.raises(Permanent, match="https to http") as failure:
        send(server.url())
    assert failure.value.kind == "blocked"
