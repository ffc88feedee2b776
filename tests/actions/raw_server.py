"""A server that speaks the bytes of a script, for what an honest HTTP server does not do, and counts connections."""

from __future__ import annotations

import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass
class Server:
    """`requests` are those that came, whole, in their order; `accepted` and `ended` count connections."""

    port: int
    host: str = "127.0.0.1"
    scheme: str = "http"
    requests: list[bytes] = field(default_factory=list)
    accepted: int = 0
    ended: int = 0
    over: threading.Event = field(default_factory=threading.Event)

    def url(self, path: str = "/", *, host: str = "") -> str:
        return f"{self.scheme}://{host or self.host}:{self.port}{path}"


class Peer:
    """One connection: `number` counts from 1."""

    def __init__(self, server: Server, connection: socket.socket, number: int) -> None:
        self.server = server
        self.number = number
        self._connection = connection

    def read(self) -> bytes:
        """Read a request with its body, and note it; b"" if the client closed the connection."""
        data = b""
        while b"\r\n\r\n" not in data:
            more = self._connection.recv(65536)
            if not more:
                return b""
            data += more
        head, _, body = data.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        while length and len(body) < int(length[1]):
            body += self._connection.recv(65536)
        whole = head + b"\r\n\r\n" + body
        self.server.requests.append(whole)
        return whole

    def send(self, data: bytes) -> None:
        self._connection.sendall(data)


Script = Callable[[Peer], None]


def answering(data: bytes) -> Script:
    """A script that answers each request with these bytes, and keeps the connection open."""

    def script(peer: Peer) -> None:
        while peer.read():
            peer.send(data)

    return script


def once(data: bytes) -> Script:
    """A script that answers one request with these bytes, and closes the connection."""

    def script(peer: Peer) -> None:
        peer.read()
        peer.send(data)

    return script


@contextmanager
def raw(script: Script, *, host: str = "127.0.0.1", context: ssl.SSLContext | None = None) -> Iterator[Server]:
    """Run the script for each connection, in a thread of its own, on a free port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family, backlog=100) as listener:
        server = Server(listener.getsockname()[1], host=f"[{host}]" if ":" in host else host)
        server.scheme = "http" if context is None else "https"
        thread = threading.Thread(target=_accept, args=(listener, server, script, context), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.over.set()
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(timeout=5)


def _accept(listener: socket.socket, server: Server, script: Script, context: ssl.SSLContext | None) -> None:
    while not server.over.is_set():
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        server.accepted += 1
        threading.Thread(target=_serve, args=(server, connection, script, context), daemon=True).start()


def _serve(server: Server, connection: socket.socket, script: Script, context: ssl.SSLContext | None) -> None:
    peer_number = server.accepted
    with connection:
        try:
            if context is not None:
                with context.wrap_socket(connection, server_side=True) as secured:
                    script(Peer(server, secured, peer_number))
            else:
                script(Peer(server, connection, peer_number))
        except OSError:
            pass  # the client gave up
    server.ended += 1
