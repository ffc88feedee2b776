"""What no HTTP client would send: each is answered below 500, or its connection is closed, and the site goes on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pytest_django.plugin import DjangoDbBlocker

from tests.project.web import Connection, WebServer, timed
from tests.workers import Worker

pytestmark = pytest.mark.django_db(transaction=True)

_HOST = b"Host: localhost\r\n"
_API = b"/api/v1/runs"
_STARTS = b"/api/v1/workflows/x/runs"
_LINES: dict[str, bytes] = {
    "nothing": b"\r\n\r\n",
    "only line ends": b"\r\n" * 1000,
    "no version": b"GET /health\r\n\r\n",
    "HTTP/0.9": b"GET /health HTTP/0.9\r\n\r\n",
    "HTTP/2 in plain": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/9.9": b"GET /health HTTP/9.9\r\n\r\n",
    "no host": b"GET /health HTTP/1.1\r\n\r\n",
    "a foreign host": b"GET /health HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    "two hosts": b"GET /health HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "a host that is no host": b"GET /admin/ HTTP/1.1\r\nHost: a b\x00/../\r\n\r\n",
    "a method of 100 kB": b"A" * 100_000 + b" / HTTP/1.1\r\n" + _HOST + b"\r\n",
    "an unknown method": b"BREW /health HTTP/1.1\r\n" + _HOST + b"\r\n",
    "a method with a NUL": b"G\x00ET / HTTP/1.1\r\n" + _HOST + b"\r\n",
    "CONNECT": b"CONNECT localhost:5432 HTTP/1.1\r\n" + _HOST + b"\r\n",
    "OPTIONS *": b"OPTIONS * HTTP/1.1\r\n" + _HOST + b"\r\n",
    "TRACE": b"TRACE / HTTP/1.1\r\n" + _HOST + b"\r\n",
    "an absolute address": b"GET http://evil.example/admin/ HTTP/1.1\r\n" + _HOST + b"\r\n",
    "a header of 1 MB": b"GET /health HTTP/1.1\r\n" + _HOST + b"X: " + b"a" * 1_000_000 + b"\r\n\r\n",
    "5,000 headers": b"GET /health HTTP/1.1\r\n" + _HOST + b"X: a\r\n" * 5000 + b"\r\n",
    "a header without a name": b"GET /health HTTP/1.1\r\n" + _HOST + b": a\r\n\r\n",
    "a header without a colon": b"GET /health HTTP/1.1\r\n" + _HOST + b"abc\r\n\r\n",
    "a folded header": b"GET /health HTTP/1.1\r\n" + _HOST + b"X: a\r\n b\r\n\r\n",
    "a NUL in a header": b"GET /api/v1/runs HTTP/1.1\r\n" + _HOST + b"Authorization: Bearer a\x00b\r\n\r\n",
    "a bare line end in a header": b"GET /health HTTP/1.1\r\n" + _HOST + b"X: a\nY: b\r\n\r\n",
    "a bare carriage return": b"GET /health HTTP/1.1\r\n" + _HOST + b"X: a\rY: b\r\n\r\n",
    "a space before a colon": b"GET /health HTTP/1.1\r\n" + _HOST + b"Content-Length : 5\r\n\r\nhello",
    "a TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 500,
    "noise": bytes(range(256)) * 40,
}
_PATHS: dict[str, bytes] = {
    "a NUL": b"/api/v1/runs/%00",
    "a NUL in a workflow's name": b"/api/v1/workflows/a%00b",
    "a NUL in a step": b"/api/v1/runs/00000000-0000-0000-0000-000000000000/steps/%00/items",
    "a NUL in a query": b"/api/v1/runs?workflow=%00",
    "a NUL in a label": b"/api/v1/runs?label.a=%00",
    "no UTF-8": b"/api/v1/workflows/%ff%fe",
    "no UTF-8 in a query": b"/api/v1/runs?workflow=%ff",
    "a surrogate": b"/api/v1/workflows/%ed%a0%80",
    "half an escape": b"/api/v1/workflows/%",
    "half an escape in a query": b"/api/v1/runs?state=%e",
    "bytes beyond ASCII": b"/api/v1/workflows/\xc3\xa4",
    "bytes that are no text": b"/api/v1/workflows/\xff\xff",
    "dots": b"/api/v1/../../admin/",
    "escaped dots": b"/api/v1/%2e%2e/%2e%2e/etc/passwd",
    "static dots": b"/static/../project/settings.py",
    "escaped static dots": b"/static/%2e%2e%2fproject%2fsettings.py",
    "a backslash": b"/static/..\\..\\project\\settings.py",
    "slashes": b"//////api//v1//runs",
    "a scheme": b"//evil.example/admin/",
    "60 kB": b"/api/v1/workflows/" + b"a" * 60_000,
    "1 MB": b"/api/v1/workflows/" + b"a" * 1_000_000,
    "10,000 parameters": b"/api/v1/runs?" + b"a=b&" * 10_000,
    "100,000 parameters": b"/api/v1/runs?" + b"a&" * 100_000,
    "a state that is none": b"/api/v1/runs?state=" + b"x" * 10_000,
    "a page that is none": b"/api/v1/runs?cursor=%00%ff",
    "a cursor of 50 kB": b"/api/v1/runs?cursor=" + b"A" * 50_000,
    "a limit of 10^30": b"/api/v1/runs?limit=1000000000000000000000000000000",
    "a negative limit": b"/api/v1/runs?limit=-1",
    "a link": b"/approvals/%00%00%00/",
    "a login's next": b"/admin/login/?next=//evil.example/%0d%0aX:%20a",
    "a fragment": b"/health#%00",
    "a tab": b"/health\tx",
}
_BODIES: dict[str, bytes] = {
    "a negative length": b"Content-Length: -1\r\n\r\n",
    "a length that is no number": b"Content-Length: x\r\n\r\n",
    "a length of 10^30": b"Content-Length: 1000000000000000000000000000000\r\n\r\n",
    "a length with a plus": b"Content-Length: +5\r\n\r\nhello",
    "two lengths": b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "two equal lengths": b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    "a length and chunks": b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks twice": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "an unknown encoding": b"Transfer-Encoding: gzip\r\n\r\n",
    "an encoding with a tab": b"Transfer-Encoding:\tchunked\r\n\r\n0\r\n\r\n",
    "chunked and identity": b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "a chunk whose size is no number": b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n",
    "a negative chunk": b"Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n",
    "a chunk beyond 64 bits": b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
    "a chunk that is longer than it says": b"Transfer-Encoding: chunked\r\n\r\n1\r\nhello\r\n0\r\n\r\n",
    "an extension of 100 kB": b"Transfer-Encoding: chunked\r\n\r\n1;" + b"a" * 100_000 + b"\r\nx\r\n0\r\n\r\n",
    "a trailer": b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nX: a\r\n\r\n",
    "gzip": b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
    "a type that is none": b"Content-Type: x\x01y\r\nContent-Length: 2\r\n\r\n{}",
    "a charset that is none": b"Content-Type: application/json; charset=punycode\r\nContent-Length: 2\r\n\r\n{}",
    "a boundary of 60 kB": b"Content-Type: multipart/form-data; boundary=" + b"a" * 60_000 + b"\r\n\r\n",
    "a form": b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 3\r\n\r\na=b",
    "an expectation that is none": b"Expect: 200-maybe\r\nContent-Length: 2\r\n\r\n{}",
    "no UTF-8": b"Content-Type: application/json\r\nContent-Length: 4\r\n\r\n\"\xff\xfe\"",
    "a NUL": b"Content-Type: application/json\r\nContent-Length: 1\r\n\r\n\x00",
}  # fmt: skip


def _requests() -> Iterator[tuple[str, bytes]]:
    for name, data in _LINES.items():
        yield f"line: {name}", data
    for name, path in _PATHS.items():
        for method in (b"GET", b"POST", b"DELETE"):
            head = method + b" " + path + b" HTTP/1.1\r\n" + _HOST + b"Authorization: Bearer stw_x\r\n"
            yield f"path: {name}, {method.decode()}", head + b"Content-Length: 0\r\n\r\n"
    for name, rest in _BODIES.items():
        for path in (
            _API + b"/cancel",
            b"/api/v1/workflows/x/runs",
            b"/api/v1/workflows/x/runs/bulk",
            b"/admin/login/",
        ):
            yield f"body: {name}, {path.decode()}", b"POST " + path + b" HTTP/1.1\r\n" + _HOST + rest


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, django_db_setup: None, django_db_blocker: DjangoDbBlocker
) -> Iterator[WebServer]:
    """The whole site in a web process. Its clients may be silent for two seconds."""
    with django_db_blocker.unblock():
        env = {**Worker._settings(), "REQUEST_BODY_SECONDS": "2", "REQUEST_HEADER_SECONDS": "2"}
    started = WebServer(tmp_path_factory.mktemp("raw"), env=env).wait_ready()
    yield started
    assert started.stop() == 0, started.log.read_text()


def test_no_bytes_are_answered_by_a_server_error(server: WebServer) -> None:
    told: dict[str, str] = {}
    count = 0
    for name, data in _requests():
        count += 1
        connection = Connection(server)
        connection.socket.settimeout(20)
        try:
            connection.send(data)
            answer = connection.answer()
        except (ConnectionError, OSError):
            pass  # refused by closing: the check below says whether the server lives
        else:
            if answer.status >= 500 or answer.status < 200:
                told[name] = f"{answer.status} {answer.body[:200]!r}"
        finally:
            connection.close()
        if count % 40 == 0:
            assert timed(server, "GET", "/health")[0].status in (200, 503)
    assert told == {}
    assert count > 200
    assert server.process.poll() is None
