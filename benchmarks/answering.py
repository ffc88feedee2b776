"""An HTTP server, in a process of its own, that answers after a fixed delay or never, and counts what comes in."""

from __future__ import annotations

import asyncio
import math
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

from project.env import BASE_DIR

_BODY = b'{"ok": true}'
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(_BODY) + _BODY

# The delay of a server that accepts connections and requests, and never answers.
NEVER = math.inf


class Asked(NamedTuple):
    """Requests and peak of connections since the last time, and the connections that are open now."""

    requests: int
    peak: int
    open: int


@dataclass
class Counted:
    """Requests so far, connections now, and the peak of connections."""

    requests: int = 0
    connections: int = 0
    peak: int = 0

    def line(self) -> str:
        """The counts as the line that the server prints."""
        return f"{self.requests} {self.peak} {self.connections}\n"


class _Connection(asyncio.Protocol):
    def __init__(self, counted: Counted, seconds: float) -> None:
        self.counted = counted
        self.seconds = seconds
        self.rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - what create_server makes
        self.transport = transport
        self.counted.connections += 1
        self.counted.peak = max(self.counted.peak, self.counted.connections)

    def connection_lost(self, exc: Exception | None) -> None:
        self.counted.connections -= 1

    def data_received(self, data: bytes) -> None:
        """Parse requests without a body, one after the other."""
        self.rest += data
        while b"\r\n\r\n" in self.rest:
            _, _, self.rest = self.rest.partition(b"\r\n\r\n")
            self.counted.requests += 1
            if self.seconds == NEVER:
                continue
            asyncio.get_running_loop().call_later(self.seconds, self._answer)

    def _answer(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(_ANSWER)


async def _serve(seconds: float) -> None:
    """Print the port; then, for each line read from stdin, the counts since the line before."""
    loop = asyncio.get_running_loop()
    counted = Counted()
    server = await loop.create_server(lambda: _Connection(counted, seconds), "127.0.0.1", 0, backlog=1000)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    while await loop.run_in_executor(None, sys.stdin.readline):
        sys.stdout.write(counted.line())
        sys.stdout.flush()
        counted.requests, counted.peak = 0, counted.connections


class Server:
    """The handle of the server's process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.url = f"http://127.0.0.1:{int(self._read())}/"

    @property
    def pid(self) -> int:
        """The server's process."""
        return self._process.pid

    def asked(self) -> Asked:
        """Return the counts since the last call."""
        assert self._process.stdin is not None  # noqa: S101 - both are pipes
        self._process.stdin.write("?\n")
        self._process.stdin.flush()
        return Asked(*(int(word) for word in self._read().split()))

    def _read(self) -> str:
        assert self._process.stdout is not None  # noqa: S101 - both are pipes
        return self._process.stdout.readline()


@contextmanager
def server(seconds: float) -> Iterator[Server]:
    """Run a server that answers after `seconds`, or NEVER, on a free port of 127.0.0.1, until the block ends."""
    words = [sys.executable, "-W", "ignore", "-m", "benchmarks.answering", str(seconds)]
    with subprocess.Popen(  # noqa: S603 - our own words
        words, cwd=BASE_DIR, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield Server(process)
        finally:
            process.terminate()


if __name__ == "__main__":
    asyncio.run(_serve(float(sys.argv[1])))
