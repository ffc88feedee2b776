"""The bridge around a WSGI application that says what it got, for tests; it runs in a web process of its own."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from project.bridge.application import Bridge, Limits

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

LIMITS = Limits(
    threads=3,
    stream_threads=2,
    queue_requests=4,
    buffer_bytes=1000,
    page_bytes=100_000,
    pages_bytes=150_000,
    body_seconds=2.0,
    bytes_per_second=50_000,
)
_gate = threading.Event()


def _echo(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    path, query = environ["PATH_INFO"], parse_qs(environ["QUERY_STRING"])
    if path == "/wait":
        assert _gate.wait(60)
    if path == "/health" and environ["QUERY_STRING"] == "open":
        _gate.set()
    if path == "/fail":
        raise RuntimeError("as the test asked")
    if path == "/big":
        start_response("200 OK", [("Content-Type", "text/plain"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])
        return _pieces(int(query["bytes"][0]))
    if path.endswith("/unread"):
        start_response("401 Unauthorized", [("X-Latin", "caf\xe9")])
        return [b"who is it?"]
    try:
        body = environ["wsgi.input"].read()
        told: dict[str, Any] = {key: value for key, value in environ.items() if isinstance(value, (str, bool))}
        status, told = "200 OK", {**told, "body": body.decode("latin-1"), "threads": _threads()}
    except OSError as error:
        status, told = "418 I'm a Teapot", {"error": type(error).__name__, "detail": str(error)}
    content = json.dumps(told).encode()
    start_response(status, [("Content-Type", "application/json"), ("Content-Length", str(len(content)))])
    return [content]


def _pieces(count: int) -> Iterator[bytes]:
    for _ in range(0, count, 1000):
        yield b"x" * 1000


def _threads() -> list[str]:
    return sorted(thread.name for thread in threading.enumerate() if thread.name.startswith("web"))


application = Bridge(_echo, limits=LIMITS, session_cookie="session", headers=[("X-Guard", "1")], at_end=lambda: None)
