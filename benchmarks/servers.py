"""The benchmarks' own PostgreSQL and Valkey, with the durability settings of `make up`, and Celery workers on them."""

from __future__ import annotations

import atexit
import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from project.env import BASE_DIR
from project.stack import ports, postgres, valkey
from project.stack.children import Child, stop_together

READY_SECONDS = 60.0
# A second, empty database, to compare a full one with.
EMPTY = "empty"
# pg_stat_statements is loaded, but off until benchmarks.counted switches it on for one database.
_COUNTING = {
    "shared_preload_libraries": "pg_stat_statements",
    "pg_stat_statements.track": "none",
    "compute_query_id": "off",
}
_pids: dict[str, int] = {}


def start(kept: Path | None = None) -> Path:
    """Start both servers, set their URLs in the environment (before Django reads it), and return a scratch directory.

    If `kept` is given, it is used as the directory, and is not deleted, so that a later start finds the same data.
    """
    home = kept or Path(tempfile.mkdtemp(prefix="stepwise-bench-"))
    children: list[Child] = []
    atexit.register(_stop, children, None if kept else home, os.getpid())
    signal.signal(signal.SIGTERM, _exit)
    directory = home / "postgres"
    directory.mkdir(parents=True, exist_ok=True)
    server = postgres.prepare(directory, password=_password(home))
    database = Child(server.command(log=home / "postgres.log", settings={**postgres.SETTINGS, **_COUNTING}))
    children.append(database)
    until(server.answers, what="PostgreSQL")
    for name in (postgres.DATABASE, EMPTY):
        server.create_database(name)
    broker = valkey.prepare(home / "valkey", port=ports.free())
    children.append(Child(broker.command(log=home / "valkey.log")))
    until(broker.answers, what="Valkey")
    _pids.update(postgresql=database.process.pid, broker=children[-1].process.pid)
    os.environ.update(
        STEPWISE_HOME=str(home / "home"),
        STEPWISE_ENV_FILE=os.devnull,
        SECRET_KEY=secrets.token_urlsafe(48),
        INSTALLATION_ID="bench",
        DATABASE_URL=server.url(),
        EMPTY_DATABASE_URL=server.url(EMPTY),
        REDIS_URL=broker.url,
        DJANGO_SETTINGS_MODULE="project.settings",
        LOG_LEVEL="WARNING",
    )
    return home


def up(kept: Path | None = None) -> Path:
    """Call `start`, set Django up, and migrate the database. Models can be imported only after this."""
    home = start(kept)
    # Without a statement timeout, as in `make up`: creating an index of a big table may take long.
    migrate = [sys.executable, "-W", "ignore", "manage.py", "migrate", "--verbosity", "0"]
    patient = {**os.environ, "DATABASE_STATEMENT_TIMEOUT_SECONDS": "0"}
    subprocess.run(migrate, cwd=BASE_DIR, env=patient, check=True)  # noqa: S603 - our own words
    import django

    django.setup()
    return home


def pids() -> dict[str, int]:
    """Return the pids of the main processes of both servers."""
    return dict(_pids)


class Worker:
    """A Celery worker, as a context manager: it is stopped at the end of the block."""

    def __init__(self, app: str, *options: str, log: Path) -> None:
        self.app = app
        self.options = options
        self.log = log

    def __enter__(self) -> Worker:
        quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat", "-l", "INFO"]
        self.output = self.log.open("wb")
        self.process = subprocess.Popen(  # noqa: S603 - our own words
            [sys.executable, "-W", "ignore", "-m", "celery", "-A", self.app, "worker", *self.options, *quiet],
            cwd=BASE_DIR,
            env={**os.environ, "LOG_LEVEL": "INFO"},
            stdout=self.output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        until(self._ready, what=f"the worker of {self.app} (see {self.log})")
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(10)
        self.output.close()

    def _ready(self) -> bool:
        if self.process.poll() is not None:
            raise SystemExit(f"the worker of {self.app} ended at once: {self.log.read_text()[-2000:]}")
        return "ready." in self.log.read_text(errors="replace")


def until(answers: Callable[[], bool], *, what: str, seconds: float = READY_SECONDS) -> None:
    """Wait until `answers` returns true. Raises SystemExit, with `what`, if it takes too long."""
    deadline = time.monotonic() + seconds
    while not answers():
        if time.monotonic() > deadline:
            raise SystemExit(f"{what} did not answer within {seconds:g} s")
        time.sleep(0.01)


def _password(home: Path) -> str:
    """Return the password of the data in this directory, or generate one."""
    kept = home / "password"
    if not kept.exists():
        kept.write_text(secrets.token_hex(16), encoding="utf-8")
        kept.chmod(0o600)
    return kept.read_text(encoding="utf-8")


def _stop(children: list[Child], scratch: Path | None, owner: int) -> None:
    if os.getpid() == owner:
        stop_together(children)
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)


def _exit(number: int, _: object) -> None:
    raise SystemExit(128 + number)
