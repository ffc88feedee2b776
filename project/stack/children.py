"""Child processes: each in a group of its own, watched, started again when it dies, and dead when we are."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from project.stack.errors import StackError

_PR_SET_PDEATHSIG = 1
_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 30.0
# A child that lived so long died of something new: its next pause is the first again.
_SETTLED_SECONDS = 60.0
_LEFTOVER_SECONDS = 15.0
_LOG_BYTES = 10 * 1024 * 1024
# In the environment of every child: the next start finds by it what a killed supervisor left behind.
MARK = "STEPWISE_SUPERVISED"


@dataclass(frozen=True)
class Command:
    """What to run. `stop` asks it to end; after `patience_seconds` it is killed."""

    name: str
    argv: tuple[str, ...]
    log: Path
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None
    stop: signal.Signals = signal.SIGTERM
    patience_seconds: float = 30.0


class Child:
    """One process of a Command, and how long to wait before it is started again."""

    def __init__(self, command: Command) -> None:
        self.command = command
        self.pause = _FIRST_PAUSE_SECONDS
        self.due: float | None = None
        self._start()

    def _start(self) -> None:
        _rotate(self.command.log)
        with self.command.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command.argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.command.cwd,
                env={**os.environ, **self.command.env},
                # Not our terminal's session: only the supervisor gets its Ctrl-C.
                start_new_session=True,
                # The supervisor has one thread, so code between fork and exec is safe.
                preexec_fn=_die_with_parent(self.command.stop),  # noqa: PLW1509
            )
        self.started = time.monotonic()
        self.due = None

    def died(self) -> str | None:
        """How it ended, or None while it lives."""
        status = self.process.poll()
        if status is None:
            return None
        return f"killed by {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"

    def tend(self) -> str | None:
        """Start it again when its pause is over; answer the line to print when it has just died."""
        ended = self.died()
        if ended is None:
            return None
        if self.due is None:
            # What it forked may live on, and hold its port.
            self._signal(signal.SIGKILL)
            if time.monotonic() - self.started > _SETTLED_SECONDS:
                self.pause = _FIRST_PAUSE_SECONDS
            self.due = time.monotonic() + self.pause
            line = f"{self.command.name} died ({ended}), see {self.command.log}; again in {self.pause:.0f} s"
            self.pause = min(self.pause * 2, _LONGEST_PAUSE_SECONDS)
            return line
        if time.monotonic() >= self.due:
            self._start()
        return None

    def ask_to_stop(self) -> None:
        """Send its stop signal to the process alone: it ends its own children in its own order."""
        if self.process.poll() is None:
            self.process.send_signal(self.command.stop)

    def stop(self) -> None:
        """Wait for it to end, then kill what is left of its group."""
        try:
            self.process.wait(self.command.patience_seconds)
        except subprocess.TimeoutExpired:
            pass
        finally:
            self._signal(signal.SIGKILL)
            self.process.wait(10)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, number)


def stop_together(children: list[Child]) -> None:
    """Ask all, then wait for each: stopping takes as long as the slowest."""
    for child in children:
        child.ask_to_stop()
    for child in children:
        child.stop()


def end_leftovers(home: Path) -> None:
    """Kill what a killed supervisor of this home left behind, and wait until it is gone and its ports are free.

    PostgreSQL is not killed but ended in order when its data are made ready: without its parent its processes linger
    and keep the next server from starting. Linux only: all is found in /proc, by the mark or as the broker that works
    in this home. The caller holds the home's lock, so that nobody else's processes are meant.
    """
    deadline = time.monotonic() + _LEFTOVER_SECONDS
    while left := _marked(home):
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            raise StackError(f"processes {left} of an earlier start do not end; end them and start again")
        time.sleep(0.02)


def _marked(home: Path) -> list[int]:
    mark = f"{MARK}={home}".encode()
    found: list[int] = []
    for entry in Path("/proc").glob("[0-9]*"):
        # Other people's processes do not show their environment; ours do.
        with contextlib.suppress(OSError):
            marked = mark in (entry / "environ").read_bytes().split(b"\0") and not _is_postgres(entry)
            if marked or _is_broker(entry, home=home):
                found.append(int(entry.name))
    return [pid for pid in found if pid != os.getpid()]


def _is_postgres(entry: Path) -> bool:
    return (entry / "exe").readlink().name == "postgres"


def _is_broker(entry: Path, *, home: Path) -> bool:
    """Whether this is a Valkey with its data in this home: it writes its title over its environment, mark and all."""
    return (entry / "exe").readlink().name == "valkey-server" and (entry / "cwd").readlink() == home / "valkey"


def _rotate(log: Path) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists() and log.stat().st_size > _LOG_BYTES:
        log.replace(log.with_suffix(".old.log"))


def _die_with_parent(stop: signal.Signals) -> Callable[[], None] | None:
    """Ask Linux to send `stop` to the child when this process is gone, however it went."""
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None)
    parent = os.getpid()

    def between_fork_and_exec() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, int(stop))
        if os.getppid() != parent:
            os._exit(1)

    return between_fork_and_exec
