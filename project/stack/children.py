"""Supervise child processes. Each has its own process group, is restarted when it dies, and ends when we end."""

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

from project.stack import private
from project.stack.errors import StackError

_PR_SET_PDEATHSIG = 1
_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 30.0
# If a child lived at least this long, the pauses before its restarts begin with the shortest again.
_SETTLED_SECONDS = 60.0
_LEFTOVER_SECONDS = 15.0
_LOG_BYTES = 10 * 1024 * 1024
# A variable in the environment of every child, by which the next start finds the processes that a killed supervisor
# left running.
MARK = "STEPWISE_SUPERVISED"


@dataclass(frozen=True)
class Command:
    """A program to run. The signal `stop` asks it to end; `patience_seconds` later it is killed."""

    name: str
    argv: tuple[str, ...]
    log: Path
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None
    stop: signal.Signals = signal.SIGTERM
    patience_seconds: float = 30.0


class Child:
    """The running process of a Command, and the pause before it is restarted."""

    def __init__(self, command: Command) -> None:
        self.command = command
        self.pause = _FIRST_PAUSE_SECONDS
        self.due: float | None = None
        self._start()

    def _start(self) -> None:
        _rotate(self.command.log)
        with private.append(self.command.log) as log:
            self.process = subprocess.Popen(
                self.command.argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.command.cwd,
                env={**os.environ, **self.command.env},
                # A session apart from the terminal's, so that only the supervisor gets Ctrl-C.
                start_new_session=True,
                umask=private.UMASK,
                # The supervisor has one thread, so code between fork and exec is safe.
                preexec_fn=_die_with_parent(self.command.stop),  # noqa: PLW1509
            )
        self.started = time.monotonic()
        self.due = None

    def died(self) -> str | None:
        """Return how it ended (`exit status 1`, `killed by SIGKILL`), or None while it runs."""
        status = self.process.poll()
        if status is None:
            return None
        return f"killed by {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"

    def tend(self) -> str | None:
        """Check the process, and restart it when its pause is over. Return a line to print if it has just died."""
        ended = self.died()
        if ended is None:
            return None
        if self.due is None:
            # Processes that it forked may still run, and hold its port.
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
        """Send the stop signal to the process only, not to its group: it ends its own children in its own order."""
        if self.process.poll() is None:
            self.process.send_signal(self.command.stop)

    def stop(self) -> None:
        """Wait for its end, at most `patience_seconds`, then kill what is left of its process group."""
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
    """Ask all children to stop, then wait for each, so that stopping takes only as long as the slowest."""
    for child in children:
        child.ask_to_stop()
    for child in children:
        child.stop()


def end_leftovers(home: Path) -> None:
    """Kill the processes that a killed supervisor of this home left running; wait until they and their ports are gone.

    PostgreSQL is not killed here. It is shut down in order when its data directory is prepared: if its first process
    were killed, the others would linger and prevent the next server from starting. Linux only: the processes are found
    in /proc, by MARK in their environment, or as a broker whose data are in this home. The caller holds the home's
    lock, so they cannot belong to a running supervisor.
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
    pids: list[int] = []
    for entry in Path("/proc").glob("[0-9]*"):
        # The environment of other users' processes cannot be read; those are skipped.
        with contextlib.suppress(OSError):
            marked = mark in (entry / "environ").read_bytes().split(b"\0") and not _is_postgres(entry)
            if marked or _is_broker(entry, home=home):
                pids.append(int(entry.name))
    return [pid for pid in pids if pid != os.getpid()]


def _is_postgres(entry: Path) -> bool:
    return (entry / "exe").readlink().name == "postgres"


def _is_broker(entry: Path, *, home: Path) -> bool:
    """Whether this is a Valkey with its data in this home. Valkey overwrites its environment, and with it MARK."""
    return (entry / "exe").readlink().name == "valkey-server" and (entry / "cwd").readlink() == home / "valkey"


def _rotate(log: Path) -> None:
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if log.exists() and log.stat().st_size > _LOG_BYTES:
        log.replace(log.with_suffix(".old.log"))


def _die_with_parent(stop: signal.Signals) -> Callable[[], None] | None:
    """Return a function for the child to call, which makes Linux send it `stop` when this process ends in any way."""
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None)
    parent = os.getpid()

    def between_fork_and_exec() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, int(stop))
        if os.getppid() != parent:
            os._exit(1)

    return between_fork_and_exec
