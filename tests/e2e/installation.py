"""A whole second installation, started and stopped as a human would."""

from __future__ import annotations

import base64
import contextlib
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

from project import env
from project.env import BASE_DIR
from project.stack import ports
from project.stack.children import MARK
from tests.waiting import wait_for

# Set by the test session for itself; an installation has to find its own.
_OURS = {"DATABASE_URL", "REDIS_URL", "SECRET_KEY", "INSTALLATION_ID", "STEPWISE_HOME"}


class Installation:
    """`make up` without the installing, in a home and on ports of its own."""

    def __init__(self, home: Path, **settings: str) -> None:
        self.home = home
        self.settings = settings
        self.port, self.flower_port = ports.free(), ports.free()
        self.output = home.with_suffix(".out")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns once its line `ready` has come."""
        clean = {key: value for key, value in os.environ.items() if key not in _OURS}
        words = {"PORT": str(self.port), "FLOWER_PORT": str(self.flower_port), "WORKERS": "1"}
        with self.output.open("wb") as output:
            process = self.process = subprocess.Popen(
                [sys.executable, "-m", "project.up"],
                cwd=BASE_DIR,
                env={**clean, **words, **self.settings, "STEPWISE_HOME": str(self.home)},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            wait_for(self._ready_or_dead, what="the line `ready`", timeout_seconds=240)
            assert process.poll() is None, self.said()
        except AssertionError:
            self.stop()
            raise

    def _ready_or_dead(self) -> bool:
        ready = any(line.startswith("ready") for line in self.said().splitlines())
        return ready or not self.alive()

    def alive(self) -> bool:
        """Whether its supervisor lives."""
        return self.process is not None and self.process.poll() is None

    def said(self) -> str:
        """All that it printed so far."""
        return self.output.read_text(encoding="utf-8", errors="replace")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send the signal to the supervisor alone, and answer its exit status."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(120)

    def credentials(self) -> dict[str, str]:
        """What credentials.env says."""
        return env.read_file(self.home / env.CREDENTIALS)

    def processes(self) -> dict[int, str]:
        """Living processes that bear this home's mark or serve its data: pid and command line."""
        found: dict[int, str] = {}
        mark = f"{MARK}={self.home}".encode()
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                marked = mark in (entry / "environ").read_bytes().split(b"\0")
                inside = str((entry / "cwd").readlink()).startswith(str(self.home))
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                if (marked or inside) and command:
                    found[int(entry.name)] = command
        return found

    def status(self, path: str, *, flower: bool = False, login: str = "", bearer: str = "") -> int:
        """The HTTP status of one GET; 0 when nobody listens."""
        port = self.flower_port if flower else self.port
        request = urllib.request.Request(f"http://127.0.0.1:{port}{path}")
        if login:
            request.add_header("Authorization", "Basic " + base64.b64encode(login.encode()).decode())
        if bearer:
            request.add_header("Authorization", f"Bearer {bearer}")
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code
        except OSError:
            return 0
