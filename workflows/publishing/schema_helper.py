"""Validate values by dear schemas in a helper process, which can be killed: one at a time, with a short queue.

In the web process a validation would hold the interpreter's lock, and with it every other request, until its end.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
import threading
import time
from pathlib import Path

import orjson

from workflows.definitions.json_schema import Fault

# Processor time of one validation; its process has workflows.publishing.schema_process.MEGABYTES of memory.
SECONDS = 2.0
# The longest by the clock, for a process that gets no processor or does not answer.
LONGEST_SECONDS = 20.0
# Callers that wait while another one is served, and for how long.
MOST_WAITING = 4
WAIT_SECONDS = 5.0
_ROOT = Path(__file__).resolve().parents[2]


class HelperBusy(Exception):
    """Too many values wait for the helper process; nothing was validated."""


class TooDear(Exception):
    """The validation of one value took more than it may."""


class Helper:
    """The helper process of this process. It is started when it is first needed, and again after it was killed."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin anew, without a process. After a fork, the process and its pipes are the parent's."""
        self._lock = threading.Lock()
        self._places = threading.BoundedSemaphore(1 + MOST_WAITING)
        self._process: subprocess.Popen[bytes] | None = None

    def faults(self, schema: bytes, value: bytes) -> list[Fault] | None:
        """Return the faults of a value: none if it matches, None if it does not and the faults took too much.

        Raises TooDear and HelperBusy.
        """
        if not self._places.acquire(blocking=False):
            raise HelperBusy
        try:
            if not self._lock.acquire(timeout=WAIT_SECONDS):
                raise HelperBusy
            try:
                return self._ask(schema, value)
            finally:
                self._lock.release()
        finally:
            self._places.release()

    def _ask(self, schema: bytes, value: bytes) -> list[Fault] | None:
        process = self._running()
        lines = _Lines(process, until=time.monotonic() + LONGEST_SECONDS)
        try:
            _send(process, len(schema).to_bytes(8) + len(value).to_bytes(8) + schema + value)
            verdict = lines.next()
            if verdict == b"+":
                return []
            answer = lines.next() if verdict == b"-" else None
        except BaseException:
            self._kill()
            raise
        if verdict is None:
            self._kill()
            raise TooDear
        if answer is None:
            self._kill()
            return None
        return [Fault(*each) for each in orjson.loads(answer)]

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self._kill()
            words = [sys.executable, "-m", "workflows.publishing.schema_process", str(SECONDS)]
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                words,
                cwd=_ROOT,
                env={},  # none of our secrets
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                bufsize=0,
            )
        return self._process

    def _kill(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()


def _send(process: subprocess.Popen[bytes], request: bytes) -> None:
    # The process reads its whole request before it does anything else, and so takes it; or it has died.
    view = memoryview(request)
    try:
        while view and process.stdin is not None:
            view = view[process.stdin.write(view) :]
    except BrokenPipeError:
        return


class _Lines:
    """The lines that the process answers; None when it has died, or did not answer until the deadline."""

    def __init__(self, process: subprocess.Popen[bytes], *, until: float) -> None:
        self._descriptor = process.stdout.fileno() if process.stdout else -1
        self._until = until
        self._text = b""

    def next(self) -> bytes | None:
        while b"\n" not in self._text:
            left = self._until - time.monotonic()
            poll = select.poll()
            poll.register(self._descriptor, select.POLLIN)
            if left <= 0 or not poll.poll(left * 1000):
                return None
            piece = os.read(self._descriptor, 65536)
            if not piece:
                return None
            self._text += piece
        line, _, self._text = self._text.partition(b"\n")
        return line


helper = Helper()
os.register_at_fork(after_in_child=helper.forget)
