"""The only HTTP client of the actions: behind the network guard, bounded in time, size and redirects.

Each address is checked as it is about to be connected to; the Host header and the TLS server name are the host's. Each
redirect is treated in the same way. Proxies from the environment (HTTP_PROXY) are not used. A connection is kept for
the next request to the same server, and a request is sent once at most, even if the kept connection turns out dead.
"""

from __future__ import annotations

import atexit
import os
import re
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, NamedTuple

from actions.base import Cancelled, Permanent, Retryable
from actions.network import addresses, bodies, destinations, headers, urls
from actions.network.addresses import Allowed, Blocked
from actions.network.bodies import MAX_BODY, Broken, TooLarge
from actions.network.connection import WITH_LENGTH, Connection, Failed, Received, Sent, TimedOut
from actions.network.cookies import Cookies
from actions.network.headers import BadHeader
from actions.network.pool import Pool
from actions.network.urls import Url

MAX_REDIRECTS = 3
MAX_URL = 8 * 1024
REDIRECTS = frozenset({301, 302, 303, 307, 308})
# Headers that a redirect to another origin keeps; any other might be a secret.
_HARMLESS = frozenset({"accept", "accept-encoding", "accept-language", "content-type", "idempotency-key", "user-agent"})
_METHOD = re.compile(r"[A-Z]{1,20}")
_REASONS = {status.value: status.phrase for status in HTTPStatus}
_ANY_URL = urls.parse("http://example.com/")
_NOTHING: Mapping[str, Any] = MappingProxyType({})


class _Settings:
    """What `configure` set when the process started, and its idle connections."""

    allowed: tuple[Allowed, ...] = ()
    pool = Pool(50)


_settings = _Settings()


def _begin_anew() -> None:
    """In a forked child: leave the idle connections to the parent."""
    _settings.pool.abandon()
    _settings.pool = Pool(_settings.pool.most)


def _end() -> None:
    _settings.pool.clear()


os.register_at_fork(after_in_child=_begin_anew)
atexit.register(_end)


class Call(NamedTuple):
    """A request. `query` is added to the query of the URL; a HEAD request is sent without its `content`.

    A header or parameter may have a list of values. `follow`: redirects are followed. `forward_body`: a redirect with
    status 307 or 308 may take the content to another origin.
    """

    method: str
    url: str
    headers: Mapping[str, str | Sequence[str]] = _NOTHING
    query: Mapping[str, Any] = _NOTHING
    content: bytes | None = None
    forward_body: bool = False
    follow: bool = True


class _Stop(NamedTuple):
    """Whether a request is cancelled, and how long the response to one that was sent is waited for after that."""

    cancelled: Callable[[], bool] | None
    patience_seconds: float


class _Answer(NamedTuple):
    status: int
    reason: str
    headers: dict[str, str]
    body: bytes


class Answer(_Answer):
    """A response. Header names are in lower case; the body is decompressed. `reason` is the status's usual phrase.

    `headers` has the values of one name in one text, with commas between them. Beside these four, by which answers are
    compared: `values` has each value of each header, and `followed` the URLs that redirects led to, without queries.
    """

    values: Mapping[str, Sequence[str]] = _NOTHING
    followed: tuple[str, ...] = ()


def configure(allow: Sequence[str], *, connections: int = 50) -> None:
    """Allow non-public targets: host, host:port or CIDR. Raises ValueError for an entry that is none of these.

    Up to `connections` idle connections are kept open between requests, to all servers together. A thread that sends
    has one connection, so no more than the number of threads can be in use.
    """
    _settings.allowed = addresses.parse_allowed(allow)
    _settings.pool.clear()  # the old ones were checked by the old entries
    _settings.pool = Pool(connections)


def allowed() -> tuple[Allowed, ...]:
    """Return the targets that are allowed although they are not public."""
    return _settings.allowed


def request(
    call: Call,
    *,
    timeout_seconds: float,
    cancelled: Callable[[], bool] | None = None,
    patience_seconds: float = 0.0,
) -> Answer:
    """Send a request and return the response, following up to 3 redirects; the timeout covers all of them together.

    Raises Permanent of kind `blocked`, `url`, `header`, `redirect` or `too_large`, and Retryable of kind `timeout` or
    `connection`.
    No status is an error here. `cancelled` is called while anything is waited for, and Cancelled is raised within about
    a second after it returns true. If the request was sent by then, its response is waited for `patience_seconds` more.
    """
    deadline = time.monotonic() + timeout_seconds
    stop = _Stop(cancelled, patience_seconds)
    url = _url(call.url)
    if call.query:
        url = urls.with_query(url, call.query)
    destinations.check(url)
    answer = _send(call, url, deadline, stop)
    if answer.status not in REDIRECTS or not call.follow:
        return answer
    return _follow(call, url, answer, deadline, stop)


def _follow(call: Call, url: Url, answer: Answer, deadline: float, stop: _Stop) -> Answer:
    """Follow redirects, with the cookies that are set on the way, and return the last response."""
    cookies = Cookies()
    followed: tuple[str, ...] = ()
    while answer.status in REDIRECTS and len(followed) < MAX_REDIRECTS:
        cookies.take(url, answer.values.get("set-cookie", ()))
        target = _redirect_target(url, answer)
        if target is None:
            break
        call, url = _redirected(call, url, target, answer.status), target
        followed = (*followed, url.shown)
        answer = _send(_with_cookies(call, url, cookies), url, deadline, stop)
    answer.followed = followed
    return answer


def _with_cookies(call: Call, url: Url, cookies: Cookies) -> Call:
    given = {name: value for name, value in call.headers.items() if name.lower() == "cookie"}
    own = "; ".join(value if isinstance(value, str) else "; ".join(value) for value in given.values())
    header = cookies.header(url, given=own)
    if header == own:
        return call
    others = {name: value for name, value in call.headers.items() if name not in given}
    return call._replace(headers={**others, "Cookie": header})


def shown(url: str) -> str:
    """Return a URL for messages: without query and fragment, which may hold secrets, and at most 300 characters.

    Raises ValueError for what is no URL.
    """
    return urls.parse(url).shown


def url_fault(text: str) -> str | None:
    """Return why a request to this URL can never be sent, or None."""
    if len(text) > MAX_URL:
        return f"is longer than {MAX_URL} characters"
    try:
        urls.parse(text)
    except ValueError as error:
        return f"cannot be used: {error}"
    return None


def header_fault(name: str, value: str) -> str | None:
    """Return why this header can never be sent, or None."""
    try:
        headers.lines({name: value}, url=_ANY_URL, has_body=False)
    except BadHeader as error:
        return f"cannot be sent: {error}"
    return None


def _url(text: str) -> Url:
    if len(text) > MAX_URL:
        raise Permanent(f"the URL is longer than {MAX_URL} characters", kind="url")
    try:
        return urls.parse(text)
    except ValueError as error:
        # Without what may be secret: the query, and a user with a password.
        named = "" if "@" in text else f" {text.partition('?')[0][:200]!r}"
        raise Permanent(f"the URL{named} cannot be used: {error}", kind="url") from None


def _redirect_target(source: Url, answer: Answer) -> Url | None:
    """Return where a redirect leads; None if it has no valid target."""
    location = answer.headers.get("location")
    target = urls.join(source, location) if location else None
    if target is None:
        return None
    url = _url(target)
    if source.scheme == "https" and url.scheme == "http":
        raise Permanent(f"{source.shown} redirects from https to http, which is refused", kind="blocked")
    return url


def _redirected(call: Call, source: Url, target: Url, status: int) -> Call:
    """Return the request that follows a redirect. Raises Permanent if it would take a body to another origin unasked.

    Without its body it would be another request: an empty order, which the other server may well answer with 200.
    """
    method, content, dropped = call.method.upper(), call.content, ""
    if status == 303 or (status in (301, 302) and method == "POST"):
        method, content = "GET", None
        dropped = "content-type"
    given = {name: value for name, value in call.headers.items() if name.lower() != dropped}
    if target.origin != source.origin:
        if content and method != "HEAD" and not call.forward_body:
            raise Permanent(
                f"{method} {source.shown} answered {status} with a redirect to {target.origin}: a body is not sent to"
                " another origin; send the request to that address, or set forward_body: true",
                kind="redirect",
            )
        if content and method != "HEAD":
            destinations.check_body(source, target)
        given = {name: value for name, value in given.items() if name.lower() in _HARMLESS and not _is_secret(value)}
    return call._replace(method=method, url=target.text, headers=given, query=_NOTHING, content=content)


def _is_secret(value: str | Sequence[str]) -> bool:
    return any(map(destinations.holds_secret, (value,) if isinstance(value, str) else value))


def _send(call: Call, url: Url, deadline: float, stop: _Stop) -> Answer:
    sent = _sent(call, url)
    pool = _settings.pool
    # Two workspaces, or two credentials, share no connection: a server may take what it was told on one for granted.
    kept = f"{url.origin} {destinations.sender().key}"
    connection = pool.take(kept)
    while connection is not None and not connection.silent():
        connection.close()
        connection = pool.take(kept)
    if connection is None:
        connection = Connection(url, allowed=_settings.allowed)
        connection.origin = kept
    try:
        received = connection.exchange(
            sent,
            timeout_seconds=deadline - time.monotonic(),
            cancelled=stop.cancelled,
            patience_seconds=stop.patience_seconds,
        )
        answer, ended = _answer(received)
    except BaseException as error:
        connection.close()
        where = f"{sent.method} {url.shown}"
        if isinstance(error, Cancelled) and connection.is_sent and stop.patience_seconds:
            raise Cancelled(
                f"the run was stopped, and {where} was not answered within {stop.patience_seconds:g} s after that; it"
                " was sent, so look at the receiver for whether it had an effect"
            ) from None
        raise _failure(error, where) from None
    if ended and connection.descriptor >= 0:
        pool.give(connection)
    else:
        connection.close()
    return answer


def _sent(call: Call, url: Url) -> Sent:
    method = call.method.upper()
    if not _METHOD.fullmatch(method):
        raise Permanent(f"{call.method[:100]!r} is no method of HTTP", kind="header")
    has_body = method in WITH_LENGTH or (bool(call.content) and method != "HEAD")
    try:
        lines = headers.lines(call.headers, url=url, has_body=has_body)
    except BadHeader as error:
        raise Permanent(f"{method} {url.shown} cannot be sent: {error}", kind="header") from None
    return Sent(method, url.target, lines, call.content)


def _answer(received: Received) -> tuple[Answer, bool]:
    """Return the response, and whether its end is beyond doubt: else the connection cannot be used for another one."""
    values = headers.parsed(received.headers)
    found = headers.joined(values)
    body, ended = received.body, True
    if body and "transfer-encoding" in found:
        body, ended = _of_chunks(body, found["transfer-encoding"])
        # Of two lengths, somebody on the way may have believed the other one.
        ended = ended and "content-length" not in found
    if len(body) > MAX_BODY:
        raise TooLarge(f"more than {MAX_BODY // 1024 // 1024} MB")
    if body and "content-encoding" in found:
        body = bodies.decompressed(body, found["content-encoding"], most=MAX_BODY)
    answer = Answer(received.status, _REASONS.get(received.status, ""), found, body)
    answer.values = values
    return answer, ended


def _of_chunks(body: bytes, coding: str) -> tuple[bytes, bool]:
    """Return a body without its Transfer-Encoding, and whether nothing follows its end. Raises Broken, TooLarge."""
    codings = {one.strip().lower() for one in coding.split(",")} - {"", "identity"}
    if not codings:
        return body, True
    if codings != {"chunked"}:
        raise Broken(f"its Transfer-Encoding {coding[:100]!r} was not asked for")
    return bodies.unchunked(body)


def _failure(error: BaseException, where: str) -> BaseException:
    """Return what `request` raises for an exception of the exchange."""
    if isinstance(error, Blocked):
        return Permanent(f"{where} is refused: {error}", kind="blocked")
    if isinstance(error, TooLarge):
        return Permanent(f"{where} answered with {error}, which is refused", kind="too_large")
    if isinstance(error, TimedOut):
        return Retryable(f"{where} did not answer in time", kind="timeout")
    if isinstance(error, (Failed, Broken, zlib.error)):
        return Retryable(f"{where} failed: {error}", kind="connection")
    return error
