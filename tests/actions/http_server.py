"""A real HTTP server on a free port of 127.0.0.1, which tells what it was asked."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Server:
    """Paths: /echo, /text, /status/<n>, /redirect?to=<url>, /redirect307?to=<url>, /loop, /drip, /bomb."""

    port: int
    asked: list[dict[str, Any]] = field(default_factory=list)
    done: threading.Event = field(default_factory=threading.Event)

    def url(self, path: str, *, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"


@contextmanager
def serving() -> Iterator[Server]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    told = Server(port=server.server_port)
    server.told = told  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield told
    finally:
        told.done.set()
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)


class _Handler(BaseHTTPRequestHandler):
    def _answer(self) -> None:
        told: Server = self.server.told  # type: ignore[attr-defined]
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        headers = {name.lower(): value for name, value in self.headers.items()}
        asked = {"method": self.command, "path": self.path, "headers": headers, "body": body}
        told.asked.append(asked)
        path, _, query = self.path.partition("?")
        to = query.removeprefix("to=") if query.startswith("to=") else ""
        if path == "/drip":
            self._drip(told)
        elif path == "/bomb":
            self._send(200, gzip.compress(b"0" * 30_000_000), {"Content-Encoding": "gzip"})
        elif path == "/text":
            self._send(200, "grüße".encode("latin-1"), {"Content-Type": "text/plain; charset=latin-1"})
        elif path.startswith("/status/"):
            self._send(int(path.rsplit("/", 1)[1]), b"the reason", {"Retry-After": headers.get("x-retry-after", "")})
        elif path in ("/redirect", "/redirect307", "/loop"):
            self._send(307 if path.endswith("307") else 302, b"", {"Location": to or "/loop"})
        else:
            self._send(200, json.dumps(asked).encode(), {"Content-Type": "application/json"})

    do_GET = do_POST = do_PUT = do_DELETE = _answer  # noqa: N815  # the names that http.server looks for

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if value:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _drip(self, told: Server) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        try:
            while not told.done.wait(0.05):
                self.wfile.write(b"x")
        except OSError:
            pass  # the client gave up, which is what is tested

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # http.server's name
        pass
