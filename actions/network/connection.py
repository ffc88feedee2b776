"""One kept connection to one server: a libcurl handle behind the network guard, bounded in time and size.

libcurl resolves the host and asks `_open` for a socket for each address that it is about to connect to. The guard looks
at that very address and refuses the socket if the address may not be reached; libcurl then tries the host's next one.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import socket
import threading
import time
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from typing import Any, NamedTuple

import pycurl

from actions.base import Cancelled
from actions.network import addresses
from actions.network.addresses import Allowed, Blocked
from actions.network.bodies import MAX_BODY, MAX_CHUNK_BYTES, TooLarge
from actions.network.trust import trusted
from actions.network.urls import Url

# Of a response's headers, of the interim responses (1xx) before it and of its trailers, together.
MAX_HEADERS = 100 * 1024
MAX_INTERIM = 100
_STATUS_101 = re.compile(rb"HTTP/\S+ 101\b")
# 23 days; libcurl takes no more than 31 bits.
_LONGEST_MILLISECONDS = 2_000_000_000
# Requests of these methods say that they have no body, by a Content-Length of 0.
WITH_LENGTH = frozenset({"POST", "PUT", "PATCH"})
# How often `cancelled` is asked, at most. libcurl does not tell descriptors of select's limit (1,024) and beyond: where
# it tells none, it is asked again after _BLIND_MILLISECONDS.
_BLIND_MILLISECONDS = 10
_LOOK_SECONDS = 0.25
# CURLE_TOO_LARGE: a header of 100 KB, or 5,000 headers.
_TOO_LARGE = 100
_KIND = -1
_FIXED: tuple[tuple[int, Any], ...] = (
    (pycurl.NOSIGNAL, 1),
    (pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS),
    (pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1),
    (pycurl.FOLLOWLOCATION, 0),
    (pycurl.PATH_AS_IS, 1),
    # Neither the environment's proxies nor the passwords of the home directory.
    (pycurl.PROXY, ""),
    (pycurl.NOPROXY, "*"),
    (pycurl.NETRC, pycurl.NETRC_IGNORED),
    # One handle is one connection, and each new one resolves the name anew.
    (pycurl.MAXCONNECTS, 1),
    (pycurl.DNS_CACHE_TIMEOUT, 0),
    # Bodies are decompressed by bodies.decompressed, which lets codings pass that libcurl would refuse. They are
    # unchunked by bodies.unchunked: libcurl drops what follows the last chunk, and keeps the connection.
    (pycurl.HTTP_CONTENT_DECODING, 0),
    (pycurl.HTTP_TRANSFER_DECODING, 0),
    (pycurl.SSL_VERIFYPEER, 1),
    (pycurl.SSL_VERIFYHOST, 2),
    (pycurl.SSLVERSION, pycurl.SSLVERSION_TLSv1_2),
)


class TimedOut(Exception):
    """The deadline passed before the response was complete."""


class Failed(Exception):
    """The exchange failed: no connection, one that broke, or a response that is no HTTP."""


class Sent(NamedTuple):
    """A request: `target` is path and query, `headers` are lines as `headers.lines` returns them."""

    method: str
    target: str
    headers: list[str]
    content: bytes | None


class Received(NamedTuple):
    """A response: its status, its headers as received (see headers.parsed), and its body as received."""

    status: int
    headers: bytes
    body: bytes


class Connection:
    """A connection to the server of a URL. It is used by one thread at a time, and closed after any exception."""

    def __init__(self, url: Url, *, allowed: Sequence[Allowed]) -> None:
        self.origin = url.origin
        self.idle_since = 0.0
        # The descriptor of the socket after an exchange; -1 if the server closed it.
        self.descriptor = -1
        self._host, self._port, self._allowed = url.host, url.port, allowed
        self._kept = self._resolving = False
        self._error: Exception | None = None
        self._refused: Blocked | None = None
        self._sockets: list[socket.socket] = []
        self._headers: list[bytes] = []
        self._body: list[bytes] = []
        self._size = self._headers_size = self._statuses = 0
        self._cancelled: Callable[[], bool] | None = None
        # Whether the request may have been sent; since when it is cancelled, and how long its response is waited for.
        self._is_sent = False
        self._cancelled_at = self._patience = self._look_at = 0.0
        # What was set for the request before.
        self._milliseconds, self._target, self._method, self._kind = 0, "", "", -1
        self._arrived = select.poll()
        self._curl = curl = pycurl.Curl()
        for option, value in (*_FIXED, *trusted()):
            curl.setopt(option, value)
        curl.setopt(pycurl.URL, f"{url.origin}/")
        curl.setopt(pycurl.OPENSOCKETFUNCTION, self._open)
        curl.setopt(pycurl.SOCKOPTFUNCTION, _keep_from_children)
        curl.setopt(pycurl.HEADERFUNCTION, self._take_header)
        curl.setopt(pycurl.WRITEFUNCTION, self._write)
        curl.setopt(pycurl.PREREQFUNCTION, self._about_to_send)
        # Not curl.perform(): it calls nobody back while it resolves, connects and shakes hands.
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_MAXCONNECTS, 1)

    def exchange(
        self, sent: Sent, *, timeout_seconds: float, cancelled: Callable[[], bool] | None, patience_seconds: float = 0.0
    ) -> Received:
        """Send a request and return its response. The request is sent once at most, also if a kept connection is dead.

        Raises Blocked, TimedOut, Failed, TooLarge, and Cancelled within about a second after `cancelled` returns true,
        whatever is waited for; if the request was sent already, `patience_seconds` after that.
        """
        curl = self._curl
        self._cancelled, self._patience = cancelled, patience_seconds
        self._is_sent, self._cancelled_at = False, 0.0
        self._look_at = time.monotonic() + _LOOK_SECONDS
        self._set_request(sent, timeout_seconds)
        try:
            self._perform()
        except pycurl.error as error:
            raise self._failure(*error.args) from None
        finally:
            if self._sockets:
                self._close_originals()
        if not self._kept and self.descriptor >= 0:
            self._kept = True
            self._arrived.register(self.descriptor, select.POLLIN)
        received = Received(curl.getinfo(pycurl.RESPONSE_CODE), b"".join(self._headers), b"".join(self._body))
        self._headers.clear()
        self._body.clear()
        self._size = self._headers_size = self._statuses = 0
        # Nothing of this request stays in memory for as long as the connection is idle.
        self._cancelled = None
        if sent.content:
            curl.setopt(pycurl.POSTFIELDS, b"")
        return received

    @property
    def is_sent(self) -> bool:
        """Whether the last request was sent, at least in part."""
        return self._is_sent

    def silent(self) -> bool:
        """Whether nothing has come from the server since the last response: it neither closed the connection nor spoke.

        libcurl looks at its connections once a second only, and would send a request over one that is closed.
        """
        return not self._arrived.poll(0)

    def close(self) -> None:
        """Close the connection. A name that is still being resolved is waited for by another thread."""
        if self._resolving:
            threading.Thread(target=self._close, name="closing", daemon=True).start()
        else:
            self._close()

    def abandon(self) -> None:
        """Close the connection in a forked child, without a word to the server: its other end is the parent's."""
        if self.descriptor >= 0:
            nowhere = os.open(os.devnull, os.O_RDWR)
            os.dup2(nowhere, self.descriptor, inheritable=False)
            os.close(nowhere)
        self._close()

    def _close(self) -> None:
        # What failed, or was cut off, is still with the multi handle.
        with contextlib.suppress(pycurl.error):
            self._multi.remove_handle(self._curl)
        self._curl.close()
        self._multi.close()

    def _set_request(self, sent: Sent, timeout_seconds: float) -> None:
        """Tell libcurl what to send, as far as that differs from the request before."""
        method, target, headers, content = sent
        setopt = self._curl.setopt
        setopt(pycurl.HTTPHEADER, headers)
        milliseconds = max(1, min(round(timeout_seconds * 1000), _LONGEST_MILLISECONDS))
        if milliseconds != self._milliseconds:
            self._milliseconds = milliseconds
            setopt(pycurl.TIMEOUT_MS, milliseconds)
        if target != self._target:
            self._target = target
            setopt(pycurl.REQUEST_TARGET, target)
        if method == "HEAD":
            kind = pycurl.NOBODY
        else:
            kind = pycurl.POST if content or method in WITH_LENGTH else pycurl.HTTPGET
        if kind != self._kind or method != self._method:
            self._kind, self._method = kind, method
            setopt(kind, 1)
            setopt(pycurl.CUSTOMREQUEST, method)
        if kind == pycurl.POST:
            setopt(pycurl.POSTFIELDS, content or b"")

    def _open(self, _purpose: int, address: Any) -> Any:
        """Return a socket for an address that libcurl is about to connect to, or refuse it.

        If a kept connection breaks before a byte of the response has come, libcurl would connect anew and send the
        request a second time. It gets no second socket: what the request changes, it might then change twice.
        """
        if self._kept:
            return pycurl.SOCKET_BAD
        try:
            addresses.check(self._host, ip_address(address.addr[0]), self._port, allowed=self._allowed)
            opened = socket.socket(address.family, address.socktype, address.protocol)
        except Blocked as error:
            self._refused = error
            return pycurl.SOCKET_BAD
        except OSError:
            return pycurl.SOCKET_BAD  # such as an address of IPv6 on a machine without it
        self._sockets.append(opened)
        return opened

    def _close_originals(self) -> None:
        """Close the sockets that `_open` returned; libcurl has duplicates of their descriptors."""
        for opened in self._sockets:
            opened.close()
        self._sockets.clear()

    def _take_header(self, line: bytes) -> int:
        """Take a line of the headers; 0 ends the exchange, which then raises `_error`."""
        self._headers_size += len(line)
        if self._headers_size > MAX_HEADERS:
            self._error = TooLarge(f"more than {MAX_HEADERS // 1024} KB of headers")
            return 0
        if line.startswith(b"HTTP/"):
            self._statuses += 1
            if self._statuses > MAX_INTERIM + 1:
                self._error = TooLarge(f"more than {MAX_INTERIM} interim responses (1xx)")
                return 0
            if _STATUS_101.match(line):
                self._error = Failed("the server answered 101, a switch of protocols that was not asked for")
                return 0
        self._headers.append(line)
        return len(line)

    def _write(self, data: bytes) -> int:
        """Take a piece of the body; 0 ends the exchange, which then raises `_error`."""
        self._size += len(data)
        # More than MAX_BODY may be a body in chunks.
        if self._size > MAX_BODY + MAX_CHUNK_BYTES:
            self._error = TooLarge(f"more than {MAX_BODY // 1024 // 1024} MB (and 1 MB for the lengths of chunks)")
            return 0
        if self._cancelled is not None and self._is_cut_off():
            return 0
        self._body.append(data)
        return len(data)

    def _about_to_send(self, *_: object) -> int:
        """Called when the connection is there, before the first byte of the request."""
        self._is_sent = True
        return pycurl.PREREQFUNC_OK

    def _perform(self) -> None:
        """Perform the exchange. Raises pycurl.error, also if it was cut off, whatever it waited for."""
        multi, curl = self._multi, self._curl
        multi.add_handle(curl)
        while multi.perform()[1]:
            self._wait()
            if self._cancelled is not None and (now := time.monotonic()) >= self._look_at:
                self._look_at = now + _LOOK_SECONDS
                if self._is_cut_off():
                    raise pycurl.error(pycurl.E_ABORTED_BY_CALLBACK, "")
        self.descriptor = curl.getinfo(pycurl.ACTIVESOCKET)
        _, _, failed = multi.info_read()
        multi.remove_handle(curl)
        for _, code, message in failed:
            raise pycurl.error(code, message)

    def _wait(self) -> None:
        """Wait until libcurl has something to do, or `cancelled` is to be asked again."""
        reads, writes, _ = self._multi.fdset()
        arrived = select.poll()
        for descriptor in reads:
            arrived.register(descriptor, select.POLLIN)
        for descriptor in writes:
            arrived.register(descriptor, select.POLLOUT | (select.POLLIN if descriptor in reads else 0))
        most = int(_LOOK_SECONDS * 1000) if reads or writes else _BLIND_MILLISECONDS
        timeout = self._multi.timeout()
        arrived.poll(min(most, timeout) if timeout >= 0 else most)

    def _is_cut_off(self) -> bool:
        """Whether the exchange is to end now, which then raises `_error`, because it was cancelled."""
        try:
            if self._cancelled is None or not self._cancelled():
                return False
        except Exception as error:  # an exception cannot pass through libcurl
            self._error = error
            return True
        now = time.monotonic()
        self._cancelled_at = self._cancelled_at or now
        if self._is_sent and now < self._cancelled_at + self._patience:
            return False
        self._error = Cancelled()
        return True

    def _failure(self, code: int, message: str) -> Exception:
        """Return the exception for libcurl's error."""
        if self._error is not None:
            self._resolving = code == pycurl.E_ABORTED_BY_CALLBACK and not self._sockets and not self._kept
            return self._error
        if code == _TOO_LARGE:
            return TooLarge(f"more than {MAX_HEADERS // 1024} KB of headers, or more than 5,000")
        if code == pycurl.E_OPERATION_TIMEDOUT:
            self._resolving = not self._sockets
            return TimedOut(message)
        if self._kept and code == pycurl.E_COULDNT_CONNECT:
            return Failed("the server closed the connection without sending a response")
        if self._refused is not None and not self._sockets:
            return self._refused
        return Failed(message or pycurl.easy_strerror(code))


def _keep_from_children(descriptor: int, _purpose: int) -> int:
    """Close a socket in programs that this process starts."""
    os.set_inheritable(descriptor, False)
    return pycurl.SOCKOPT_OK
