"""Answers to requests: those of the WSGI application, and those of requests that it never sees."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from http import HTTPStatus
from typing import Any, Protocol

import orjson

log = logging.getLogger(__name__)

Headers = list[tuple[str, str]]
_LOG_SECONDS = 10.0


class Sender(Protocol):
    """The part of an RSGI protocol that sends the answer. It takes the whole body, and may be called in any thread."""

    def response_bytes(self, status: int, headers: Headers, body: bytes) -> None:
        """Send the answer; the server keeps it until the client has received it."""


class Answer:
    """WSGI's `start_response`, which keeps what the application says."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: Headers = []
        self.written: list[bytes] = []

    def __call__(self, status: str, headers: Sequence[tuple[str, str]], exc_info: Any = None) -> Callable[..., Any]:
        self.status = int(status.split(" ", 1)[0])
        self.headers = [(name, value if value.isascii() else _ascii(value)) for name, value in headers]
        return self.written.append

    def body(self, pieces: Iterable[bytes]) -> bytes:
        """Return the whole body. The application's pieces are whole answers already, so there is nothing to stream."""
        if isinstance(pieces, list) and len(pieces) == 1 and not self.written:
            whole: bytes = pieces[0]
            return whole
        return b"".join([*pieces] if not self.written else [*self.written, *pieces])


class Refusals:
    """Answers to requests that do not get as far as Django. Each closes its connection: the rest is not read."""

    def __init__(self, headers: Iterable[tuple[str, str]]) -> None:
        self._headers = tuple(headers)
        self._count = 0
        self._logged = 0.0

    def send(self, sender: Sender, *, path: str, status: int, detail: str, more: Headers | None = None) -> None:
        """Send a problem (RFC 9457) below /api/, elsewhere one line of text."""
        title = HTTPStatus(status).phrase
        if path.startswith("/api/"):
            kind = "application/problem+json"
            body = orjson.dumps({"type": "about:blank", "title": title, "status": status, "detail": detail})
        else:
            kind, body = "text/plain; charset=utf-8", f"{status} {title}: {detail}\n".encode()
        own = [("Content-Type", kind), ("Cache-Control", "no-store"), ("Connection", "close")]
        sender.response_bytes(status, [*own, *self._headers, *(more or [])], body)
        self._log(status)

    def _log(self, status: int) -> None:
        """Log at most one line in ten seconds: whoever sends such requests could fill the disk otherwise."""
        self._count += 1
        now = time.monotonic()
        if now - self._logged >= _LOG_SECONDS:
            log.warning("requests_refused", extra={"status_code": status, "count": self._count})
            self._logged, self._count = now, 0


def _ascii(value: str) -> str:
    # The server would panic.
    return value.encode("ascii", "replace").decode()
