"""Close connections whose clients do not receive their answers.

The server keeps an answer until its client has received it, however long that takes, and tells nobody. The kernel
knows: it counts what is queued for a connection and what the other side has acknowledged. Linux only; elsewhere nothing
is closed, and a proxy has to do it.
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


@dataclass
class _Reader:
    """A client that has something to receive: the seconds that are left to it, and the bytes that it acknowledged."""

    left: float
    acknowledged: int


class SlowReaders:
    """Watches the connections of this process to its own port.

    A client with something to receive may pause for `seconds`; each byte that it receives gives it 1 /
    `bytes_per_second` more, up to `seconds` in all.
    """

    def __init__(self, port: int, *, seconds: float, bytes_per_second: int) -> None:
        self._port = port
        self._seconds = seconds
        self._rate = bytes_per_second
        # By the connection's inode: the kernel gives descriptors to the next connection at once, but not these.
        self._readers: dict[str, _Reader] = {}
        self._looked = time.monotonic()

    def start(self) -> None:
        """Look at the connections several times in `seconds`, in a thread that ends with the process."""
        if sys.platform.startswith("linux"):
            threading.Thread(target=self._run, name="slow-readers", daemon=True).start()

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
        closed = 0
        for descriptor in _DESCRIPTORS.iterdir():
            # A descriptor may be closed, or given to another connection, at any time: from here on we have our own.
            with contextlib.suppress(OSError):
                inode = str(descriptor.readlink())
                if inode.startswith("socket:"):
                    with socket.socket(fileno=os.dup(int(descriptor.name))) as connection:
                        closed += self._judge(connection, inode, before.get(inode), passed=passed)
        return closed

    def _judge(self, connection: socket.socket, inode: str, reader: _Reader | None, *, passed: float) -> bool:
        """Whether this connection was closed. Raises OSError for a socket that is no connection."""
        if connection.family not in (socket.AF_INET, socket.AF_INET6) or connection.getsockname()[1] != self._port:
            return False
        connection.getpeername()
        if inode in self._readers or not _queued(connection):
            return False
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


def _queued(connection: socket.socket) -> int:
    """Return how many bytes were sent to the client and are not acknowledged, those not yet on their way included."""
    answer = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, struct.pack("i", 0))
    return int(struct.unpack("i", answer)[0])


def _acknowledged(connection: socket.socket) -> int:
    """Return how many bytes the client has acknowledged since it connected."""
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_BYTES)
    return int(struct.unpack_from("Q", info, _ACKNOWLEDGED_AT)[0])
