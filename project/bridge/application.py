"""The RSGI application: receives bodies in the event loop, and runs a WSGI application in bounded pools of threads.

A thread is given to a request when there is nothing to wait for: its body is complete, or is received only if the
application asks for it, which it does for callers whom it knows. So a client that is slow, or that sends half a
request, holds a connection and a few kilobytes, and no thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import IO, TYPE_CHECKING, Protocol

from project.bridge import environ as environs
from project.bridge.answers import Answer, Headers, Refusals, Sender
from project.bridge.bodies import BodySource, BrokenOff, LazyBody, Pace, Pieces, TooSlow, buffered
from project.bridge.connections import Connections
from project.bridge.environ import Scope
from project.bridge.threads import Pool

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

log = logging.getLogger(__name__)

HEALTH = "/health"
_API = "/api/"
# Enough for every probe of a load balancer; each takes the one thread for some milliseconds.
_WAITING_PROBES = 100
_BUSY = "every thread of the web server is busy, and the queue before them is full; try again in a moment"


class RequestProtocol(BodySource, Sender, Protocol):
    """The RSGI protocol of one request."""


@dataclass(frozen=True)
class Limits:
    """What a request may cost before anybody knows who sent it. The settings of the same names say more."""

    threads: int
    stream_threads: int
    queue_requests: int
    # A body up to this size is received before a thread is taken.
    buffer_bytes: int
    # Pages: the longest body with a session, and what all bodies above `buffer_bytes` may hold together.
    page_bytes: int
    pages_bytes: int
    body_seconds: float
    bytes_per_second: int


class _Refused(Exception):
    """A request that does not get as far as the WSGI application."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


class Bridge:
    """An RSGI application that answers with a WSGI application.

    Three pools: one for requests whose bodies are complete, one for bodies that are received while they are read, such
    as bulk starts, and one thread for `/health`, which so answers when all others are busy. `session_cookie` is the
    name of the cookie without which a page takes short bodies only. `at_end` is called in every thread that ends.
    """

    def __init__(
        self,
        application: WSGIApplication,
        *,
        limits: Limits,
        session_cookie: str,
        headers: Iterable[tuple[str, str]],
        at_end: Callable[[], None],
    ) -> None:
        self._application = application
        self._limits = limits
        self._session = f"{session_cookie}="
        self._refusals = Refusals(headers)
        waiting = limits.queue_requests
        self._whole = Pool("web", threads=limits.threads, waiting=waiting, at_end=at_end)
        self._streams = Pool("web-stream", threads=limits.stream_threads, waiting=waiting, at_end=at_end)
        self._health = Pool("web-health", threads=1, waiting=_WAITING_PROBES, at_end=at_end)
        self._pages_bytes = 0
        self._loop: asyncio.AbstractEventLoop
        self._answered: deque[asyncio.Future[None]] = deque()
        self._waking = False
        self._connections: Connections | None = None

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Called by the server once, before the first request."""
        self._loop = loop

    async def __rsgi__(self, scope: Scope, protocol: RequestProtocol) -> None:
        """Called by the server for each request; returns when the answer was handed over."""
        if self._connections is None:
            self._connections = self._watch(scope)
        try:
            await self._receive(scope, protocol)
        except _Refused as refused:
            more = [("Retry-After", "1")] if refused.status == HTTPStatus.SERVICE_UNAVAILABLE else None
            self._refuse(scope, protocol, status=refused.status, detail=refused.detail, more=more)
        except TooSlow as slow:
            self._refuse(scope, protocol, status=HTTPStatus.REQUEST_TIMEOUT, detail=str(slow))
        except BrokenOff as broken:
            self._refuse(scope, protocol, status=HTTPStatus.BAD_REQUEST, detail=str(broken))

    def _watch(self, scope: Scope) -> Connections:
        """Begin to watch the connections: the first request says on which port the server listens."""
        port = int(scope.server.rpartition(":")[2])
        limits = self._limits
        connections = Connections(port, seconds=limits.body_seconds, bytes_per_second=limits.bytes_per_second)
        connections.start()
        return connections

    def _refuse(
        self, scope: Scope, protocol: RequestProtocol, *, status: int, detail: str, more: Headers | None = None
    ) -> None:
        self._refusals.send(protocol, path=scope.path, status=status, detail=detail, more=more)
        self._end(scope)

    def _end(self, scope: Scope) -> None:
        """See to it that the connection ends, as the answer says: its body was not received to the end."""
        if self._connections is not None:
            self._connections.end(scope.client)

    async def _receive(self, scope: Scope, protocol: RequestProtocol) -> None:
        """Receive the body as its size and its address say, and answer. Raises _Refused, TooSlow and BrokenOff."""
        path, length = scope.path, _length(scope)
        pool = self._health if path == HEALTH else self._whole
        if length == 0 or (length is None and not path.startswith(_API)):
            # Without a length, Django takes a body for empty. It stays unread, and the server closes.
            await self._perform(scope, protocol, body=io.BytesIO(), pool=pool)
        elif length is not None and length <= self._limits.buffer_bytes:
            await self._perform(scope, protocol, body=io.BytesIO(await self._short(protocol)), pool=pool)
        elif path.startswith(_API):
            lazy = LazyBody(Pieces(protocol, length=length, pace=self._pace()), loop=self._loop)
            await self._perform(scope, protocol, body=buffered(lazy), lazy=lazy, pool=self._streams)
        else:
            await self._page(scope, protocol, length=length or 0)

    async def _short(self, protocol: RequestProtocol) -> bytes:
        """Return a body of at most `buffer_bytes`, which has `body_seconds` to come."""
        try:
            async with asyncio.timeout(self._limits.body_seconds):
                return await protocol()
        except TimeoutError:
            detail = f"the body did not come within {self._limits.body_seconds:g} s; send the request again, whole"
            raise _Refused(HTTPStatus.REQUEST_TIMEOUT, detail) from None
        except RuntimeError:
            raise BrokenOff("the connection broke off in the body") from None

    async def _page(self, scope: Scope, protocol: RequestProtocol, *, length: int) -> None:
        """Receive the long body of a page, such as a draft, and answer. A page reads before it knows who asks.

        Raises _Refused without a session, and if it, or all such bodies together, are too large.
        """
        limits = self._limits
        if self._session not in scope.headers.get("cookie", ""):
            what = f"log in first; without a session a body may have {limits.buffer_bytes:,} bytes"
            raise _Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, what)
        if length > limits.page_bytes:
            what = f"the body is larger than {limits.page_bytes >> 20} MB; send less"
            raise _Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, what)
        pieces, body, held = Pieces(protocol, length=length, pace=self._pace()), io.BytesIO(), 0
        try:
            while piece := await pieces.next():
                held += body.write(piece)
                self._pages_bytes += len(piece)
                if self._pages_bytes > limits.pages_bytes:
                    what = f"the forms that are being sent hold {limits.pages_bytes >> 20} MB; try again in a moment"
                    raise _Refused(HTTPStatus.SERVICE_UNAVAILABLE, what)
            body.seek(0)
            await self._perform(scope, protocol, body=body, pool=self._whole)
        finally:
            self._pages_bytes -= held

    def _pace(self) -> Pace:
        return Pace(seconds=self._limits.body_seconds, bytes_per_second=self._limits.bytes_per_second)

    async def _perform(
        self, scope: Scope, protocol: RequestProtocol, *, body: IO[bytes], pool: Pool, lazy: LazyBody | None = None
    ) -> None:
        """Let a thread of the pool answer the request, and wait for it. Raises _Refused if the queue is full."""
        answered = self._loop.create_future()

        def work() -> None:
            try:
                self._answer(scope, protocol, body=body, lazy=lazy)
            finally:
                self._tell(answered)

        if not pool.take(work):
            raise _Refused(HTTPStatus.SERVICE_UNAVAILABLE, _BUSY)
        await answered

    def _answer(self, scope: Scope, protocol: RequestProtocol, *, body: IO[bytes], lazy: LazyBody | None) -> None:
        """Run the WSGI application in this thread, and send what it answers. The whole answer is handed to the server:
        a client that reads slowly holds no thread.
        """
        try:
            answer = Answer()
            pieces = self._application(environs.build(scope, body=body), answer)
            try:
                content = answer.body(pieces)
                unread = lazy is not None and not lazy.ended
                if unread:
                    answer.headers.append(("Connection", "close"))
                protocol.response_bytes(answer.status, answer.headers, content)
                if unread:
                    self._end(scope)
            finally:
                if hasattr(pieces, "close"):
                    pieces.close()
        # A panic of the server's, which is written in Rust, is no Exception. It must not end a thread of the pool.
        except BaseException:
            log.exception("request_failed", extra={"path": scope.path[:200]})
            with contextlib.suppress(BaseException):
                detail = "the server failed on this request; its log says why"
                self._refusals.send(protocol, path=scope.path, status=HTTPStatus.INTERNAL_SERVER_ERROR, detail=detail)

    def _tell(self, answered: asyncio.Future[None]) -> None:
        """Tell the loop that a request was answered. Many that are answered at the same time wake it once."""
        self._answered.append(answered)
        if not self._waking:
            self._waking = True
            # The loop is closed when the process ends before the thread does.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        # First: what is appended from here on wakes the loop again.
        self._waking = False
        while self._answered:
            answered = self._answered.popleft()
            if not answered.done():
                answered.set_result(None)


def _length(scope: Scope) -> int | None:
    """Return the length of the body: 0 if there is none, None if it comes in chunks. Raises _Refused."""
    headers = scope.headers
    coding, length = headers.get("transfer-encoding"), headers.get("content-length")
    if coding is None and length is None:
        return 0
    if coding is not None:
        if length is not None:
            raise _Refused(HTTPStatus.BAD_REQUEST, "send either Content-Length or Transfer-Encoding, not both")
        return None
    if not (length.isascii() and length.isdigit()):
        raise _Refused(HTTPStatus.BAD_REQUEST, "the Content-Length is not a number")
    return int(length)
