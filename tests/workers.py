"""Real Celery workers on the test's own database and broker, to be killed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from django.conf import settings
from django.db import connection

from project.env import BASE_DIR
from tests.waiting import wait_for

_CHILDREN = 2


class Worker:
    """One worker group: a main process and its children, in a process group of its own."""

    def __init__(self, log: Path, *, app: str, env: Mapping[str, str]) -> None:
        self.log = log
        self.app = app
        self.env = dict(env)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Worker:
        """Returns once it consumes."""
        self.launch()
        self.wait_ready()
        return self

    def launch(self) -> None:
        """Begin to start."""
        options = ["--without-gossip", "--without-mingle", "--without-heartbeat", "-l", "INFO"]
        count = ["--pool", "prefork", "--concurrency", str(_CHILDREN), "-n", f"{self.log.stem}@%h"]
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-W", "ignore", "-m", "celery", "-A", self.app, "worker", *count, *options],
                cwd=BASE_DIR,
                env={**os.environ, **self._settings(), **self.env},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_ready(self) -> None:
        """Until it consumes."""
        wait_for(lambda: "ready." in self.said(), what="the worker to be ready", timeout_seconds=180)

    def alive(self) -> bool:
        """Whether its main process lives."""
        return self.process is not None and self.process.poll() is None

    def said(self) -> str:
        """All that it logged so far."""
        return self.log.read_text(errors="replace")

    def children(self) -> list[int]:
        """Pids of the pool's processes."""
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in children.read_text().split()]

    def kill(self) -> None:
        """kill -9 of the whole group, at once."""
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(60)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the main process and its children."""
        assert self.process is not None
        os.killpg(self.process.pid, number)

    def stop(self) -> None:
        """A warm shutdown, as a deploy asks for."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(40)
            except subprocess.TimeoutExpired:
                self.kill()

    @staticmethod
    def _settings() -> dict[str, str]:
        words = connection.settings_dict
        user, password = quote(str(words["USER"])), quote(str(words["PASSWORD"]))
        place = f"host={quote(str(words['HOST']))}&port={words['PORT']}"
        return {
            "DATABASE_URL": f"postgresql://{user}:{password}@/{words['NAME']}?{place}",
            "REDIS_URL": settings.REDIS_URL,
            "INSTALLATION_ID": settings.INSTALLATION_ID,
            "SECRET_KEY": settings.SECRET_KEY,
            "DJANGO_SETTINGS_MODULE": "project.settings",
        }
