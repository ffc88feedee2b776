"""The commands of the installation's own processes: web, worker, beat and Flower."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from project.env import BASE_DIR
from project.stack import ports
from project.stack.children import Command
from project.stack.plan import Plan

_BIN = Path(sys.executable).parent
# Celery warns if root runs a worker, because of messages in pickle; we accept JSON only.
_NO_ROOT_WARNING = {"PYTHONWARNINGS": "ignore:You're running the worker with superuser privileges"}


def web(plan: Plan) -> Command:
    """Return the command of Granian, which serves Django. The default is one process: group commit, in which starts
    share a commit, works only between the threads of one process.

    Granian receives requests in an event loop; project/bridge/ runs Django in threads, which are started on demand and
    end when idle. A connection without a request is closed after REQUEST_HEADER_SECONDS. HTTP/1 only: a proxy speaks
    nothing else to a server behind it, and the many streams of an HTTP/2 connection would need bounds of their own.
    """
    words = ["--interface", "rsgi", "--host", ports.HOST, "--port", str(plan.port), "--http", "1", "--no-ws"]
    sizes = ["--workers", str(plan.web_processes), "--backlog", "4096", "--backpressure", "4096"]
    sizes += ["--http1-header-read-timeout", str(1000 * plan.header_seconds), "--respawn-failed-workers"]
    return _command(plan, "web", "granian", *words, *sizes, "project.rsgi:application")


def worker(plan: Plan) -> Command:
    """Return the command of the worker. On SIGTERM it finishes running steps; the sweep takes back those left."""
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    pool = ["--pool", "prefork", "--concurrency", str(plan.workers)]
    return _command(plan, "worker", "celery", "-A", "project", "worker", *pool, *quiet, env=_NO_ROOT_WARNING)


def beat(plan: Plan) -> Command:
    """Return the command of beat, which fires schedules; it stores nothing on disk."""
    return _command(plan, "beat", "celery", "-A", "project", "beat", "--pidfile=")


def flower(plan: Plan, *, user: str, password: str) -> Command:
    """Return the command of Flower, Celery's monitor. The password is in the environment, as `ps` shows arguments."""
    words = [f"--address={ports.HOST}", f"--port={plan.flower_port}"]
    login = {"FLOWER_BASIC_AUTH": f"{user}:{password}"}
    return _command(plan, "flower", "celery", "-A", "project.flower", "flower", *words, env=login)


def manage(*words: str) -> list[str]:
    """Return the command line of a manage.py command."""
    return [sys.executable, str(BASE_DIR / "manage.py"), *words]


def _command(plan: Plan, name: str, program: str, *words: str, env: dict[str, str] | None = None) -> Command:
    return Command(
        name=name,
        argv=(str(_BIN / program), *words),
        log=plan.log(name),
        env=env or {},
        cwd=BASE_DIR,
        stop=signal.SIGTERM,
        patience_seconds=25,
    )
