"""Close connections whose clients do not receive their answers, and those that should be closed and are not.

The server keeps an answer until its client has received it, however long that takes, and tells nobody. The kernel
knows: it counts what is queued for a connection and what the other side has acknowledged. And now and then the server
(hyper) leaves a connection open that it said it would close, if the answer was sent before the body of the request was
complete. Linux only; elsewhere nothing is closed, and a proxy has to do it.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import socket
import struct
import sys
import termios
import threading
import time
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger(__name__)

_DESCRIPTORS = Path("/proc/self/fd")
# Where tcpi_bytes_acked is in the kernel's struct tcp_info, and the length up to its end.
_ACKNOWLEDGED_AT = 120
_INFO_BYTES = _ACKNOWLEDGED_AT + 8
# With this, closing a connection discards what is queued for it; the kernel would keep that for a minute or two.
_DISCARD = struct.pack("ii", 1, 0)
# Connections to be closed that are remembered at a time: more than a web process has.
_MOST_ENDING = 20_000


@dataclass
class _Reader:
    """A client that has something to receive: the seconds that are left to it, and the bytes that it acknowledged."""

    left: float
    acknowledged: int


class Connections:
    """Watches the connections of this process to its own port.

    A client with something to receive may pause for `seconds`; each byte that it receives gives it 1 /
    `bytes_per_second` more, up to `seconds` in all. A connection that was to `end` has time until it is seen for the
    second time with nothing left to send.
    """

    def __init__(self, port: int, *, seconds: float, bytes_per_second: int) -> None:
        self._port = port
        self._seconds = seconds
        self._rate = bytes_per_second
        # By the connection's inode: the kernel gives descriptors to the next connection at once, but not these.
        self._readers: dict[str, _Reader] = {}
        self._looked = time.monotonic()
        # By the client's address, with the inode once the connection was seen.
        self._ending: dict[str, str] = {}
        self._seen: set[str] = set()

    def start(self) -> None:
        """Look at the connections several times in `seconds`, in a thread that ends with the process."""
        if sys.platform.startswith("linux"):
            threading.Thread(target=self._run, name="slow-readers", daemon=True).start()

    def end(self, client: str) -> None:
        """Close the connection of this client (`host:port`) if the server does not. May be called in any thread."""
        if len(self._ending) < _MOST_ENDING:
            self._ending[client] = ""

    def _run(self) -> None:
        while True:
            time.sleep(max(0.25, self._seconds / 5))
            try:
                closed = self.look()
            except Exception:
                # Without this thread, nothing would be closed any more.
                log.exception("slow_readers_failed")
                continue
            if closed:
                log.warning("slow_readers_closed", extra={"count": closed})

    def look(self) -> int:
        """Judge every connection once, and return how many were closed."""
        now = time.monotonic()
        passed, self._looked = now - self._looked, now
        before, self._readers = self._readers, {}
        ending, self._seen = list(self._ending), set()
        closed = 0
        for descriptor in _DESCRIPTORS.iterdir():
            # A descriptor may be closed, or given to another connection, at any time: from here on we have our own.
            with contextlib.suppress(OSError):
                inode = str(descriptor.readlink())
                if inode.startswith("socket:"):
                    with socket.socket(fileno=os.dup(int(descriptor.name))) as connection:
                        closed += self._judge(connection, inode, before.get(inode), passed=passed)
        for client in ending:
            if client not in self._seen:
                del self._ending[client]
        return closed

    def _judge(self, connection: socket.socket, inode: str, reader: _Reader | None, *, passed: float) -> bool:
        """Whether this connection was closed for its slow client. Raises OSError for a socket that is no connection."""
        if connection.family not in (socket.AF_INET, socket.AF_INET6) or connection.getsockname()[1] != self._port:
            return False
        client = _client(connection)
        if inode in self._readers:
            return False
        if not _queued(connection):
            self._end(connection, client, inode)
            return False
        if client in self._ending:
            self._seen.add(client)
        acknowledged = _acknowledged(connection)
        if reader is None:
            self._readers[inode] = _Reader(self._seconds, acknowledged)
            return False
        received = (acknowledged - reader.acknowledged) / self._rate
        left = min(reader.left - passed + received, self._seconds)
        if left > 0:
            self._readers[inode] = _Reader(left, acknowledged)
            return False
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _DISCARD)
        connection.shutdown(socket.SHUT_RDWR)
        return True

    def _end(self, connection: socket.socket, client: str, inode: str) -> None:
        """Close the connection if it was to end, was so when it was last looked at, and is still there."""
        seen = self._ending.get(client)
        if seen is not None:
            self._seen.add(client)
            self._ending[client] = inode
            if seen == inode:
                connection.shutdown(socket.SHUT_RDWR)


def _client(connection: socket.socket) -> str:
    """Return the client's address as the server writes it. Raises OSError without a client."""
    host, port, *_ = connection.getpeername()
    return f"[{host}]:{port}" if connection.family == socket.AF_INET6 else f"{host}:{port}"


def _queued(connection: socket.socket) -> int:
    """Return how many bytes were sent to the client and are not acknowledged, those not yet on their way included."""
    answer = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, struct.pack("i", 0))
    return int(struct.unpack("i", answer)[0])


def _acknowledged(connection: socket.socket) -> int:
    """Return how many bytes the client has acknowledged since it connected."""
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_BYTES)
    return int(struct.unpack_from("Q", info, _ACKNOWLEDGED_AT)[0])
