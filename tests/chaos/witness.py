"""The witness: an HTTP server outside the engine that counts the effects which really happened."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import UUID

from tests.chaos.size import SEED

Effect = tuple[str, str]
SILENT = "/silent"


class Witness:
    """Counts the requests for each effect, (run, step), and their idempotency keys.

    It fails as real servers do: one in twenty first requests gets an error before its effect, and one in twenty after
    its effect. A receiver that honours keys would have one effect per key, one that ignores them one per request.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self._lock = threading.Lock()
        self._requests: Counter[Effect] = Counter()
        self._done: Counter[Effect] = Counter()
        self._keys: defaultdict[Effect, set[str]] = defaultdict(set)

    def url(self, step: str) -> str:
        """Return the URL for the config of the step with this id."""
        return f"http://127.0.0.1:{self.port}/effect/{{{{ run.id }}}}/{step}"

    def silent_url(self) -> str:
        """Return a URL at which a request is accepted and never answered."""
        return f"http://127.0.0.1:{self.port}{SILENT}"

    def take(self, effect: Effect, key: str) -> int:
        """Count a request, and return the HTTP status of its response."""
        with self._lock:
            self._requests[effect] += 1
            fate = _fate(effect) if self._requests[effect] == 1 else 1.0
            if fate < 0.05:
                return 503
            self._done[effect] += 1
            self._keys[effect].add(key)
        return 500 if fate < 0.1 else 200

    def done(self, runs: Iterable[UUID], step: str) -> list[int]:
        """Return how often each of these runs had this effect at a receiver that ignores keys."""
        with self._lock:
            return [self._done[str(run_id), step] for run_id in runs]

    def repeated(self, runs: Iterable[UUID]) -> tuple[int, int]:
        """Count the repeated effects of these runs: at a receiver that ignores keys, and at one that honours them."""
        wanted = {str(run_id) for run_id in runs}
        with self._lock:
            naive = sum(count - 1 for effect, count in self._done.items() if effect[0] in wanted)
            keyed = sum(len(keys) - 1 for effect, keys in self._keys.items() if effect[0] in wanted)
        return naive, keyed

    def missing(self, effects: Iterable[Effect]) -> int:
        """Count the effects that never happened."""
        with self._lock:
            return sum(1 for effect in effects if not self._done[effect])


@contextmanager
def watching() -> Iterator[Witness]:
    """Run a witness on a free port of the loopback interface."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.witness = Witness(server.server_port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server.witness
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512
    witness: Witness

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore broken connections: the tests kill clients in the middle of a request."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        """Take a request, and never answer it."""
        time.sleep(3600)

    def do_POST(self) -> None:
        """Handle a request: half of its duration passes before the effect, half after it."""
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        _, _, run_id, step = self.path.split("/", 3)
        pause = 0.01 + 0.05 * _fate((run_id, f"{step} takes"))
        time.sleep(pause)
        status = self.server.witness.take((run_id, step), self.headers.get("Idempotency-Key", ""))
        time.sleep(pause)
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # http.server's name
        """Log nothing: the counts are enough."""


def _fate(effect: Effect) -> float:
    """Return a random number from 0 up to 1, the same for the same seed, run and step."""
    return int.from_bytes(hashlib.sha256(f"{SEED}/{effect[0]}/{effect[1]}".encode()).digest()[:6], "big") / 2**48
