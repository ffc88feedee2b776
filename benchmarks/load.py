"""A small HTTP load tester with persistent connections, each of which sends a request when it has the last response.

`python -m benchmarks.load PORT CONNECTIONS COUNT PATH`, with the token in LOAD_TOKEN, waits for a line, posts COUNT
starts of W3, and prints JSON: the count of each status, seconds, its own CPU seconds, and the sorted latencies.
"""

from __future__ import annotations

import json
import os
import selectors
import socket
import sys
import time
from collections import Counter
from collections.abc import Iterator

from benchmarks import work


def main(*, port: int, connections: int, count: int, path: str, token: str) -> None:
    """Print `ready`, wait for a line, send the requests, and print the result."""
    requests = _requests(count, path=path, token=token)
    selector = selectors.DefaultSelector()
    sockets = [socket.create_connection(("127.0.0.1", port)) for _ in range(connections)]
    for one in sockets:
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        selector.register(one, selectors.EVENT_READ)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    began, cpu = time.perf_counter(), time.process_time()
    statuses, latencies = _drive(selector, sockets, requests)
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    result = {"statuses": statuses, "seconds": seconds, "cpu_seconds": cpu, "latencies": sorted(latencies)}
    sys.stdout.write(json.dumps(result) + "\n")


def _drive(
    selector: selectors.BaseSelector, sockets: list[socket.socket], requests: Iterator[bytes]
) -> tuple[Counter[str], list[float]]:
    statuses: Counter[str] = Counter()
    latencies = []
    sent: dict[int, float] = {}
    for one in sockets:
        one.sendall(next(requests))
        sent[one.fileno()] = time.perf_counter()
    while sent:
        for key, _ in selector.select(10):
            number = key.fd
            # A response has a few hundred bytes and arrives in one piece, or split into head and body.
            answer = _whole(key.fileobj)  # type: ignore[arg-type]  # we registered sockets
            now = time.perf_counter()
            latencies.append(now - sent.pop(number))
            statuses[answer[9:12].decode()] += 1
            following = next(requests, None)
            if following is None:
                selector.unregister(key.fileobj)
                continue
            key.fileobj.sendall(following)  # type: ignore[union-attr]  # we registered sockets
            sent[number] = now
    return statuses, latencies


def _whole(one: socket.socket) -> bytes:
    """Read one whole response. Raises SystemExit if the server closes the connection."""
    found = b""
    while True:
        piece = one.recv(65536)
        if not piece:
            raise SystemExit(f"the server closed the connection after {found!r}")
        found += piece
        head, separator, body = found.partition(b"\r\n\r\n")
        if not separator:
            continue
        lower = head.lower()
        if b"transfer-encoding: chunked" in lower:
            if body.endswith(b"0\r\n\r\n"):
                return found
        elif len(body) >= int(lower.partition(b"content-length:")[2].partition(b"\r\n")[0] or 0):
            return found


def _requests(count: int, *, path: str, token: str) -> Iterator[bytes]:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
        "Content-Type: application/json\r\nContent-Length: "
    ).encode()
    mine = f"{os.getpid()}-{time.time_ns()}"
    made = []
    for number in range(count):
        body = json.dumps({"input": work.given(number), "idempotency_key": f"{mine}-{number}"}).encode()
        made.append(head + str(len(body)).encode() + b"\r\n\r\n" + body)
    return iter(made)


if __name__ == "__main__":
    main(
        port=int(sys.argv[1]),
        connections=int(sys.argv[2]),
        count=int(sys.argv[3]),
        path=sys.argv[4],
        token=os.environ["LOAD_TOKEN"],
    )
