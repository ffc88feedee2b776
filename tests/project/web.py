"""Real web processes, and clients that speak to them byte by byte."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from project.env import BASE_DIR
from project.stack import apps, ports
from project.stack.plan import Plan
from tests.waiting import wait_for


class WebServer:
    """Granian as `make up` starts it, with another application if one is named."""

    def __init__(self, home: Path, *, application: str = "project.rsgi:application", env: Mapping[str, str]) -> None:
        self.port = ports.free()
        plan = Plan(
            home,
            self.port,
            flower_port=self.port,
            workers=1,
            web_processes=1,
            database_url=None,
            redis_url=None,
            header_seconds=int(env.get("REQUEST_HEADER_SECONDS", "20")),
        )
        *words, _ = apps.web(plan).argv
        self.log = home / "web.log"
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [*words, application],
                cwd=BASE_DIR,
                env={**os.environ, **env},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.command = [sys.executable, *words]

    def wait_ready(self) -> WebServer:
        """Returns once it listens."""
        wait_for(lambda: ports.answers(self.port) or self.process.poll() is not None, what="the web server")
        assert self.process.poll() is None, self.log.read_text()
        return self

    def stop(self) -> int:
        """Stop it in order, and return its exit status."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(60)
        finally:
            self.kill()

    def kill(self) -> None:
        """End it and its web processes at once, if they are there."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(60)

    def memory_megabytes(self) -> float:
        """What its processes hold together."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        status = [Path(f"/proc/{pid}/status").read_text() for pid in children]
        return sum(int(re.findall(r"VmRSS:\s+(\d+)", text)[0]) for text in status) / 1024


@dataclass(frozen=True)
class Answered:
    """An answer as it came: headers have small letters, those that came twice are joined."""

    status: int
    headers: dict[str, str]
    body: bytes
    closed: bool

    def json(self) -> Any:
        """The body's value."""
        return json.loads(self.body)


class Connection:
    """A connection on which a test sends what it likes."""

    def __init__(self, server: WebServer, *, receive_bytes: int | None = None) -> None:
        self.socket = socket.socket()
        if receive_bytes is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.socket.settimeout(60)
        self.socket.connect(("127.0.0.1", server.port))
        self._left = b""

    def __del__(self) -> None:
        self.socket.close()

    def send(self, data: bytes | str) -> Connection:
        """Send these bytes."""
        self.socket.sendall(data.encode() if isinstance(data, str) else data)
        return self

    def head(
        self, method: str, path: str, given: Mapping[str, str] | None = None, *, length: int | None = None, **more: str
    ) -> Connection:
        """Send the head of a request, with headers from a mapping and others as keywords."""
        headers = {**(given or {}), **more}
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        lines += [] if length is None else [f"Content-Length: {length}"]
        return self.send("\r\n".join(lines) + "\r\n\r\n")

    def answer(self, *, method: str = "GET") -> Answered:
        """The next answer, 1xx left out. The rest of what came stays for the next one."""
        status, headers = self._head()
        while status < 200:
            status, headers = self._head()
        body = b""
        if method == "HEAD" or status in (204, 304):
            pass
        elif "content-length" in headers:
            body = self._take(int(headers["content-length"]))
        else:
            body = self._chunks()
        return Answered(status, headers, body, closed="close" in headers.get("connection", ""))

    def interim(self) -> int:
        """The status of the next head, which may be 100."""
        return self._head()[0]

    def ended(self) -> bool:
        """Whether the server closed the connection; waits for that."""
        try:
            return self._left == b"" and self.socket.recv(1) == b""
        except ConnectionError:
            return True

    def close(self) -> None:
        """Go away, at once."""
        self.socket.close()

    def _head(self) -> tuple[int, dict[str, str]]:
        while b"\r\n\r\n" not in self._left:
            self._more()
        head, _, self._left = self._left.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers: dict[str, str] = {}
        for line in lines:
            name, _, value = line.partition(": ")
            headers[name.lower()] = f"{headers[name.lower()]}, {value}" if name.lower() in headers else value
        return int(first.split(" ")[1]), headers

    def _chunks(self) -> bytes:
        whole = b""
        while True:
            while b"\r\n" not in self._left:
                self._more()
            size, _, self._left = self._left.partition(b"\r\n")
            piece = self._take(int(size, 16) + 2)[:-2]
            if not piece:
                return whole
            whole += piece

    def _take(self, count: int) -> bytes:
        while len(self._left) < count:
            self._more()
        taken, self._left = self._left[:count], self._left[count:]
        return taken

    def _more(self) -> None:
        piece = self.socket.recv(65536)
        if not piece:
            raise ConnectionError(f"the server closed the connection behind {self._left[:200]!r}")
        self._left += piece


def timed(server: WebServer, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[Answered, float]:
    """The answer to a whole request on a connection of its own, and the seconds that it took."""
    began = time.monotonic()
    connection = Connection(server)
    connection.head(method, path, headers, length=len(body) if body else None).send(body)
    answer = connection.answer(method=method)
    connection.close()
    return answer, time.monotonic() - began
