"""An HTTP server outside the engine that counts what was really done to the world."""

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


class Witness:
    """Who asked for which effect, (run, step), under which key.

    It is as bad as servers are: one in twenty first requests is refused before its effect, one in twenty has its
    effect and an answer that says otherwise. A receiver that honours keys does one effect for each key, one that does
    not does one for each request.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self._lock = threading.Lock()
        self._requests: Counter[Effect] = Counter()
        self._done: Counter[Effect] = Counter()
        self._keys: defaultdict[Effect, set[str]] = defaultdict(set)

    def url(self, step: str) -> str:
        """What a step of this id puts into its config."""
        return f"http://127.0.0.1:{self.port}/effect/{{{{ run.id }}}}/{step}"

    def take(self, effect: Effect, key: str) -> int:
        """The status to answer."""
        with self._lock:
            self._requests[effect] += 1
            fate = _fate(effect) if self._requests[effect] == 1 else 1.0
            if fate < 0.05:
                return 503
            self._done[effect] += 1
            self._keys[effect].add(key)
        return 500 if fate < 0.1 else 200

    def done(self, runs: Iterable[UUID], step: str) -> list[int]:
        """How often each of these runs had this effect at a receiver that looks at no key."""
        with self._lock:
            return [self._done[str(run_id), step] for run_id in runs]

    def repeated(self, runs: Iterable[UUID]) -> tuple[int, int]:
        """Effects of these runs beyond the first: at a receiver without keys, and at one that honours them."""
        wanted = {str(run_id) for run_id in runs}
        with self._lock:
            naive = sum(count - 1 for effect, count in self._done.items() if effect[0] in wanted)
            keyed = sum(len(keys) - 1 for effect, keys in self._keys.items() if effect[0] in wanted)
        return naive, keyed

    def missing(self, effects: Iterable[Effect]) -> int:
        """How many of these effects never were."""
        with self._lock:
            return sum(1 for effect in effects if not self._done[effect])


@contextmanager
def watching() -> Iterator[Witness]:
    """A witness on a free port of the loopback."""
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
        """A client that was killed in the middle is what this is about."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_POST(self) -> None:
        """Half of the time of an exchange passes before the effect, half after it."""
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
        """Nothing: the tally is the log."""


def _fate(effect: Effect) -> float:
    """From 0 up to 1, the same for the same seed, run and step."""
    return int.from_bytes(hashlib.sha256(f"{SEED}/{effect[0]}/{effect[1]}".encode()).digest()[:6], "big") / 2**48
