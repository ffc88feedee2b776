"""Start the tests' own PostgreSQL and Valkey, before anything reads Django's settings."""

from __future__ import annotations

import atexit
import base64
import os
import secrets
import shutil
import signal
import tempfile
from pathlib import Path

from project.stack import ports, postgres, valkey
from project.stack.children import Child, stop_together
from tests.waiting import wait_for

# What the tests' data loses in a power cut nobody misses; it makes the suite several times faster.
FAST = {**postgres.SETTINGS, "fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


def start_once() -> None:
    """Servers for this test session, named in the environment; they end with this process.

    Under pytest-xdist the controller starts them and the workers inherit its environment. TEST_DATABASE_URL and
    TEST_REDIS_URL name servers of your own instead.
    """
    if "STEPWISE_TEST_HOME" in os.environ:
        # Databases are apart by pytest-django, queues by the prefix.
        os.environ["INSTALLATION_ID"] += os.environ.get("PYTEST_XDIST_WORKER", "")
        return
    home = Path(tempfile.mkdtemp(prefix="stepwise-test-"))
    children: list[Child] = []
    atexit.register(_stop, children, home, os.getpid())
    # `kill` and a closed terminal should stop the servers too; Ctrl-C is pytest's own and ends in atexit.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _exit)
    database_url = os.environ.get("TEST_DATABASE_URL") or _postgres(home, children)
    redis_url = os.environ.get("TEST_REDIS_URL") or _valkey(home, children)
    os.environ.update(_environment(home), DATABASE_URL=database_url, REDIS_URL=redis_url)


def _environment(home: Path) -> dict[str, str]:
    return {
        "STEPWISE_TEST_HOME": str(home),
        "STEPWISE_HOME": str(home / "home"),
        # Nothing of the developer's own settings reaches the tests.
        "STEPWISE_ENV_FILE": os.devnull,
        "SECRET_KEY": secrets.token_urlsafe(48),
        "CREDENTIAL_KEYS": base64.b64encode(secrets.token_bytes(32)).decode(),
        "INSTALLATION_ID": f"test-{secrets.token_hex(4)}",
    }


def _postgres(home: Path, children: list[Child]) -> str:
    directory = home / "postgres"
    directory.mkdir()
    server = postgres.prepare(directory, password=secrets.token_hex(16))
    children.append(Child(server.command(log=home / "postgres.log", settings=FAST)))
    wait_for(server.answers, what="the tests' PostgreSQL", timeout_seconds=60)
    server.create_database()
    return server.url()


def _valkey(home: Path, children: list[Child]) -> str:
    server = valkey.prepare(home / "valkey", port=ports.free())
    children.append(Child(server.command(log=home / "valkey.log", settings=valkey.FORGETTING)))
    wait_for(server.answers, what="the tests' Valkey", timeout_seconds=60)
    return server.url


def _stop(children: list[Child], home: Path, owner: int) -> None:
    # A forked child of the test process runs the same exit handlers: the servers are not its own.
    if os.getpid() != owner:
        return
    stop_together(children)
    shutil.rmtree(home, ignore_errors=True)


def _exit(number: int, _: object) -> None:
    raise SystemExit(128 + number)
