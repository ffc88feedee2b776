"""A helper process, which can be killed, for work that would hold the interpreter's lock of this process for long.

It is asked one request at a time, with a short queue. It reads a whole request from stdin before it does anything, and
answers lines on stdout.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Callers that wait while another one is served.
MOST_WAITING = 4
_ROOT = Path(__file__).resolve().parents[1]


class HelperBusy(Exception):
    """Too many requests wait for the helper process; nothing was done."""


class HelperProcess:
    """The process that runs a module. It is started when it is first needed, and again after it was killed."""

    def __init__(self, module: str, *arguments: str) -> None:
        self._words = [sys.executable, "-m", module, *arguments]
        self.forget()
        os.register_at_fork(after_in_child=self.forget)

    def forget(self) -> None:
        """Begin anew, without a process. After a fork, the process and its pipes are the parent's."""
        self._lock = threading.Lock()
        self._places = threading.BoundedSemaphore(1 + MOST_WAITING)
        self._process: subprocess.Popen[bytes] | None = None

    @contextmanager
    def asked(self, request: bytes, *, wait_seconds: float, longest_seconds: float) -> Iterator[Lines]:
        """Send the request, and yield the lines of the answer. The process is killed if the block raises.

        Others that are served are waited for. Raises HelperBusy.
        """
        if not self._places.acquire(blocking=False):
            raise HelperBusy
        try:
            if not self._lock.acquire(timeout=wait_seconds):
                raise HelperBusy
            try:
                process = self._running()
                lines = Lines(process, until=time.monotonic() + longest_seconds)
                _send(process, request)
                yield lines
            except BaseException:
                self._kill()
                raise
            finally:
                self._lock.release()
        finally:
            self._places.release()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self._kill()
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                self._words,
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


class Lines:
    """The lines that the process answers."""

    def __init__(self, process: subprocess.Popen[bytes], *, until: float) -> None:
        self._descriptor = process.stdout.fileno() if process.stdout else -1
        self._until = until
        self._text: list[bytes] = []
        self.late = False

    def next(self) -> bytes | None:
        """Return the next line; None if the process has died, or did not answer in time: then it is `late`."""
        while not self._text or b"\n" not in self._text[-1]:
            left = self._until - time.monotonic()
            poll = select.poll()
            poll.register(self._descriptor, select.POLLIN)
            if left <= 0 or not poll.poll(left * 1000):
                self.late = True
                return None
            piece = os.read(self._descriptor, 1 << 20)
            if not piece:
                return None
            self._text.append(piece)
        line, _, rest = b"".join(self._text).partition(b"\n")
        self._text = [rest] if rest else []
        return line
