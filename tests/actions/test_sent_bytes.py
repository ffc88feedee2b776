"""What the client writes to a connection, byte by byte."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings

from actions import network
from actions.base import Permanent
from actions.network import Call
from tests.actions.raw_server import OK, answering, raw

DEFAULTS = "Host: 127.0.0.1\r\nAccept-Encoding: gzip, deflate\r\nUser-Agent: stepwise\r\nAccept: */*\r\n"


@pytest.fixture(autouse=True)
def _permissions() -> Iterator[None]:
    yield
    network.configure(settings.OUTBOUND_ALLOW)


def sent(method: str, path: str = "/", *, headers: dict[str, str] | None = None, content: bytes | None = None) -> str:
    """The request that a server receives, without the port that it has."""
    with raw(answering(OK)) as server:
        network.configure([f"127.0.0.1:{server.port}"])
        network.request(Call(method, server.url(path), headers or {}, content=content), timeout_seconds=5)
        return server.requests[0].decode().replace(f":{server.port}", "")


@pytest.mark.parametrize(
    ("method", "content", "end"),
    [
        ("GET", None, "\r\n"),
        ("GET", b"", "\r\n"),
        ("GET", b"body", "Content-Length: 4\r\n\r\nbody"),
        ("DELETE", None, "\r\n"),
        ("DELETE", b"body", "Content-Length: 4\r\n\r\nbody"),
        ("OPTIONS", None, "\r\n"),
        ("HEAD", None, "\r\n"),
        ("HEAD", b"body", "\r\n"),
        ("POST", None, "Content-Length: 0\r\n\r\n"),
        ("POST", b"", "Content-Length: 0\r\n\r\n"),
        ("PUT", None, "Content-Length: 0\r\n\r\n"),
        ("PATCH", b"a\0b", "Content-Length: 3\r\n\r\na\0b"),
    ],
)
def test_request_is_sent_as_it_is_given(method: str, content: bytes | None, end: str) -> None:
    assert sent(method, content=content) == f"{method} / HTTP/1.1\r\n{DEFAULTS}{end}"


def test_path_and_query_are_not_changed_on_the_way() -> None:
    target = "/a/%2e%2e/b%41/..;c//d?e=[f]&g=%2F../h"
    assert sent("GET", target).startswith(f"GET {target} HTTP/1.1\r\n")


def test_headers_keep_their_case_and_replace_the_defaults() -> None:
    headers = {"x-Y": "a, b", "ACCEPT": "text/html", "user-agent": "me", "Empty": "", "Tab": "a\tb"}
    assert sent("GET", headers=headers) == (
        "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept-Encoding: gzip, deflate\r\n"
        "x-Y: a, b\r\nACCEPT: text/html\r\nuser-agent: me\r\nEmpty:\r\nTab: a\tb\r\n\r\n"
    )


@pytest.mark.parametrize("name", ["Content-Length", "transfer-encoding", "Connection", "Expect", "host"])
def test_header_that_the_client_sets_itself_is_not_taken_from_the_caller(name: str) -> None:
    assert sent("POST", headers={name: "7"}, content=b"x") == f"POST / HTTP/1.1\r\n{DEFAULTS}Content-Length: 1\r\n\r\nx"


def test_nothing_is_read_from_the_home_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password s3cret\n")
    (tmp_path / ".curlrc").write_text('header = "X-Secret: s3cret"\n')
    monkeypatch.setenv("HOME", str(tmp_path))
    assert sent("GET") == f"GET / HTTP/1.1\r\n{DEFAULTS}\r\n"


@pytest.mark.parametrize(
    "headers",
    [
        {"X": "a\r\nB: c"},
        {"X": "a\nB: c"},
        {"X": "a\rB: c"},
        {"X": "a\0b"},
        {"X": "a\x0bb"},
        {"X": " a"},
        {"X": "a "},
        {"X": "ü"},
        {"X": "\u2603"},
        {"": "a"},
        {" X": "a"},
        {"X ": "a"},
        {"X: a\r\nY": "b"},
        {"Host: evil": "a"},
        {"X;": ""},
        {"X\0": "a"},
        {"ü": "a"},
    ],
)
def test_header_that_could_end_its_line_or_is_not_ascii_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(Permanent, match="cannot be sent") as failure:
        sent("GET", headers=headers)
    assert failure.value.kind == "header"


@pytest.mark.parametrize("method", ["", "GET / HTTP/1.1\r\nX: y\r\n\r\nGET", "GE T", "GÉT", "G\0T"])
def test_method_that_could_end_its_line_is_refused(method: str) -> None:
    with pytest.raises(Permanent) as failure:
        sent(method)
    assert failure.value.kind == "header"
