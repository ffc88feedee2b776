"""The only HTTP client of the actions: behind the network guard, bounded in time, size and redirects.

A host is resolved once, each of its addresses is checked, and the connection goes to a checked address; the Host header
and the TLS server name remain the host's. Each redirect is treated in the same way. Proxies from the environment
(HTTP_PROXY) are not used.
"""

from __future__ import annotations

import atexit
import os
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import httpcore2
import httpx2

from actions.base import Cancelled, Permanent, Retryable
from actions.network import addresses
from actions.network.addresses import Allowed, Blocked

MAX_BODY = 10 * 1024 * 1024
MAX_REDIRECTS = 3
MAX_URL = 8 * 1024
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
# Headers that a redirect to another origin keeps; any other might be a secret.
_HARMLESS = frozenset({"accept", "accept-encoding", "accept-language", "content-type", "idempotency-key", "user-agent"})


_making = threading.Lock()


def _forget() -> None:
    global _making  # noqa: PLW0603 - another thread of the parent may have held it
    _making = threading.Lock()


os.register_at_fork(after_in_child=_forget)


class _Settings:
    """What `configure` set when the process started."""

    allowed: tuple[Allowed, ...] = ()
    connections: int = 50


_settings = _Settings()


@dataclass(frozen=True)
class Call:
    """A request. `query` is added to the query of the URL."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, Any] = field(default_factory=dict)
    content: bytes | None = None


@dataclass(frozen=True)
class Answer:
    """A response. Header names are in lower case; the body is decompressed."""

    status: int
    reason: str
    headers: dict[str, str]
    body: bytes


def configure(allow: Sequence[str], *, connections: int = 50) -> None:
    """Allow non-public targets: host, host:port or CIDR. Raises ValueError for an entry that is none of these.

    Up to `connections` idle connections are kept open between requests, to all servers together. Twice as many may be
    open at once.
    """
    _settings.allowed = addresses.parse_allowed(allow)
    _settings.connections = connections


def request(call: Call, *, timeout_seconds: float, cancelled: Callable[[], bool] | None = None) -> Answer:
    """Send a request and return the response, following up to 3 redirects; the timeout covers all of them together.

    Raises Permanent of kind `blocked`, `url`, `header` or `too_large`, and Retryable of kind `timeout` or `connection`.
    No status is an error here. `cancelled` is called between reads of the body; Cancelled is raised if it returns true.
    """
    deadline = time.monotonic() + timeout_seconds
    sent = _request(call.method, _url(call.url, call.query), dict(call.headers), call.content)
    for _ in range(MAX_REDIRECTS):
        answer = _send(sent, deadline, cancelled)
        redirected = _redirected(sent, answer)
        if redirected is None:
            return answer
        sent = redirected
    return _send(sent, deadline, cancelled)


def _url(text: str, query: Mapping[str, Any] | None) -> httpx2.URL:
    if len(text) > MAX_URL:
        raise Permanent(f"the URL is longer than {MAX_URL} characters", kind="url")
    try:
        url = httpx2.URL(text)
        if query:
            url = url.copy_merge_params(dict(query))
    except (httpx2.InvalidURL, TypeError, ValueError) as error:
        raise Permanent(f"{text[:200]!r} is no URL: {error}", kind="url") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise Permanent(f"the URL {text[:200]!r} must begin with http:// or https:// and name a host", kind="url")
    if url.userinfo:
        raise Permanent("the URL holds a user or password; send them as a header instead", kind="url")
    return url


def _request(method: str, url: httpx2.URL, headers: dict[str, str], content: bytes | None) -> httpx2.Request:
    known = {name.lower() for name in headers}
    defaults = {"Accept-Encoding": "gzip, deflate", "User-Agent": "stepwise", "Accept": "*/*"}
    full = {**{name: value for name, value in defaults.items() if name.lower() not in known}, **headers}
    try:
        return httpx2.Request(method, url, headers=full, content=content)
    except (UnicodeEncodeError, TypeError, ValueError) as error:
        raise Permanent(f"a header cannot be sent: {error}", kind="header") from None


def _redirected(sent: httpx2.Request, answer: Answer) -> httpx2.Request | None:
    """Return the request that follows a redirect; None if the response is no redirect or has no valid target."""
    url = _redirect_target(sent.url, answer)
    if url is None:
        return None
    headers = {name: value for name, value in sent.headers.items() if name not in ("host", "content-length")}
    if _origin(url) != _origin(sent.url):
        headers = {name: value for name, value in headers.items() if name in _HARMLESS}
    method, content = sent.method, sent.content
    if answer.status == 303 or (answer.status in (301, 302) and method == "POST"):
        method, content = "GET", b""
        headers.pop("content-type", None)
    return _request(method, url, headers, content or None)


def _redirect_target(source: httpx2.URL, answer: Answer) -> httpx2.URL | None:
    location = answer.headers.get("location")
    if answer.status not in _REDIRECTS or not location:
        return None
    try:
        target = source.join(location)
    except (httpx2.InvalidURL, ValueError):
        return None
    url = _url(str(target), None)
    if source.scheme == "https" and url.scheme == "http":
        raise Permanent(f"{shown(source)} redirects from https to http, which is refused", kind="blocked")
    return url


def _origin(url: httpx2.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def shown(url: httpx2.URL | str) -> str:
    """Return a URL for messages: without query and fragment, which may hold secrets, and at most 300 characters."""
    return str(httpx2.URL(url).copy_with(query=None, fragment=None))[:300]


def _send(request: httpx2.Request, deadline: float, cancelled: Callable[[], bool] | None) -> Answer:
    where = f"{request.method} {shown(request.url)}"
    left = deadline - time.monotonic()
    _clock.deadline = deadline
    request.extensions["timeout"] = dict.fromkeys(("connect", "read", "write", "pool"), max(left, 0.001))
    try:
        return _exchange(request, cancelled)
    except Blocked as error:
        raise Permanent(f"{where} is refused: {error}", kind="blocked") from None
    except (httpcore2.TimeoutException, httpx2.TimeoutException):
        raise Retryable(f"{where} did not answer in time", kind="timeout") from None
    except (httpcore2.LocalProtocolError, httpcore2.UnsupportedProtocol) as error:
        raise Permanent(f"{where} cannot be sent: {error}", kind="header") from None
    except (httpcore2.NetworkError, httpcore2.ProtocolError, httpx2.DecodingError) as error:
        raise Retryable(f"{where} failed: {error}", kind="connection") from None


def _exchange(request: httpx2.Request, cancelled: Callable[[], bool] | None) -> Answer:
    url = request.url
    target = httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
    with _process_pool().stream(
        request.method,
        target,
        headers=request.headers.raw,
        content=request.content or None,
        extensions=request.extensions,
    ) as received:
        stream = _Chunks(received)
        response = httpx2.Response(received.status, headers=received.headers, stream=stream, request=request)
        body = _body(response, cancelled)
    return Answer(
        status=response.status_code,
        reason=response.reason_phrase,
        headers={name.lower(): value for name, value in response.headers.items()},
        body=body,
    )


def _body(response: httpx2.Response, cancelled: Callable[[], bool] | None) -> bytes:
    """Return the decompressed body. httpx2 inflates at most 1 MiB at a time, so a zip bomb is refused by its size."""
    chunks, size = [], 0
    for chunk in response.iter_bytes():
        if cancelled is not None and cancelled():
            raise Cancelled()
        size += len(chunk)
        if size > MAX_BODY:
            raise Permanent(f"{shown(response.request.url)} answered with more than 10 MB", kind="too_large")
        chunks.append(chunk)
    return b"".join(chunks)


class _Chunks(httpx2.SyncByteStream):
    def __init__(self, received: httpcore2.Response) -> None:
        self._received = received

    def __iter__(self) -> Iterator[bytes]:
        return self._received.iter_stream()


class _Clock(threading.local):
    """The deadline of this thread's request, by the monotonic clock."""

    deadline = float("inf")

    def left(self, timeout: float | None) -> float:
        """Return the timeout of one socket operation: the given one, or the time until the deadline if that is less.

        So a server that sends a byte now and then cannot extend the deadline. Raises ReadTimeout once it has passed.
        """
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise httpcore2.ReadTimeout("the deadline has passed")
        return left if timeout is None else min(left, timeout)


_clock = _Clock()


class _GuardedBackend(httpcore2.NetworkBackend):
    """Connects only to addresses that were checked, and keeps to the deadline."""

    def __init__(self) -> None:
        self._sockets = httpcore2.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        try:
            targets = addresses.resolve(host, port, allowed=_settings.allowed)
        except OSError as error:
            raise httpcore2.ConnectError(f"{host} does not resolve: {error}") from error
        failure: Exception = httpcore2.ConnectError(f"{host} has no address")
        for target in targets:
            try:
                return _Stream(
                    self._sockets.connect_tcp(target, port, _clock.left(timeout), local_address, socket_options or [])
                )
            except httpcore2.ConnectError as error:
                failure = error
        raise failure

    def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore2.NetworkStream:
        raise Blocked(f"the socket {path} is no Internet address")

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class _Stream(httpcore2.NetworkStream):
    """A stream whose reads and writes end at the request's deadline."""

    def __init__(self, inner: httpcore2.NetworkStream) -> None:
        self._inner = inner

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, _clock.left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, _clock.left(timeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, _clock.left(timeout)))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


def _process_pool() -> httpcore2.ConnectionPool:
    """Return this process's connection pool; the lock makes sure that threads which begin together create one only."""
    with _making:
        return _pool(os.getpid())


@cache
def _pool(process: int) -> httpcore2.ConnectionPool:
    """Create the connection pool of a process. A forked child must not use its parent's sockets, hence the pid."""
    pool = httpcore2.ConnectionPool(
        ssl_context=httpx2.create_ssl_context(trust_env=False),
        # A thread that is stuck keeps its connection as well, so more than the idle ones are permitted.
        max_connections=2 * _settings.connections,
        max_keepalive_connections=_settings.connections,
        keepalive_expiry=5,
        network_backend=_GuardedBackend(),
    )
    atexit.register(pool.close)
    return pool
