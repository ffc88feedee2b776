"""Open a connection for a protocol other than HTTP, under the same rules: to an address that was checked, and no other.

A library that would look up and dial by itself gets the connected socket instead.
"""

from __future__ import annotations

import os
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from ipaddress import ip_address
from typing import Any, NamedTuple

from actions.base import Cancelled, Permanent, Retryable
from actions.network import addresses, client, destinations
from actions.network.addresses import Blocked

# How often a wait looks whether the attempt was cancelled.
_LOOK_SECONDS = 0.25
_Found = list[tuple[Any, ...]]


class Limit(NamedTuple):
    """When a call ends at the latest, on the steady clock, and what says that it was cancelled."""

    deadline: float
    cancelled: Callable[[], bool]

    @classmethod
    def of(cls, timeout_seconds: float, cancelled: Callable[[], bool]) -> Limit:
        return cls(time.monotonic() + timeout_seconds, cancelled)

    def wait_seconds(self, where: str) -> float:
        """Return how long to wait before the next look. Raises Retryable of kind `timeout`, and Cancelled."""
        if self.cancelled():
            raise Cancelled
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise Retryable(f"{where} did not answer in time", kind="timeout")
        return min(left, _LOOK_SECONDS)


def dial(host: str, port: int, *, scheme: str, limit: Limit) -> socket.socket:
    """Return a socket that is connected to the host, which is looked up once.

    `scheme` is that of the protocol, by which credentials say where they may be sent. Raises Permanent of kind
    `blocked` for an address that is not public, or a place that a credential of the attempt may not be sent to;
    Retryable of kind `connection` or `timeout`; and Cancelled.
    """
    where = f"{host}:{port}"
    destinations.check_place(scheme, host.lower(), port)
    last: OSError | None = None
    for family, kind, protocol, _, address in _looked_up(host, port, limit):
        try:
            addresses.check(host, ip_address(address[0]), port, allowed=client.allowed())
        except Blocked as error:
            raise Permanent(str(error), kind="blocked") from None
        try:
            return _connected(socket.socket(family, kind, protocol), address, where, limit)
        except OSError as error:
            last = error
    raise Retryable(f"{where} cannot be reached: {last.strerror if last else 'it has no address'}", kind="connection")


def _looked_up(host: str, port: int, limit: Limit) -> _Found:
    """Return the addresses of a host. It cannot be stopped, so it is made in a thread that may be left behind."""
    found: list[_Found | OSError | UnicodeError] = []

    def look_up() -> None:
        try:
            found.append(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            found.append(error)

    thread = threading.Thread(target=look_up, name="name-look-up", daemon=True)
    thread.start()
    while not found:
        thread.join(limit.wait_seconds(f"the look-up of {host}"))
    if isinstance(found[0], UnicodeError):
        raise Permanent(f"{host[:100]!r} is no host name", kind="url")
    if isinstance(found[0], OSError):
        raise Retryable(f"{host} cannot be looked up: {found[0].strerror}", kind="connection")
    return found[0]


def _connected(opened: socket.socket, address: Any, where: str, limit: Limit) -> socket.socket:
    """Connect, and return the socket as one that blocks; it is closed if that fails."""
    try:
        _connect(opened, address, where, limit)
    except BaseException:
        opened.close()
        raise
    return opened


def _connect(opened: socket.socket, address: Any, where: str, limit: Limit) -> None:
    opened.setblocking(False)
    opened.connect_ex(address)
    waiting = select.poll()
    waiting.register(opened, select.POLLOUT)
    while not waiting.poll(limit.wait_seconds(where) * 1000):
        pass
    code = opened.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code:
        raise OSError(code, os.strerror(code))
    opened.setblocking(True)


class Watch:
    """Ends a conversation that takes too long, or whose attempt was cancelled, by shutting down its socket."""

    def __init__(self, opened: socket.socket, limit: Limit) -> None:
        # A descriptor of its own: TLS takes the socket's away, and a number that is closed may become another's.
        self._opened, self._limit = opened.dup(), limit
        self._over = threading.Event()
        self._committed = False
        # Why the socket was shut down, for whoever gets the error that follows.
        self.reason: Retryable | Cancelled | None = None

    def commit(self) -> None:
        """From now on only the time limit ends it: what is being sent would be done, and nobody would know."""
        self._committed = True

    def run(self, where: str) -> None:
        """Look until it is over. For the watch's own thread."""
        while not self._over.wait(_LOOK_SECONDS):
            try:
                self._limit._replace(cancelled=self._is_cancelled).wait_seconds(where)
            except (Retryable, Cancelled) as reason:
                self.reason = reason
                with suppress(OSError):  # the other side was faster
                    self._opened.shutdown(socket.SHUT_RDWR)
                return

    def _is_cancelled(self) -> bool:
        return not self._committed and self._limit.cancelled()

    def end(self) -> None:
        """Stop looking."""
        self._over.set()

    def close(self) -> None:
        """Close the watch's descriptor, when its thread has ended."""
        self._opened.close()


@contextmanager
def watched(opened: socket.socket, where: str, limit: Limit) -> Iterator[Watch]:
    """Inside the block, the socket is shut down at the limit, and when the attempt is cancelled."""
    watch = Watch(opened, limit)
    thread = threading.Thread(target=watch.run, args=(where,), name="socket-watch", daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        watch.end()
        thread.join()
        watch.close()
